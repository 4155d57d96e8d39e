/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-nbd-names.c - NBD servers as file names, and the options of an "nbd" node. */
#include <strata/error.h>
#include <string.h>

#include "nbd/name.h"
#include "temp-dir.h"

typedef struct {
    const char *name;
    const char *options; /* of the leaf, as JSON */
    const char *uri;     /* the canonical one */
    const char *base;    /* what nodes are called after */
} NameCase;

static const NameCase names[] = {
    { "nbd://example.com",
      "\"server.host\":\"example.com\",\"server.port\":\"10809\",\"server.type\":\"inet\"",
      "nbd://example.com/", "example.com" },
    { "nbd://example.com:123/dir/disk%20one",
      "\"export\":\"dir/disk one\",\"server.host\":\"example.com\",\"server.port\":\"123\","
      "\"server.type\":\"inet\"",
      "nbd://example.com:123/dir/disk%20one", "disk one" },
    { "NBD://[::1]/%3F%23",
      "\"export\":\"?#\",\"server.host\":\"::1\",\"server.port\":\"10809\",\"server.type\":"
      "\"inet\"",
      "nbd://[::1]/%3F%23", "?#" },
    { "nbd+unix:///disk?socket=/tmp/a%26b",
      "\"export\":\"disk\",\"server.path\":\"/tmp/a&b\",\"server.type\":\"unix\"",
      "nbd+unix:///disk?socket=/tmp/a%26b", "disk" },
    { "nbd+unix:///?socket=/tmp/sock",
      "\"export\":\"\",\"server.path\":\"/tmp/sock\",\"server.type\":\"unix\"",
      "nbd+unix:///?socket=/tmp/sock", "sock" },
    { "nbds+unix:///x?socket=s&tls-creds=c0",
      "\"export\":\"x\",\"server.path\":\"s\",\"server.type\":\"unix\",\"tls-creds\":\"c0\"",
      "nbds+unix:///x?socket=s", "x" },
    { "nbds://h/x?tls-creds=c0&tls-hostname=h",
      "\"export\":\"x\",\"server.host\":\"h\",\"server.port\":\"10809\",\"server.type\":\"inet\","
      "\"tls-creds\":\"c0\",\"tls-hostname\":\"h\"",
      "nbds://h/x", "x" },
    { "nbd+vsock://3:99/x",
      "\"export\":\"x\",\"server.cid\":\"3\",\"server.port\":\"99\",\"server.type\":\"vsock\"",
      "nbd+vsock://3:99/x", "x" },
    { "nbd+vsock:///",
      "\"export\":\"\",\"server.cid\":\"2\",\"server.port\":\"10809\",\"server.type\":\"vsock\"",
      "nbd+vsock://2/", "nbd" },
    { "nbd:unix:/tmp/s:1:exportname=a:b",
      "\"export\":\"a:b\",\"server.path\":\"/tmp/s:1\",\"server.type\":\"unix\"",
      "nbd+unix:///a:b?socket=/tmp/s:1", "a:b" },
    { "nbd:localhost:10809",
      "\"server.host\":\"localhost\",\"server.port\":\"10809\",\"server.type\":\"inet\"",
      "nbd://localhost/", "localhost" },
    { "nbd:[::1]:5:exportname=x",
      "\"export\":\"x\",\"server.host\":\"::1\",\"server.port\":\"5\",\"server.type\":\"inet\"",
      "nbd://[::1]:5/x", "x" },
};

static void
test_good_names(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(StrataSpec) spec =
            strata_spec_parse(names[i].name, STRATA_SPEC_FILENAME, NULL, &error);
        g_autofree char *json = NULL;
        g_autofree char *expected = g_strdup_printf(
            "{\"driver\":\"raw\",\"file\":{\"driver\":\"nbd\",%s}}", names[i].options);
        g_autofree char *uri = NULL;
        g_autofree char *base = NULL;

        g_assert_no_error(error);
        json = strata_spec_to_json(spec);
        g_assert_cmpstr(json, ==, expected);
        uri = remote_name_to_uri(spec_get_leaf(spec));
        g_assert_cmpstr(uri, ==, names[i].uri);
        base = remote_name_suggest(spec_get_leaf(spec));
        g_assert_cmpstr(base, ==, names[i].base);
    }
}

static void
test_format(void)
{
    g_autoptr(StrataSpec) spec =
        strata_spec_parse("nbd://h/x", STRATA_SPEC_FILENAME, "qcow2", NULL);

    g_assert_cmpstr(spec_get_driver(spec), ==, "qcow2");
    g_assert_cmpstr(spec_get_driver(spec_get_leaf(spec)), ==, "nbd");
}

static void
test_what_is_no_name(void)
{
    g_assert_false(remote_name_matches("nbd"));
    g_assert_false(remote_name_matches("./nbd:x"));
    g_assert_false(remote_name_matches("nbd+ssh://h"));
    g_assert_false(remote_name_matches("file:nbd://h"));
}

typedef struct {
    const char *text; /* a name, or the options of an nbd node */
    const char *words;
} BadCase;

static const BadCase bad_names[] = {
    { "nbd:", "write nbd://HOST:PORT/EXPORT" },
    { "nbd:host", "write nbd://HOST:PORT/EXPORT" },
    { "nbd:host:", "write nbd://HOST:PORT/EXPORT" },
    { "nbd::5", "write nbd://HOST:PORT/EXPORT" },
    { "nbd:unix:", "the path is empty" },
    { "nbd://h:99999/", "does not name an NBD server" },
    { "nbd://h/%zz", "does not name an NBD server" },
    { "nbd+unix:///x", "needs its socket" },
    { "nbd+unix:///x?socket=", "\"socket\" is a path" },
    { "nbd://h/x?socket=/s", "goes with nbd+unix: alone" },
    { "nbd://h/x?colour=red", "none of socket, tls-creds and tls-hostname" },
    { "nbd://h/x?socket", "not KEY=VALUE" },
    { "nbd://h/x#part", "'#' in the export's name" },
    { "nbds://h/x", "TLS needs credentials" },
    { "nbd://h/x?tls-creds=c0", "begins with nbds" },
    { "nbds://u@h/x?tls-creds=c0", "username=NAME" },
    { "nbds://h/x?tls-psk-file=/etc/keys.psk", "lent by --object" },
};

static void
test_bad_names(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad_names); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(StrataSpec) spec =
            strata_spec_parse(bad_names[i].text, STRATA_SPEC_FILENAME, NULL, &error);

        g_test_message("%s", bad_names[i].text);
        g_assert_null(spec);
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_SPEC);
        if (!strstr(error->message, bad_names[i].words))
            g_error("'%s' says '%s'", bad_names[i].text, error->message);
    }
}

#define HOST "\"server\":{\"type\":\"inet\",\"host\":\"127.0.0.1\",\"port\":\"1\"}"

static const BadCase bad_options[] = {
    { "", "where is the server?" },
    { "\"export\":\"x\"", "where is the server?" },
    { "\"server\":{\"type\":\"fd\",\"str\":\"3\"}", "no key \"server.str\"" },
    { "\"server\":{\"type\":\"tcp\"}", "expected unix, inet or vsock" },
    { "\"server\":{\"type\":\"unix\"}", "needs its \"server.path\"" },
    { "\"server\":{\"type\":\"unix\",\"path\":\"a\",\"port\":\"1\"}",
      "\"server.port\" does not go with a server of type unix" },
    { "\"server\":{\"type\":\"inet\"}", "needs its \"server.host\"" },
    { "\"server\":{\"type\":\"inet\",\"host\":\"h\",\"path\":\"p\"}",
      "\"server.path\" does not go with a server of type inet" },
    { "\"server\":{\"type\":\"vsock\"}", "needs its \"server.cid\"" },
    { "\"server\":{\"type\":\"vsock\",\"cid\":\"two\"}", "\"server.cid\" is 'two'" },
    { "\"server\":{\"type\":\"unix\",\"path\":5}", "\"server.path\" is 5, expected a string" },
    { "\"export\":5," HOST, "\"export\" is 5, expected a string" },
    { "\"connections\":0," HOST, "\"connections\" is 0, expected 1 to 16" },
    { "\"connections\":17," HOST, "\"connections\" is 17, expected 1 to 16" },
    { "\"connections\":\"many\"," HOST, "\"connections\" is 'many', expected a whole number" },
    { "\"reconnect-delay\":-1," HOST, "\"reconnect-delay\" is '-1', expected a whole number" },
    { "\"reconnect-delay\":86401," HOST, "expected 0 to 86400" },
    { "\"open-timeout\":86401," HOST, "expected 0 to 86400" },
    { "\"answer-timeout\":0," HOST, "expected 1 to 86400" },
    { "\"tls-hostname\":\"h\"," HOST, "goes with \"tls-creds\"" },
    { "\"tls-creds\":\"c0\"," HOST, "there are no credentials 'c0'" },
    { "\"file\":{\"filename\":\"a\"}," HOST, "no key \"file\"" },
    { "\"x-dirty-bitmap\":\"b\"," HOST, "no key \"x-dirty-bitmap\"" },
};

static void
test_bad_options(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad_options); i++) {
        g_autofree char *text = g_strdup_printf(
            "json:{\"driver\":\"nbd\"%s%s}", *bad_options[i].text ? "," : "", bad_options[i].text);

        g_test_message("%s", text);
        assert_open_fails(text, NULL, STRATA_ERROR_SPEC, bad_options[i].words);
    }
}

/* The name of an export has a limit in the protocol, and an encoding. */
static void
test_long_export(void)
{
    g_autofree char *export = g_strnfill(4097, 'x');
    g_autofree char *text =
        g_strdup_printf("json:{\"driver\":\"nbd\",\"export\":\"%s\"," HOST "}", export);

    assert_open_fails(text, NULL, STRATA_ERROR_SPEC, "at most 4096 bytes");
}

/* Port 1 of this machine refuses, and so does a path without a socket. */
static void
test_nobody_there(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autofree char *text = g_strdup_printf("nbd:unix:%s", temp_dir_path(dir, "none"));

    assert_open_fails("json:{\"driver\":\"nbd\"," HOST "}", NULL, STRATA_ERROR_REMOTE,
                      "(nbd://127.0.0.1:1/): cannot open it: ");
    assert_open_fails(text, NULL, STRATA_ERROR_REMOTE, "No such file or directory");
    assert_open_fails("json:{\"driver\":\"nbd\",\"host\":\"127.0.0.1\",\"port\":\"1\"}", NULL,
                      STRATA_ERROR_REMOTE, "Connection refused");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nbd-names/good", test_good_names);
    g_test_add_func("/nbd-names/format", test_format);
    g_test_add_func("/nbd-names/no-name", test_what_is_no_name);
    g_test_add_func("/nbd-names/bad", test_bad_names);
    g_test_add_func("/nbd-names/bad-options", test_bad_options);
    g_test_add_func("/nbd-names/long-export", test_long_export);
    g_test_add_func("/nbd-names/nobody-there", test_nobody_there);
    return g_test_run();
}
