/* SPDX-License-Identifier: LGPL-2.1-or-later
 * sector-cipher.c - a disk key at work: decrypts sectors by their numbers.
 *
 * A handle of GnuTLS has a state (the IV), so threads cannot share one. Making one takes about as
 * long as decrypting one sector, so every call makes its own, and there is nothing to lock. */
#include "sector-cipher.h"

#include "error.h"
#include "key.h"
#include "late-gnutls.h"

#define BLOCK 16 /* bytes: AES's, and so the IV's */

struct _SectorCipher {
    gint ref_count; /* atomic */
    CipherSuite suite;
    Key key;
    Key essiv_key;
    gnutls_cipher_algorithm_t essiv_algorithm; /* GNUTLS_CIPHER_UNKNOWN without ESSIV */
};

/* The handles of one call. */
typedef struct {
    gnutls_cipher_hd_t data;
    gnutls_cipher_hd_t essiv; /* NULL without ESSIV */
} Handles;

static void
handles_clear(Handles *handles)
{
    g_clear_pointer(&handles->data, gnutls_cipher_deinit);
    g_clear_pointer(&handles->essiv, gnutls_cipher_deinit);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Handles, handles_clear)

static int
open_handle(gnutls_cipher_hd_t *handle, gnutls_cipher_algorithm_t algorithm, const Key *key)
{
    gnutls_datum_t datum = { (guint8 *)key->bytes, gnutls_cipher_get_key_size(algorithm) };

    return gnutls_cipher_init(handle, algorithm, &datum, NULL);
}

static int
handles_open(Handles *handles, const SectorCipher *cipher)
{
    int status = open_handle(&handles->data, cipher->suite.algorithm, &cipher->key);

    if (status == 0 && cipher->suite.iv == IV_ESSIV)
        status = open_handle(&handles->essiv, cipher->essiv_algorithm, &cipher->essiv_key);
    return status;
}

/* One block of CBC with an IV of zeros is the bare cipher, which GnuTLS does not offer. */
static gnutls_cipher_algorithm_t
bare_aes(guint key_bytes)
{
    switch (key_bytes) {
    case 16:
        return GNUTLS_CIPHER_AES_128_CBC;
    case 24:
        return GNUTLS_CIPHER_AES_192_CBC;
    default:
        return GNUTLS_CIPHER_AES_256_CBC;
    }
}

static int
derive_essiv_key(SectorCipher *cipher)
{
    gnutls_digest_algorithm_t digest = cipher->suite.essiv_digest;

    cipher->essiv_algorithm = bare_aes(gnutls_hash_get_len(digest));
    return gnutls_hash_fast(digest, cipher->key.bytes,
                            gnutls_cipher_get_key_size(cipher->suite.algorithm),
                            cipher->essiv_key.bytes);
}

SectorCipher *
sector_cipher_new(const CipherSuite *suite, const guint8 *key, int *out_status)
{
    g_autoptr(SectorCipher) cipher = g_new0(SectorCipher, 1);
    g_auto(Handles) trial = { 0 };

    cipher->ref_count = 1;
    cipher->suite = *suite;
    memcpy(cipher->key.bytes, key, gnutls_cipher_get_key_size(suite->algorithm));
    *out_status = suite->iv == IV_ESSIV ? derive_essiv_key(cipher) : 0;
    if (*out_status == 0)
        *out_status = handles_open(&trial, cipher);
    return *out_status == 0 ? g_steal_pointer(&cipher) : NULL;
}

SectorCipher *
sector_cipher_ref(SectorCipher *cipher)
{
    g_atomic_int_inc(&cipher->ref_count);
    return cipher;
}

void
sector_cipher_unref(SectorCipher *cipher)
{
    if (!g_atomic_int_dec_and_test(&cipher->ref_count))
        return;
    key_wipe(&cipher->key);
    key_wipe(&cipher->essiv_key);
    g_free(cipher);
}

static int
make_iv(const Handles *handles, IvKind kind, guint64 sector, guint8 iv[BLOCK])
{
    guint8 zeros[BLOCK] = { 0 };
    guint64 number = GUINT64_TO_LE(kind == IV_PLAIN ? sector & G_MAXUINT32 : sector);

    memset(iv, 0, BLOCK);
    memcpy(iv, &number, sizeof number);
    if (kind != IV_ESSIV)
        return 0;
    gnutls_cipher_set_iv(handles->essiv, zeros, sizeof zeros);
    return gnutls_cipher_encrypt2(handles->essiv, iv, BLOCK, iv, BLOCK);
}

static int
decrypt_sector(const Handles *handles, IvKind kind, guint64 sector, guint8 *bytes)
{
    guint8 iv[BLOCK];
    int status = make_iv(handles, kind, sector, iv);

    if (status != 0)
        return status;
    gnutls_cipher_set_iv(handles->data, iv, sizeof iv);
    return gnutls_cipher_decrypt2(handles->data, bytes, CIPHER_SECTOR, bytes, CIPHER_SECTOR);
}

int
sector_cipher_decrypt(const SectorCipher *cipher, guint64 sector, guint8 *bytes, gsize length)
{
    g_auto(Handles) handles = { 0 };
    int status = handles_open(&handles, cipher);

    for (gsize done = 0; done < length && status == 0; done += CIPHER_SECTOR)
        status = decrypt_sector(&handles, cipher->suite.iv, sector++, bytes + done);
    return status;
}

/* -- Reading -- */

/* Whole sectors, into their place. */
static gboolean
read_whole(const SectorCipher *cipher, StrataNode *node, const CipherText *from, gsize length,
           guint8 *buffer, GError **error)
{
    int status;

    if (!strata_node_read(from->storage, from->offset, length, buffer, error))
        return FALSE;
    status = sector_cipher_decrypt(cipher, from->tweak / CIPHER_SECTOR, buffer, length);
    if (status != 0)
        return strata_throw(error, node, STRATA_ERROR_IO,
                            "cannot decrypt 0x%" G_GSIZE_MODIFIER
                            "x bytes at offset 0x%" G_GINT64_MODIFIER "x: GnuTLS says: %s",
                            length, from->offset, gnutls_strerror(status));
    return TRUE;
}

/* The part of one sector that begins at @from. */
static gboolean
read_part(const SectorCipher *cipher, StrataNode *node, const CipherText *from, gsize length,
          guint8 *buffer, GError **error)
{
    guint8 sector[CIPHER_SECTOR];
    gsize into = from->tweak % CIPHER_SECTOR;
    const CipherText whole = { from->storage, from->offset - into, from->tweak - into };

    if (!read_whole(cipher, node, &whole, sizeof sector, sector, error))
        return FALSE;
    memcpy(buffer, sector + into, length);
    return TRUE;
}

gboolean
sector_cipher_read(const SectorCipher *cipher, StrataNode *node, const CipherText *from,
                   gsize length, guint8 *buffer, GError **error)
{
    CipherText at = *from;

    while (length > 0) {
        gsize left = CIPHER_SECTOR - at.tweak % CIPHER_SECTOR; /* of the sector */
        gboolean is_whole = left == CIPHER_SECTOR && length >= CIPHER_SECTOR;
        gsize n = is_whole ? length - length % CIPHER_SECTOR : MIN(left, length);

        if (is_whole ? !read_whole(cipher, node, &at, n, buffer, error)
                     : !read_part(cipher, node, &at, n, buffer, error))
            return FALSE;
        at.offset += n;
        at.tweak += n;
        buffer += n;
        length -= n;
    }
    return TRUE;
}
