/* SPDX-License-Identifier: LGPL-2.1-or-later
 * suite.h - how the sectors of an encrypted disk are encrypted: cipher, mode and initialization
 * vector, by the words that LUKS and QEMU have for them. */
#ifndef STRATA_CRYPTO_SUITE_H
#define STRATA_CRYPTO_SUITE_H

#include <glib.h>
#include <gnutls/gnutls.h>

#define SUITE_MAX_KEY 64 /* bytes: AES-256-XTS has two keys of 32 */

/* Sectors have numbers, and a sector's number makes its initialization vector. */
typedef enum {
    IV_PLAIN,   /* the low 32 bits of the number, little-endian, then zeros */
    IV_PLAIN64, /* all 64 of them, likewise */
    IV_ESSIV,   /* what plain64 gives, encrypted with AES under the hash of the key */
} IvKind;

typedef struct {
    gnutls_cipher_algorithm_t algorithm;
    IvKind iv;
    gnutls_digest_algorithm_t essiv_digest; /* IV_ESSIV */
} CipherSuite;

/* @cipher, @mode: as in "aes" and "xts-plain64", "cbc-essiv:sha256". FALSE where GnuTLS has no such
 * cipher for a key of @key_bytes, or nobody has. */
gboolean suite_find(const char *cipher, const char *mode, guint key_bytes, CipherSuite *out_suite);

/* What suite_find() finds, for messages. */
#define SUITES_KNOWN                                                                     \
    "aes in the modes xts (with 128 and 256 bits) and cbc (128, 192, 256), with the IV " \
    "generators plain, plain64 and essiv"

/* "sha256" and its like. FALSE for what GnuTLS cannot do, or cannot derive keys with. */
gboolean suite_find_digest(const char *name, gnutls_digest_algorithm_t *out_digest);

#define DIGESTS_KNOWN "md5, sha1, sha224, sha256, sha384 and sha512"

#endif
