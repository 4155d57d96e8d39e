/* SPDX-License-Identifier: LGPL-2.1-or-later
 * luks-image.c - a LUKS image put together in memory, for tests. */
#include "luks-image.h"

#include <gnutls/crypto.h>
#include <string.h>

#include "crypto/af-splitter.h"
#include "late-gnutls.h"

#define SECTOR    512
#define KEY_BYTES 32
#define STRIPES   3
#define ROUNDS    10

void
luks_image_put32(GByteArray *image, guint at, guint32 value)
{
    guint32 big_endian = GUINT32_TO_BE(value);

    g_assert_cmpuint(at + sizeof value, <=, image->len);
    memcpy(image->data + at, &big_endian, sizeof big_endian);
}

static void
encrypt_sectors(const guint8 *key, guint8 *bytes, gsize length)
{
    gnutls_datum_t datum = { (guint8 *)key, KEY_BYTES };
    gnutls_cipher_hd_t handle;

    g_assert_cmpint(gnutls_cipher_init(&handle, GNUTLS_CIPHER_AES_128_XTS, &datum, NULL), ==, 0);
    for (gsize at = 0; at < length; at += SECTOR) {
        guint64 iv[2] = { GUINT64_TO_LE(at / SECTOR), 0 };

        gnutls_cipher_set_iv(handle, iv, sizeof iv);
        g_assert_cmpint(gnutls_cipher_encrypt2(handle, bytes + at, SECTOR, bytes + at, SECTOR), ==,
                        0);
    }
    gnutls_cipher_deinit(handle);
}

static void
derive(const guint8 *secret, gsize size, const guint8 *salt, guint8 *out, gsize length)
{
    gnutls_datum_t secret_datum = { (guint8 *)secret, size }, salt_datum = { (guint8 *)salt, 32 };

    g_assert_cmpint(
        gnutls_pbkdf2(GNUTLS_MAC_SHA256, &secret_datum, &salt_datum, ROUNDS, out, length), ==, 0);
}

/* The last stripe is chosen so that all of them merge to @key. */
static void
split_key(const guint8 *key, guint8 *stripes)
{
    g_auto(Key) rest = { 0 };

    for (guint i = 0; i < (STRIPES - 1) * KEY_BYTES; i++)
        stripes[i] = i * 17 + 3;
    memset(stripes + (STRIPES - 1) * KEY_BYTES, 0, KEY_BYTES);
    g_assert_cmpint(af_merge(GNUTLS_DIG_SHA256, stripes, KEY_BYTES, STRIPES, &rest), ==, 0);
    for (guint i = 0; i < KEY_BYTES; i++)
        stripes[(STRIPES - 1) * KEY_BYTES + i] = key[i] ^ rest.bytes[i];
}

static void
put_slot(GByteArray *image, const guint8 *key)
{
    guint at = 208 + 48 * LUKS_IMAGE_SLOT;
    guint8 slot_key[KEY_BYTES];

    luks_image_put32(image, at, 0x00ac71f3);
    luks_image_put32(image, at + 4, ROUNDS);
    memset(image->data + at + 8, 0x5a, 32);
    luks_image_put32(image, at + 40, LUKS_IMAGE_MATERIAL / SECTOR);
    luks_image_put32(image, at + 44, STRIPES);
    derive((const guint8 *)LUKS_IMAGE_PASSPHRASE, strlen(LUKS_IMAGE_PASSPHRASE),
           image->data + at + 8, slot_key, sizeof slot_key);
    split_key(key, image->data + LUKS_IMAGE_MATERIAL);
    encrypt_sectors(slot_key, image->data + LUKS_IMAGE_MATERIAL, SECTOR);
}

GByteArray *
luks_image_new(const guint8 *content, gsize size)
{
    GByteArray *image = g_byte_array_new();
    guint8 key[KEY_BYTES];

    g_assert_true(late_gnutls_load(NULL));
    g_byte_array_set_size(image, LUKS_IMAGE_PAYLOAD);
    memset(image->data, 0, image->len);
    for (guint i = 0; i < KEY_BYTES; i++)
        key[i] = i * 29 + 1;
    memcpy(image->data, "LUKS\xba\xbe\0\1aes", 11);
    memcpy(image->data + 40, "xts-plain64", 11);
    memcpy(image->data + 72, "sha256", 6);
    luks_image_put32(image, 104, LUKS_IMAGE_PAYLOAD / SECTOR);
    luks_image_put32(image, 108, KEY_BYTES);
    memset(image->data + 132, 0xa5, 32);
    derive(key, sizeof key, image->data + 132, image->data + 112, 20);
    luks_image_put32(image, 164, ROUNDS);
    memcpy(image->data + 168, "01234567-89ab-cdef-0123-456789abcdef", 36);
    put_slot(image, key);
    g_byte_array_append(image, content, size);
    encrypt_sectors(key, image->data + LUKS_IMAGE_PAYLOAD, size);
    return image;
}
