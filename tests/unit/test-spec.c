/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-spec.c - three ways to write a graph, and what is no way to write one. */
#include <strata/strata.h>
#include <string.h>

#include "node.h"

typedef struct {
    const char *name;
    StrataSpecSyntax syntax;
    const char *format;
    const char *text;
    const char *json; /* as written back */
} GoodSpec;

static const GoodSpec good_specs[] = {
    { "filename", STRATA_SPEC_FILENAME, NULL, "a.img",
      "{\"file\":{\"driver\":\"file\",\"filename\":\"a.img\"}}" },
    { "format", STRATA_SPEC_FILENAME, "qcow2", "/x/a:b.img",
      "{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"/x/a:b.img\"}}" },
    { "file-prefix", STRATA_SPEC_FILENAME, "raw", "file:nbd:x",
      "{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"nbd:x\"}}" },
    { "json", STRATA_SPEC_FILENAME, NULL,
      "json:{\"driver\":\"raw\",\"size\":512,\"node-name\":\"n\",\"offset\":\"64k\","
      "\"file\":{\"driver\":\"file\",\"filename\":\"\\u00e9\\\"\",\"locking\":\"off\"}}",
      "{\"driver\":\"raw\",\"node-name\":\"n\",\"offset\":65536,\"size\":512,"
      "\"file\":{\"driver\":\"file\",\"filename\":\"\303\251\\\"\",\"locking\":\"off\"}}" },
    { "json-dotted", STRATA_SPEC_FILENAME, NULL,
      "json:{\"file.filename\":\"a\",\"driver\":\"qcow2\",\"backing.file.filename\":\"b\","
      "\"backing\":{\"driver\":\"raw\"}}",
      "{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"a\"},"
      "\"backing\":{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"b\"}}}" },
    { "json-null-backing", STRATA_SPEC_FILENAME, "qcow2",
      "json:{\"file\":{\"filename\":\"a\"},\"backing\":null}",
      "{\"driver\":\"qcow2\",\"backing\":null,\"file\":{\"driver\":\"file\",\"filename\":\"a\"}}" },
    { "json-ignored", STRATA_SPEC_FILENAME, NULL,
      "json:{\"driver\":\"file\",\"filename\":\"a\",\"read-only\":true,"
      "\"cache\":{\"direct\":false},\"discard\":\"unmap\"}",
      "{\"driver\":\"file\",\"cache.direct\":false,\"discard\":\"unmap\",\"filename\":\"a\","
      "\"read-only\":true}" },
    { "words", STRATA_SPEC_IMAGE_OPTS, NULL,
      "driver=raw,offset=0x10000,size=1M,file.driver=qcow2,file.file.filename=a,,b=c",
      "{\"driver\":\"raw\",\"offset\":65536,\"size\":1048576,\"file\":{\"driver\":\"qcow2\","
      "\"file\":{\"driver\":\"file\",\"filename\":\"a,b=c\"}}}" },
    { "words-empty-backing", STRATA_SPEC_IMAGE_OPTS, NULL, "driver=qcow2,file.filename=a,backing=",
      "{\"driver\":\"qcow2\",\"backing\":null,\"file\":{\"driver\":\"file\",\"filename\":\"a\"}}" },
    { "words-data-file", STRATA_SPEC_IMAGE_OPTS, NULL,
      "driver=qcow2,file.filename=a,data-file.filename=d,backing.driver=raw",
      "{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"a\"},"
      "\"data-file\":{\"driver\":\"file\",\"filename\":\"d\"},\"backing\":{\"driver\":\"raw\"}}" },
    { "greatest-size", STRATA_SPEC_IMAGE_OPTS, NULL,
      "driver=raw,file.filename=a,size=18446744073709551615,offset=15E",
      "{\"driver\":\"raw\",\"offset\":\"17293822569102704640\",\"size\":\"18446744073709551615\","
      "\"file\":{\"driver\":\"file\",\"filename\":\"a\"}}" },
};

/* What is written back must be what was meant, and reading it again must change nothing. */
static void
test_good(gconstpointer data)
{
    const GoodSpec *good = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(StrataSpec) spec = strata_spec_parse(good->text, good->syntax, good->format, &error);
    g_autoptr(StrataSpec) again = NULL;
    g_autofree char *json = NULL;
    g_autofree char *prefixed = NULL;
    g_autofree char *json_again = NULL;

    g_assert_no_error(error);
    json = strata_spec_to_json(spec);
    g_assert_cmpstr(json, ==, good->json);
    prefixed = g_strconcat("json:", json, NULL);
    again = strata_spec_parse(prefixed, STRATA_SPEC_FILENAME, NULL, &error);
    g_assert_no_error(error);
    json_again = strata_spec_to_json(again);
    g_assert_cmpstr(json_again, ==, json);
}

typedef struct {
    StrataSpecSyntax syntax;
    const char *format;
    const char *text;
    const char *words; /* in the message */
} BadSpec;

#define FILE_PART "\"file\":{\"driver\":\"file\",\"filename\":\"a\"}"
#define OPTS      STRATA_SPEC_IMAGE_OPTS
#define NAME      STRATA_SPEC_FILENAME

static const BadSpec bad_specs[] = {
    { NAME, NULL, "", "the file name is empty" },
    { NAME, NULL, "file:", "the file name is empty" },
    { NAME, NULL, "ssh://localhost/x", "protocol \"ssh:\"" },
    { NAME, NULL, "a:b", "write './a:b' or 'file:a:b'" },
    { NAME, NULL, "json:{\"driver\":\"raw\",\"driver\":\"qcow2\",\"file.filename\":\"a\"}",
      "\"driver\" twice" },
    { NAME, NULL, "json:{\"driver\":\"raw\",\"file.filename\":\"a\\u0000b\"}", "NUL" },
    { NAME, "file", "a", "there is no format 'file'; the formats are luks, qcow2 and raw" },
    { NAME, "vmdk", "a", "there is no format 'vmdk'; the formats are luks, qcow2 and raw" },
    { NAME, "raw", "json:{\"driver\":\"qcow2\"," FILE_PART "}", "leave one of them out" },
    { NAME, NULL, "json:", "no " },
    { NAME, NULL, "json:[]", "no object" },
    { NAME, NULL, "json:{\"driver\":", "no JSON" },
    { NAME, NULL, "json:{} {}", "goes on after" },
    { NAME, NULL, "json:{\"a", "ends within a string" },
    { NAME, NULL, "json:{}", "needs \"driver\" or \"file\"" },
    { NAME, NULL, "json:{\"driver\":7}", "\"driver\" must be a string" },
    { NAME, NULL, "json:{\"driver\":\"raw\",\"file\":\"node\"}", "nest the node itself" },
    { NAME, NULL, "json:{\"driver\":\"raw\",\"file\":null}", "only \"backing\" can" },
    { NAME, NULL, "json:{\"driver\":\"raw\",\"offset\":null," FILE_PART "}", "cannot be null" },
    { NAME, NULL, "json:{\"driver\":\"raw\",\"offset\":-1," FILE_PART "}", "'-1'" },
    { NAME, NULL, "json:{\"driver\":\"raw\",\"offset\":1.5," FILE_PART "}", "'1.5'" },
    { NAME, NULL, "json:{\"driver\":\"raw\",\"offset\":true," FILE_PART "}", "'on'" },
    { NAME, NULL, "json:{\"driver\":\"raw\",\"offset\":[1]," FILE_PART "}", "is a list" },
    { NAME, NULL, "json:{\"driver\":\"raw\",\"offset\":36893488147419103233," FILE_PART "}",
      "more than 18 digits" },
    { NAME, NULL, "json:{\"driver\":\"raw\"," FILE_PART ",\"file.filename\":\"b\"}",
      "given twice" },
    { NAME, NULL,
      "json:{\"driver\":\"qcow2\"," FILE_PART ",\"backing\":null,\"backing.driver\":\"raw\"}",
      "\"backing\" is null, and yet" },
    { NAME, NULL,
      "json:{\"driver\":\"qcow2\"," FILE_PART ",\"backing.driver\":\"raw\",\"backing\":null}",
      "\"backing\" is null, and yet" },
    { NAME, NULL, "json:{\"driver\":\"raw\"," FILE_PART ",\"cache\":{\"direct\":{}}}",
      "cannot be an object" },
    { NAME, NULL, "json:{\"driver\":\"file\",\"filename\":7}", "put it in quotes" },
    { NAME, NULL, "json:{\"driver\":\"raw\"," FILE_PART ",\"backing\":null}",
      "no key \"backing\"" },
    { OPTS, NULL, "", "needs \"driver\" or \"file\"" },
    { OPTS, NULL, "a.img", "is no KEY=VALUE" },
    { OPTS, NULL, "=x", "is no KEY=VALUE" },
    { OPTS, NULL, "driver=raw,file=x", "nest the node itself" },
    { OPTS, NULL, "driver=raw,driver=raw,file.filename=x", "given twice" },
    { OPTS, NULL, "driver=raw,ofset=1,file.filename=x",
      "the topmost node: driver \"raw\" has no key \"ofset\"; its keys are driver, node-name, "
      "offset, size, file, force-share" },
    { OPTS, NULL, "driver=qcow2,filename=x", "write \"file.filename\"" },
    { OPTS, NULL, "driver=qcow2,file.filename=x,backing.driver=raw,backing.file.aoi=x",
      "backing.file: driver \"file\" has no key \"aoi\"" },
    { OPTS, NULL, "driver=file,filename=x,locking=yes", "expected on, off or auto" },
    { OPTS, NULL, "driver=file,filename=x,force-share=maybe", "expected on or off" },
    { OPTS, NULL, "driver=raw,file.filename=x,size=1kb", "'1kb'" },
    { OPTS, NULL, "driver=raw,file.filename=x,size=", "''" },
    { OPTS, NULL, "driver=raw,file.filename=x,size=+1", "'+1'" },
    { OPTS, NULL, "driver=raw,file.filename=x,size=16E", "'16E'" },
    { OPTS, NULL, "driver=raw,file.filename=x,size=18446744073709551616", "below 2^64" },
    { OPTS, NULL, "driver=raw,file.filename=x,read-only=maybe", "expected on or off" },
    { OPTS, NULL, "driver=raw,file.filename=x,node-name=a@b", "\"node-name\" is 'a@b'" },
    { OPTS, NULL, "driver=raw,node-name=a,file.filename=x,file.node-name=a", "given to two nodes" },
};

static void
test_bad(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad_specs); i++) {
        const BadSpec *bad = &bad_specs[i];
        g_autoptr(GError) error = NULL;

        g_test_message("%s", bad->text);
        g_assert_null(strata_spec_parse(bad->text, bad->syntax, bad->format, &error));
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_SPEC);
        if (!strstr(error->message, bad->words))
            g_error("'%s' is not in the message: %s", bad->words, error->message);
    }
}

static char *
nest(const char *opening, const char *middle, const char *closing, guint depth)
{
    GString *text = g_string_new("json:");

    for (guint i = 0; i < depth; i++)
        g_string_append(text, opening);
    g_string_append(text, middle);
    for (guint i = 0; i < depth; i++)
        g_string_append(text, closing);
    return g_string_free(text, FALSE);
}

/* As deep as a graph can be: written back, and freed, without recursion. */
static void
test_long_chain(void)
{
    const guint depth = STRATA_MAX_NODES / 2 - 1;
    g_autofree char *text = nest("{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":"
                                 "\"a\"},\"backing\":",
                                 "{\"driver\":\"raw\",\"file\":{\"driver\":\"file\","
                                 "\"filename\":\"b\"}}",
                                 "}", depth);
    g_autoptr(GError) error = NULL;
    g_autoptr(StrataSpec) spec = strata_spec_parse(text, STRATA_SPEC_FILENAME, NULL, &error);
    g_autofree char *json = NULL;

    g_assert_no_error(error);
    json = strata_spec_to_json(spec);
    g_assert_cmpuint(strlen(json), ==, strlen(text) - strlen("json:"));
}

static void
assert_limit(char *text)
{
    g_autofree char *owned = text;
    g_autoptr(GError) error = NULL;

    g_assert_null(strata_spec_parse(owned, STRATA_SPEC_FILENAME, NULL, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT);
}

static void
test_hostile_nesting(void)
{
    assert_limit(nest("{\"backing\":", "null", "}", 1000000));
    assert_limit(nest("[", "", "]", 1000000));
    assert_limit(nest("{\"a\":[", "", "]}", 3000));
    assert_limit(nest("{\"driver\":\"qcow2\",\"backing\":", "{}", "}", STRATA_MAX_NODES));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(good_specs); i++) {
        g_autofree char *path = g_strconcat("/spec/good/", good_specs[i].name, NULL);

        g_test_add_data_func(path, &good_specs[i], test_good);
    }
    g_test_add_func("/spec/bad", test_bad);
    g_test_add_func("/spec/long-chain", test_long_chain);
    g_test_add_func("/spec/hostile-nesting", test_hostile_nesting);
    return g_test_run();
}
