/* SPDX-License-Identifier: LGPL-2.1-or-later
 * suite.c - the words for ciphers, modes, IV generators and hashes: those of the LUKS on-disk
 * format (section "Cipher specification" and what dm-crypt has besides), as far as GnuTLS can do
 * them. */
#include "suite.h"

#include "late-gnutls.h"

#include <string.h>

typedef struct {
    const char *mode;
    guint key_bytes; /* in the LUKS header: for xts both keys */
    gnutls_cipher_algorithm_t algorithm;
} AesMode;

static const AesMode aes_modes[] = {
    { "xts", 32, GNUTLS_CIPHER_AES_128_XTS }, { "xts", 64, GNUTLS_CIPHER_AES_256_XTS },
    { "cbc", 16, GNUTLS_CIPHER_AES_128_CBC }, { "cbc", 24, GNUTLS_CIPHER_AES_192_CBC },
    { "cbc", 32, GNUTLS_CIPHER_AES_256_CBC },
};

typedef struct {
    const char *name;
    gnutls_digest_algorithm_t digest;
} Digest;

static const Digest digests[] = {
    { "md5", GNUTLS_DIG_MD5 },       { "sha1", GNUTLS_DIG_SHA1 },
    { "sha224", GNUTLS_DIG_SHA224 }, { "sha256", GNUTLS_DIG_SHA256 },
    { "sha384", GNUTLS_DIG_SHA384 }, { "sha512", GNUTLS_DIG_SHA512 },
};

gboolean
suite_find_digest(const char *name, gnutls_digest_algorithm_t *out_digest)
{
    for (gsize i = 0; i < G_N_ELEMENTS(digests); i++) {
        if (g_str_equal(digests[i].name, name)) {
            *out_digest = digests[i].digest;
            return TRUE;
        }
    }
    return FALSE;
}

/* dm-crypt takes the whole hash for the key of ESSIV's cipher, so it must have the length of one.
 */
static gboolean
find_essiv_digest(const char *name, gnutls_digest_algorithm_t *out_digest)
{
    guint length;

    if (!suite_find_digest(name, out_digest))
        return FALSE;
    length = gnutls_hash_get_len(*out_digest);
    return length == 16 || length == 24 || length == 32;
}

/* plain and plain64 may have a hash behind a colon; dm-crypt and QEMU pass over it. */
static gboolean
find_iv(const char *words, CipherSuite *suite)
{
    g_auto(GStrv) parts = g_strsplit(words, ":", 2);

    if (g_strcmp0(parts[0], "plain") == 0) {
        suite->iv = IV_PLAIN;
        return TRUE;
    }
    if (g_strcmp0(parts[0], "plain64") == 0) {
        suite->iv = IV_PLAIN64;
        return TRUE;
    }
    suite->iv = IV_ESSIV;
    return g_strcmp0(parts[0], "essiv") == 0 && parts[1] &&
           find_essiv_digest(parts[1], &suite->essiv_digest);
}

gboolean
suite_find(const char *cipher, const char *mode, guint key_bytes, CipherSuite *out_suite)
{
    const char *dash = strchr(mode, '-');
    g_autofree char *chaining = dash ? g_strndup(mode, dash - mode) : NULL;

    *out_suite = (CipherSuite){ 0 };
    if (!g_str_equal(cipher, "aes") || !dash || !find_iv(dash + 1, out_suite))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(aes_modes); i++) {
        if (g_str_equal(aes_modes[i].mode, chaining) && aes_modes[i].key_bytes == key_bytes) {
            out_suite->algorithm = aes_modes[i].algorithm;
            return TRUE;
        }
    }
    return FALSE;
}
