/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-objects.c - the words of --object, and where a secret's bytes come from. */
#include "objects.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "temp-dir.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Objects, objects_free)

static gboolean add(Objects *objects, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);

static gboolean
add(Objects *objects, GError **error, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    return objects_add(objects, text, error);
}

static const char *
put_file(TempDir *dir, const char *name, const char *content, gssize length)
{
    const char *path = temp_dir_path(dir, name);

    g_assert_true(g_file_set_contents(path, content, length, NULL));
    return path;
}

static void
assert_secret(Objects *objects, const char *id, const char *bytes, gsize length)
{
    GBytes *secret = objects_get_secret(objects, id);
    gsize size;
    gconstpointer data;

    g_assert_nonnull(secret);
    data = g_bytes_get_data(secret, &size);
    g_assert_cmpmem(data, size, bytes, length);
}

/* Like QEMU: a raw file is the key as it is, its line end too. */
static void
test_secret_files(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Objects) objects = objects_new();
    g_autoptr(GError) error = NULL;

    add(objects, &error, "secret,id=a,file=%s", put_file(dir, "a", "with\0nul\n", 9));
    g_assert_no_error(error);
    assert_secret(objects, "a", "with\0nul\n", 9);
    add(objects, &error, "qom-type=secret,format=raw,file=%s,id=b", put_file(dir, "b", "", 0));
    g_assert_no_error(error);
    assert_secret(objects, "b", "", 0);
    put_file(dir, "c,d", "comma", -1);
    add(objects, &error, "secret,id=c,file=%s/c,,d", dir->path);
    g_assert_no_error(error);
    assert_secret(objects, "c", "comma", 5);
    g_assert_null(objects_get_secret(objects, "d"));
    g_assert_null(objects_get_tls_creds(objects, "a"));
}

static void
test_long_secret(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Objects) objects = objects_new();
    g_autofree char *bytes = g_malloc((8 << 20) + 1);
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i <= 8 << 20; i++)
        bytes[i] = (char)(i * 7 + i / 4096);
    add(objects, &error, "secret,id=fits,file=%s", put_file(dir, "fits", bytes, 8 << 20));
    g_assert_no_error(error);
    assert_secret(objects, "fits", bytes, 8 << 20);
    g_assert_false(add(objects, &error, "secret,id=long,file=%s",
                       put_file(dir, "long", bytes, (8 << 20) + 1)));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT);
}

static void
test_base64(void)
{
    static const char *const bad[] = { "bGV0bWVp!", "bGV0bWVpb",
                                       "bGV0 bWVpbg==", "\xc3\xa4\xc3\xa4" };
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Objects) objects = objects_new();
    g_autoptr(GError) error = NULL;

    add(objects, &error, "secret,id=a,format=base64,file=%s",
        put_file(dir, "a", "bGV0\nbWVpbg==\r\n", -1));
    g_assert_no_error(error);
    assert_secret(objects, "a", "letmein", 7);
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_clear_error(&error);
        g_assert_false(add(objects, &error, "secret,id=b,format=base64,file=%s",
                           put_file(dir, "b", bad[i], -1)));
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_SPEC);
        g_assert_nonnull(strstr(error->message, "it is no base64 text"));
    }
    g_clear_error(&error);
    g_assert_false(add(objects, &error, "secret,id=b,format=base64,file=%s",
                       put_file(dir, "b", "bGV0\0bWVp", 9)));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_SPEC);
}

static void
test_descriptor(void)
{
    g_autoptr(Objects) objects = objects_new();
    g_autoptr(GError) error = NULL;
    int fds[2];

    g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
    g_assert_cmpint(write(fds[1], "letmein", 7), ==, 7);
    close(fds[1]);
    add(objects, &error, "secret,id=a,fd=%d", fds[0]);
    g_assert_no_error(error);
    assert_secret(objects, "a", "letmein", 7);
    g_assert_cmpint(fcntl(fds[0], F_GETFD), ==, -1); /* closed, so that no child reads it */
    g_assert_false(add(objects, &error, "secret,id=b,fd=%d", fds[0]));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_IO);
}

/* It reads nothing again: what a descriptor had is gone, and the file may be. */
static void
test_copy(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(GError) error = NULL;
    const char *key = put_file(dir, "key", "letmein", -1);
    Objects *objects = objects_new();
    g_autoptr(Objects) copy = NULL;

    put_file(dir, "keys.psk", "", -1);
    g_assert_true(add(objects, &error, "secret,id=a,file=%s", key));
    g_assert_true(add(objects, &error, "tls-creds-psk,id=b,dir=%s,username=me", dir->path));
    g_unlink(key);
    copy = objects_copy(objects);
    g_assert_true(add(objects, &error, "secret,id=later,file=/dev/null"));
    objects_free(objects);
    assert_secret(copy, "a", "letmein", 7);
    g_assert_cmpstr(objects_get_tls_creds(copy, "b")->dir, ==, dir->path);
    g_assert_cmpstr(objects_get_tls_creds(copy, "b")->username, ==, "me");
    g_assert_null(objects_get_secret(copy, "later"));
    g_assert_false(add(copy, &error, "secret,id=b,file=/dev/null"));
}

static void
test_creds(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Objects) objects = objects_new();
    g_autoptr(GError) error = NULL;
    const TlsCreds *creds;

    put_file(dir, "ca-cert.pem", "", 0);
    put_file(dir, "keys.psk", "", 0);
    add(objects, &error, "tls-creds-x509,id=x,dir=%s,endpoint=client,verify-peer=off", dir->path);
    g_assert_no_error(error);
    creds = objects_get_tls_creds(objects, "x");
    g_assert_cmpint(creds->type, ==, TLS_CREDS_X509);
    g_assert_cmpstr(creds->id, ==, "x");
    g_assert_cmpstr(creds->dir, ==, dir->path);
    g_assert_false(creds->verify_peer);
    add(objects, &error, "tls-creds-x509,id=y,dir=%s,sanity-check=on", dir->path);
    g_assert_no_error(error);
    g_assert_true(objects_get_tls_creds(objects, "y")->verify_peer);
    add(objects, &error, "tls-creds-psk,id=p,dir=%s,username=alice", dir->path);
    g_assert_no_error(error);
    creds = objects_get_tls_creds(objects, "p");
    g_assert_cmpint(creds->type, ==, TLS_CREDS_PSK);
    g_assert_cmpstr(creds->username, ==, "alice");
    g_assert_null(objects_get_secret(objects, "p"));
}

typedef struct {
    const char *text;
    StrataError code;
    const char *words;
} Refusal;

static const Refusal refusals[] = {
    { "", STRATA_ERROR_SPEC, "TYPE,KEY=VALUE" },
    { "id=a,file=/dev/null", STRATA_ERROR_SPEC, "TYPE,KEY=VALUE" },
    { "{\"qom-type\":\"secret\"}", STRATA_ERROR_SPEC, "TYPE,KEY=VALUE" },
    { "sevret,id=a,file=/dev/null", STRATA_ERROR_SPEC, "type 'sevret'; the types are secret" },
    { "secret,id=a,file", STRATA_ERROR_SPEC, "one of its words has no '='" },
    { "secret,file=/dev/null", STRATA_ERROR_SPEC, "it needs an \"id\"" },
    { "secret,id=1a,file=/dev/null", STRATA_ERROR_SPEC, "an \"id\" is a letter" },
    { "secret,id=a/b,file=/dev/null", STRATA_ERROR_SPEC, "an \"id\" is a letter" },
    { "secret,id=a,file=/dev/null,file=/dev/null", STRATA_ERROR_SPEC, "\"file\" is given twice" },
    { "secret,id=a,data=letmein", STRATA_ERROR_SPEC,
      "object secret 'a': \"data\" is refused: every user of the machine can read it" },
    { "secret,id=a,file=/dev/null,keyid=b,iv=AA==", STRATA_ERROR_SPEC, "\"keyid\" is refused" },
    { "secret,id=a,file=/dev/null,iv=AA==", STRATA_ERROR_SPEC, "\"iv\" is refused" },
    { "secret,id=a,fille=/dev/null", STRATA_ERROR_SPEC,
      "there is no key \"fille\"; the keys are id, file, fd, format" },
    { "secret,id=a", STRATA_ERROR_SPEC, "\"file\" or \"fd\"" },
    { "secret,id=a,file=/dev/null,fd=3", STRATA_ERROR_SPEC, "only one of them" },
    { "secret,id=a,fd=-1", STRATA_ERROR_SPEC, "\"fd\" is the number" },
    { "secret,id=a,fd=3x", STRATA_ERROR_SPEC, "\"fd\" is the number" },
    { "secret,id=a,file=/dev/null,format=hex", STRATA_ERROR_SPEC, "\"format\" is raw or base64" },
    { "secret,id=a,file=/nowhere/key", STRATA_ERROR_NOT_FOUND, "'/nowhere/key'" },
    { "secret,id=a,file=/", STRATA_ERROR_IO, "cannot read the secret from '/'" },
    { "secret,id=taken,file=/dev/null", STRATA_ERROR_SPEC, "of that \"id\" already" },
    { "tls-creds-x509,id=taken,dir=/", STRATA_ERROR_SPEC, "of that \"id\" already" },
    { "tls-creds-x509,id=a", STRATA_ERROR_SPEC, "it needs \"dir\"" },
    { "tls-creds-x509,id=a,dir=/nowhere", STRATA_ERROR_NOT_FOUND, "'/nowhere/ca-cert.pem'" },
    { "tls-creds-psk,id=a,dir=/nowhere", STRATA_ERROR_NOT_FOUND, "'/nowhere/keys.psk'" },
    { "tls-creds-x509,id=a,dir=/,endpoint=server", STRATA_ERROR_SPEC, "can only be client" },
    { "tls-creds-x509,id=a,dir=/,verify-peer=perhaps", STRATA_ERROR_SPEC, "\"verify-peer\" is on" },
    { "tls-creds-x509,id=a,dir=/,priority=NORMAL", STRATA_ERROR_SPEC, "\"priority\" is refused" },
    { "tls-creds-x509,id=a,dir=/,passwordid=b", STRATA_ERROR_SPEC, "\"passwordid\" is refused" },
    { "tls-creds-psk,id=a,dir=/,priority=NORMAL", STRATA_ERROR_SPEC, "\"priority\" is refused" },
    { "tls-creds-psk,id=a,dir=/,verify-peer=off", STRATA_ERROR_SPEC, "\"verify-peer\" is refused" },
    { "tls-creds-psk,id=a,dir=/,user=b", STRATA_ERROR_SPEC, "there is no key \"user\"" },
};

static void
test_refusals(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(refusals); i++) {
        const Refusal *refusal = &refusals[i];
        g_autoptr(StrataPolicy) policy = strata_policy_new();
        g_autoptr(GError) error = NULL;

        g_test_message("%s", refusal->text);
        g_assert_true(strata_policy_add_object(policy, "secret,id=taken,file=/dev/null", NULL));
        g_assert_false(strata_policy_add_object(policy, refusal->text, &error));
        g_assert_error(error, STRATA_ERROR, (gint)refusal->code);
        if (!strstr(error->message, refusal->words))
            g_error("'%s' is not in the message: %s", refusal->words, error->message);
        g_assert_null(strstr(error->message, "letmein")); /* not even a wrong one is repeated */
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/objects/secret-files", test_secret_files);
    g_test_add_func("/objects/long-secret", test_long_secret);
    g_test_add_func("/objects/base64", test_base64);
    g_test_add_func("/objects/descriptor", test_descriptor);
    g_test_add_func("/objects/copy", test_copy);
    g_test_add_func("/objects/creds", test_creds);
    g_test_add_func("/objects/refusals", test_refusals);
    return g_test_run();
}
