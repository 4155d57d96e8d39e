/* SPDX-License-Identifier: LGPL-2.1-or-later
 * luks.h - the header of LUKS 1: how a disk is encrypted, and the slots that keep its key. */
#ifndef STRATA_CRYPTO_LUKS_H
#define STRATA_CRYPTO_LUKS_H

#include "sector-cipher.h"

#define LUKS_HEADER_BYTES 592
#define LUKS_SALT_BYTES   32
#define LUKS_DIGEST_BYTES 20
#define LUKS_SLOTS        8
#define LUKS_NAME_BYTES   32
#define LUKS_UUID_BYTES   40

/* The part of the header that says which disk key there is, by a salted digest, and for which
 * cipher; slots may come and go after it. */
#define LUKS_IDENTITY_BYTES 208

/* Hard limits. With cryptsetup and QEMU a slot has some millions of rounds, and 4000 stripes. The
 * rounds are all that trying every slot takes, each counted as often as what is derived has blocks:
 * two minutes of SHA-256, nine of SHA-512. */
#define LUKS_MAX_ROUNDS  (1u << 28)
#define LUKS_MAX_STRIPES 10000

/* An active key slot: the disk key, split and encrypted under a passphrase. */
typedef struct {
    guint32 rounds; /* of PBKDF2, at least 1 */
    guint8 salt[LUKS_SALT_BYTES];
    guint64 offset; /* bytes, from the header's beginning */
    guint32 stripes;
} LuksSlot;

/* Where a header lies. */
typedef struct {
    StrataNode *node;    /* whose header it is, for messages */
    StrataNode *storage; /* in which it lies */
    guint64 offset;      /* bytes, in the storage */
    guint64 length;      /* bytes that it may use, key slots included; they are in the storage */
} LuksPlace;

/* Checked. */
typedef struct {
    LuksPlace place;
    guint8 identity[LUKS_IDENTITY_BYTES]; /* as it stands there */
    char cipher[LUKS_NAME_BYTES + 1];
    char mode[LUKS_NAME_BYTES + 1];
    char hash[LUKS_NAME_BYTES + 1];
    char uuid[LUKS_UUID_BYTES + 1];
    CipherSuite suite;
    gnutls_digest_algorithm_t digest;
    guint32 key_bytes;
    guint64 payload_offset; /* bytes, from the header's beginning */
    guint8 key_digest[LUKS_DIGEST_BYTES];
    guint8 key_salt[LUKS_SALT_BYTES];
    guint32 key_rounds;
    LuksSlot slots[LUKS_SLOTS];
    guint n_slots; /* active ones; at least 1 */
} Luks;

/* NULL with @error: DAMAGED, UNSUPPORTED, LIMIT, or what reading gave. Free with g_free(). */
Luks *luks_read(const LuksPlace *place, GError **error);

/* Tries @passphrase on every slot; @id is what the user calls it, for messages. NULL with @error:
 * SPEC where it opens none. Takes seconds: that is what slots are made for. */
SectorCipher *luks_unlock(const Luks *luks, GBytes *passphrase, const char *id, GError **error);

/* Has the disk of @luks the same key as that of @other? Then the cipher that one was unlocked with
 * decrypts the other, and nobody need wait for key slots again. */
gboolean luks_has_key_of(const Luks *luks, const Luks *other);

/* Is the header's identity still what it was? FALSE with @error: IO, or as luks_read(). */
gboolean luks_still_holds(const Luks *luks, GError **error);

/* Adds "cipher", "hash", "key-slots" and "uuid". */
void luks_describe(const Luks *luks, GVariantDict *dict);

#endif
