/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-tls-psk.c - files of pre-shared keys, and the URIs that lead to servers with TLS. */
#include "tls/tls-psk.h"
#include "tls/tls-uri.h"

#include <strata/strata.h>
#include <string.h>

static PskKeys *
parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    PskKeys *keys = psk_keys_parse(text, strlen(text), "keys.psk", &error);

    g_assert_no_error(error);
    return keys;
}

static void
assert_key(const PskKeys *keys, const char *name, gsize length, const char *expected)
{
    const GByteArray *key = psk_keys_find(keys, name, length);

    g_assert_nonnull(key);
    g_assert_cmpmem(key->data, key->len, expected, strlen(expected));
}

static void
test_lines(void)
{
    g_autoptr(PskKeys) keys =
        parse("\n  \nalice:616263\nbob:4445\r\n#ff00:66\nJos\xc3\xa9 x:2f  \nlast:7A");

    g_assert_cmpstr(psk_keys_first_name(keys), ==, "alice");
    assert_key(keys, "alice", 5, "abc");
    assert_key(keys, "bob", 3, "DE");
    assert_key(keys, "\xff\0", 2, "f");
    assert_key(keys, "Jos\xc3\xa9 x", 7, "/");
    assert_key(keys, "last", 4, "z");
    g_assert_null(psk_keys_find(keys, "alic", 4));
    g_assert_null(psk_keys_find(keys, "alice\0", 6));
    g_assert_null(psk_keys_find(keys, "", 0));
}

static void
test_refusals(void)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "", "the file of keys 'keys.psk' has no key in it; psktool makes one" },
        { "\n\n", "the file of keys 'keys.psk' has no key in it; psktool makes one" },
        { "alice", "line 1: expected NAME:KEY, as psktool writes it" },
        { "a:41\n:41", "line 2: there is no name before the colon" },
        { "a:41\na:42", "line 2: 'a' has a key already" },
        { "a:4", "line 1: the key of 'a' is not pairs of hexadecimal digits" },
        { "a:", "line 1: the key of 'a' is not pairs of hexadecimal digits" },
        { "a:4142434x", "line 1: the key of 'a' is not pairs of hexadecimal digits" },
        { "\x1b[m:zz", "line 1: the key of '\\x1b[m' is not pairs of hexadecimal digits" },
        { "#4:41", "line 1: a name after '#' is written in pairs of hexadecimal digits" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(psk_keys_parse(rows[i].text, strlen(rows[i].text), "keys.psk", &error));
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_SPEC);
        g_assert_nonnull(strstr(error->message, rows[i].message));
    }
}

static void
test_limits(void)
{
    g_autofree char *name = g_strnfill(129, 'n');
    g_autofree char *key = g_strnfill(130, '4');
    g_autofree char *long_name = g_strconcat(name, ":41", NULL);
    g_autofree char *most = g_strdup_printf("%.128s:%.128s", name, key);
    g_autofree char *long_key = g_strconcat("a:", key, NULL);
    g_autoptr(PskKeys) keys = parse(most);
    g_autoptr(GError) error = NULL;

    g_assert_cmpuint(psk_keys_find(keys, name, 128)->len, ==, 64);
    g_assert_null(psk_keys_parse(long_name, strlen(long_name), "f", &error));
    g_assert_nonnull(strstr(error->message, "the name has more than 128 bytes"));
    g_clear_error(&error);
    g_assert_null(psk_keys_parse(long_key, strlen(long_key), "f", &error));
    g_assert_nonnull(strstr(error->message, "has more than 64 bytes"));
    g_assert_null(strstr(error->message, "4444"));
}

static void
assert_text(const char *name, gsize length, const char *expected)
{
    g_autofree char *text = psk_name_to_text(name, length);

    g_assert_cmpstr(text, ==, expected);
}

/* No two names are the same text. */
static void
test_names_as_text(void)
{
    assert_text("alice", 5, "alice");
    assert_text("#616c", 5, "#2336313663");
    assert_text("a\0b", 3, "#610062");
    assert_text("\xff", 1, "#ff");
    assert_text("", 0, "#");
}

static void
assert_uri(const char *plain, const TlsUriParts *parts, const char *expected)
{
    g_autofree char *uri = tls_uri_require(plain, parts);

    g_assert_cmpstr(uri, ==, expected);
}

static void
test_uris(void)
{
    TlsUriParts none = { 0 };
    TlsUriParts x509 = { .certificates = "/a b/c&d" };
    TlsUriParts psk = { .psk_file = "/k?", .psk_name = "a@b" };

    assert_uri("nbd://host:1/x", &none, "nbds://host:1/x");
    assert_uri("nbd://[::1]:1/x", &x509, "nbds://[::1]:1/x?tls-certificates=/a%20b/c%26d");
    assert_uri("nbd+unix:///x?socket=/s", &x509,
               "nbds+unix:///x?socket=/s&tls-certificates=/a%20b/c%26d");
    assert_uri("nbd://host:1/", &psk, "nbds://a%40b@host:1/?tls-psk-file=/k%3F");
    assert_uri("nbd+unix:///?socket=/s", &psk, "nbds+unix://a%40b@/?socket=/s&tls-psk-file=/k%3F");
    assert_uri("nbd+vsock://3:1/", &none, "nbds+vsock://3:1/");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tls/psk/lines", test_lines);
    g_test_add_func("/tls/psk/refusals", test_refusals);
    g_test_add_func("/tls/psk/limits", test_limits);
    g_test_add_func("/tls/psk/names-as-text", test_names_as_text);
    g_test_add_func("/tls/uris", test_uris);
    return g_test_run();
}
