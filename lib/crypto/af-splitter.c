/* SPDX-License-Identifier: LGPL-2.1-or-later
 * af-splitter.c - the anti-forensic splitter of LUKS: section "Anti-forensic splitting" of its
 * on-disk format. The last stripe is the key XORed with what all others, diffused, add up to. */
#include "af-splitter.h"

#include "late-gnutls.h"

/* A digest's worth of the key becomes the hash of its index and itself; the last may be shorter. */
static int
diffuse_piece(gnutls_hash_hd_t hash, guint32 index, guint8 *piece, guint length)
{
    guint32 big_endian = GUINT32_TO_BE(index);
    guint8 out[SUITE_MAX_KEY]; /* no digest is longer */
    int status = gnutls_hash(hash, &big_endian, sizeof big_endian);

    if (status == 0)
        status = gnutls_hash(hash, piece, length);
    gnutls_hash_output(hash, out);
    memcpy(piece, out, length);
    explicit_bzero(out, sizeof out);
    return status;
}

static int
diffuse(gnutls_hash_hd_t hash, guint digest_bytes, guint8 *block, guint length)
{
    int status = 0;

    for (guint at = 0; at < length && status == 0; at += digest_bytes)
        status = diffuse_piece(hash, at / digest_bytes, block + at, MIN(digest_bytes, length - at));
    return status;
}

static void
xor_into(guint8 *block, const guint8 *stripe, guint length)
{
    for (guint i = 0; i < length; i++)
        block[i] ^= stripe[i];
}

int
af_merge(gnutls_digest_algorithm_t digest, const guint8 *split, guint key_bytes, guint stripes,
         Key *out_key)
{
    guint digest_bytes = gnutls_hash_get_len(digest);
    gnutls_hash_hd_t hash;
    int status = gnutls_hash_init(&hash, digest);

    memset(out_key, 0, sizeof *out_key);
    if (status != 0)
        return status;
    for (guint i = 0; i < stripes && status == 0; i++) {
        xor_into(out_key->bytes, split + (gsize)i * key_bytes, key_bytes);
        if (i + 1 < stripes)
            status = diffuse(hash, digest_bytes, out_key->bytes, key_bytes);
    }
    gnutls_hash_deinit(hash, NULL);
    return status;
}
