/* SPDX-License-Identifier: LGPL-2.1-or-later
 * sector-cipher.h - a disk key at work: decrypts sectors by their numbers. */
#ifndef STRATA_CRYPTO_SECTOR_CIPHER_H
#define STRATA_CRYPTO_SECTOR_CIPHER_H

#include "driver.h"
#include "suite.h"

#define CIPHER_SECTOR 512 /* bytes: QEMU and LUKS 1 know no other */

/* Immutable; any number of threads may decrypt with it at once. */
typedef struct _SectorCipher SectorCipher;

/* @key: as many bytes as the cipher has; copied. NULL with *@out_status, one of GnuTLS's codes,
 * where GnuTLS cannot or must not (FIPS). */
SectorCipher *sector_cipher_new(const CipherSuite *suite, const guint8 *key, int *out_status);

/* Thread-safe. The last unref wipes the key. */
SectorCipher *sector_cipher_ref(SectorCipher *cipher);
void sector_cipher_unref(SectorCipher *cipher);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SectorCipher, sector_cipher_unref)

/* Decrypts whole sectors in place, the first of which has the number @sector. Returns 0 or one of
 * GnuTLS's codes. */
int sector_cipher_decrypt(const SectorCipher *cipher, guint64 sector, guint8 *bytes, gsize length);

/* Where encrypted bytes are found. The two offsets are alike modulo CIPHER_SECTOR. */
typedef struct {
    StrataNode *storage;
    guint64 offset; /* of the first byte wanted, in the storage */
    guint64 tweak;  /* of the same byte, from where sectors are numbered */
} CipherText;

/* Reads and decrypts @length bytes, which need not begin or end with a sector; the whole sectors
 * must lie in the storage. @node is who reads, for messages. */
gboolean sector_cipher_read(const SectorCipher *cipher, StrataNode *node, const CipherText *from,
                            gsize length, guint8 *buffer, GError **error);

#endif
