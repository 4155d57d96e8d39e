/* SPDX-License-Identifier: LGPL-2.1-or-later
 * luks.c - the header of LUKS 1 and its key slots: "LUKS On-Disk Format Specification", version
 * 1.2.3. All numbers are big-endian.
 *
 *      passphrase ──PBKDF2──> slot key ──decrypts──> stripes ──merged──> disk key ──PBKDF2──>
 * digest
 *
 * Only the digest tells whether the passphrase was right. */
#include "luks.h"

#include "af-splitter.h"
#include "bytes.h"
#include "checked.h"
#include "dict.h"
#include "error.h"
#include "late-gnutls.h"

/* Section "The partition header": byte offsets of the fields. */
#define AT_VERSION        6
#define AT_CIPHER         8
#define AT_MODE           40
#define AT_HASH           72
#define AT_PAYLOAD_OFFSET 104 /* sectors */
#define AT_KEY_BYTES      108
#define AT_KEY_DIGEST     112
#define AT_KEY_SALT       132
#define AT_KEY_ROUNDS     164
#define AT_UUID           168
#define AT_SLOTS          208

/* Section "Key slots": likewise, in one of them. */
#define SLOT_BYTES     48
#define SLOT_AT_ACTIVE 0
#define SLOT_AT_ROUNDS 4
#define SLOT_AT_SALT   8
#define SLOT_AT_OFFSET 40 /* sectors */
#define SLOT_AT_STRIPE 44

#define SLOT_IS_ACTIVE 0x00ac71f3u

static const guint8 magic[] = { 'L', 'U', 'K', 'S', 0xba, 0xbe };

static gboolean
read_raw(const LuksPlace *place, guint8 raw[LUKS_HEADER_BYTES], GError **error)
{
    guint version;

    if (place->length < LUKS_HEADER_BYTES)
        return strata_throw(error, place->node, STRATA_ERROR_DAMAGED,
                            "there are 0x%" G_GINT64_MODIFIER "x bytes for the LUKS header at "
                            "offset 0x%" G_GINT64_MODIFIER "x, and it has at least %d",
                            place->length, place->offset, LUKS_HEADER_BYTES);
    if (!strata_node_read(place->storage, place->offset, LUKS_HEADER_BYTES, raw, error))
        return FALSE;
    if (memcmp(raw, magic, sizeof magic) != 0)
        return strata_throw(error, place->node, STRATA_ERROR_DAMAGED,
                            "there is no LUKS header at offset 0x%" G_GINT64_MODIFIER
                            "x: it does not begin with 'LUKS' and 0xbabe",
                            place->offset);
    version = raw[AT_VERSION] << 8 | raw[AT_VERSION + 1];
    if (version != 1)
        return strata_throw(error, place->node, STRATA_ERROR_UNSUPPORTED,
                            "LUKS version %u; this program, like QEMU, reads version 1", version);
    return TRUE;
}

/* Names are padded with NULs, and one must be there. */
static gboolean
take_name(const LuksPlace *place, const guint8 *raw, gsize at, const char *what,
          char name[LUKS_NAME_BYTES + 1], GError **error)
{
    memcpy(name, raw + at, LUKS_NAME_BYTES);
    name[LUKS_NAME_BYTES] = '\0';
    if (strlen(name) < LUKS_NAME_BYTES)
        return TRUE;
    return strata_throw(error, place->node, STRATA_ERROR_DAMAGED,
                        "the %s in the LUKS header at offset 0x%" G_GINT64_MODIFIER
                        "x has no end within its %d bytes",
                        what, place->offset, LUKS_NAME_BYTES);
}

static gboolean
check_algorithms(Luks *luks, GError **error)
{
    g_autofree char *cipher = strata_escape(luks->cipher);
    g_autofree char *mode = strata_escape(luks->mode);
    g_autofree char *hash = strata_escape(luks->hash);

    if (!suite_find(luks->cipher, luks->mode, luks->key_bytes, &luks->suite))
        return strata_throw(error, luks->place.node, STRATA_ERROR_UNSUPPORTED,
                            "the image is encrypted with %s-%s and a key of %u bytes; what GnuTLS "
                            "can do for this program is " SUITES_KNOWN,
                            cipher, mode, luks->key_bytes);
    if (!suite_find_digest(luks->hash, &luks->digest))
        return strata_throw(error, luks->place.node, STRATA_ERROR_UNSUPPORTED,
                            "the image's key is derived with the hash %s; what GnuTLS can do for "
                            "this program is " DIGESTS_KNOWN,
                            hash);
    return TRUE;
}

/* -- Key slots -- */

/* What lies there: the stripes, encrypted as whole sectors. */
static gsize
material_bytes(const Luks *luks, const LuksSlot *slot)
{
    gsize bytes = (gsize)luks->key_bytes * slot->stripes;

    return (bytes + CIPHER_SECTOR - 1) / CIPHER_SECTOR * CIPHER_SECTOR;
}

static gboolean
check_slot(const Luks *luks, guint index, const LuksSlot *slot, GError **error)
{
    StrataNode *node = luks->place.node;

    if (slot->rounds == 0)
        return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                            "key slot %u has 0 rounds of PBKDF2, and needs at least 1", index);
    if (slot->stripes == 0 || slot->stripes > LUKS_MAX_STRIPES)
        return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                            "key slot %u has %u stripes, and may have 1 to %d (LUKS has 4000)",
                            index, slot->stripes, LUKS_MAX_STRIPES);
    if (!range_within(slot->offset, material_bytes(luks, slot), luks->place.length))
        return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                            "key slot %u keeps 0x%" G_GSIZE_MODIFIER
                            "x bytes at 0x%" G_GINT64_MODIFIER
                            "x after the beginning of the LUKS header, which has room for "
                            "0x%" G_GINT64_MODIFIER "x",
                            index, material_bytes(luks, slot), slot->offset, luks->place.length);
    return TRUE;
}

/* A slot that is not active says nothing, whatever stands in it. */
static gboolean
take_slot(Luks *luks, const guint8 *raw, guint index, GError **error)
{
    const guint8 *from = raw + AT_SLOTS + index * SLOT_BYTES;
    LuksSlot *slot = &luks->slots[luks->n_slots];

    if (load_be32(from, SLOT_BYTES, SLOT_AT_ACTIVE) != SLOT_IS_ACTIVE)
        return TRUE;
    slot->rounds = load_be32(from, SLOT_BYTES, SLOT_AT_ROUNDS);
    memcpy(slot->salt, from + SLOT_AT_SALT, LUKS_SALT_BYTES);
    slot->offset = (guint64)load_be32(from, SLOT_BYTES, SLOT_AT_OFFSET) * CIPHER_SECTOR;
    slot->stripes = load_be32(from, SLOT_BYTES, SLOT_AT_STRIPE);
    luks->n_slots++;
    return check_slot(luks, index, slot, error);
}

/* How often PBKDF2 goes through its rounds for @length bytes: once for each output of its hash
 * (RFC 8018, section 5.2). */
static guint64
count_blocks(const Luks *luks, guint length)
{
    guint digest_bytes = gnutls_hash_get_len(luks->digest);

    return (length + digest_bytes - 1) / digest_bytes;
}

/* Each slot that is tried costs its own rounds, and those for the digest. */
static guint64
count_rounds(const Luks *luks)
{
    guint64 for_digest = luks->key_rounds * count_blocks(luks, LUKS_DIGEST_BYTES);
    guint64 blocks = count_blocks(luks, luks->key_bytes);
    guint64 rounds = 0;

    for (guint i = 0; i < luks->n_slots; i++)
        rounds += luks->slots[i].rounds * blocks + for_digest;
    return rounds;
}

static gboolean
check_rounds(const Luks *luks, GError **error)
{
    guint64 rounds = count_rounds(luks);

    if (luks->key_rounds == 0)
        return strata_throw(error, luks->place.node, STRATA_ERROR_DAMAGED,
                            "the key's digest has 0 rounds of PBKDF2, and needs at least 1");
    if (rounds > LUKS_MAX_ROUNDS)
        return strata_throw(error, luks->place.node, STRATA_ERROR_LIMIT,
                            "trying a key would take %" G_GUINT64_FORMAT
                            " rounds of PBKDF2, says the LUKS header; at most %u are done",
                            rounds, LUKS_MAX_ROUNDS);
    return TRUE;
}

static gboolean
take_slots(Luks *luks, const guint8 *raw, GError **error)
{
    for (guint i = 0; i < LUKS_SLOTS; i++)
        if (!take_slot(luks, raw, i, error))
            return FALSE;
    if (luks->n_slots == 0)
        return strata_throw(error, luks->place.node, STRATA_ERROR_DAMAGED,
                            "none of the %d key slots of the LUKS header is active: no key can "
                            "open the image",
                            LUKS_SLOTS);
    return check_rounds(luks, error);
}

Luks *
luks_read(const LuksPlace *place, GError **error)
{
    g_autofree Luks *luks = g_new0(Luks, 1);
    guint8 raw[LUKS_HEADER_BYTES];

    luks->place = *place;
    if (!late_gnutls_load(error) || !read_raw(place, raw, error) ||
        !take_name(place, raw, AT_CIPHER, "cipher's name", luks->cipher, error) ||
        !take_name(place, raw, AT_MODE, "cipher's mode", luks->mode, error) ||
        !take_name(place, raw, AT_HASH, "hash's name", luks->hash, error))
        return NULL;
    memcpy(luks->identity, raw, sizeof luks->identity);
    memcpy(luks->uuid, raw + AT_UUID, LUKS_UUID_BYTES);
    memcpy(luks->key_digest, raw + AT_KEY_DIGEST, LUKS_DIGEST_BYTES);
    memcpy(luks->key_salt, raw + AT_KEY_SALT, LUKS_SALT_BYTES);
    luks->payload_offset = (guint64)load_be32(raw, sizeof raw, AT_PAYLOAD_OFFSET) * CIPHER_SECTOR;
    luks->key_bytes = load_be32(raw, sizeof raw, AT_KEY_BYTES);
    luks->key_rounds = load_be32(raw, sizeof raw, AT_KEY_ROUNDS);
    if (!check_algorithms(luks, error) || !take_slots(luks, raw, error))
        return NULL;
    return g_steal_pointer(&luks);
}

/* -- Unlocking -- */

static int
derive(const Luks *luks, const gnutls_datum_t *secret, const guint8 *salt, guint32 rounds,
       guint8 *out, gsize length)
{
    const gnutls_datum_t salt_datum = { (guint8 *)salt, LUKS_SALT_BYTES };

    /* GnuTLS numbers the HMACs as it numbers their hashes. */
    return gnutls_pbkdf2((gnutls_mac_algorithm_t)luks->digest, secret, &salt_datum, rounds, out,
                         length);
}

/* The stripes of @slot in the clear, if @slot_key is the right one. */
static int
decrypt_material(const Luks *luks, const Key *slot_key, guint8 *material, gsize length)
{
    int status;
    g_autoptr(SectorCipher) cipher = sector_cipher_new(&luks->suite, slot_key->bytes, &status);

    return cipher ? sector_cipher_decrypt(cipher, 0, material, length) : status;
}

static int
try_material(const Luks *luks, const LuksSlot *slot, GBytes *passphrase, guint8 *material,
             Key *out_key)
{
    gsize size;
    gconstpointer data = g_bytes_get_data(passphrase, &size);
    const gnutls_datum_t secret = { size ? (guint8 *)data : (guint8 *)"", size };
    g_auto(Key) slot_key = { 0 };
    int status = derive(luks, &secret, slot->salt, slot->rounds, slot_key.bytes, luks->key_bytes);

    if (status == 0)
        status = decrypt_material(luks, &slot_key, material, material_bytes(luks, slot));
    if (status == 0)
        status = af_merge(luks->digest, material, luks->key_bytes, slot->stripes, out_key);
    return status;
}

static int
check_key(const Luks *luks, const Key *key, gboolean *out_is_right)
{
    const gnutls_datum_t secret = { (guint8 *)key->bytes, luks->key_bytes };
    guint8 digest[LUKS_DIGEST_BYTES];
    int status = derive(luks, &secret, luks->key_salt, luks->key_rounds, digest, sizeof digest);

    *out_is_right = status == 0 && gnutls_memcmp(digest, luks->key_digest, sizeof digest) == 0;
    return status;
}

static gboolean
throw_gnutls(const Luks *luks, int status, GError **error)
{
    return strata_throw(error, luks->place.node, STRATA_ERROR_UNSUPPORTED,
                        "GnuTLS cannot open the LUKS key slots: %s", gnutls_strerror(status));
}

/* Memory that holds the stripes of a slot, and is wiped. */
typedef struct {
    guint8 *bytes;
    gsize length;
} Material;

static void
material_clear(Material *material)
{
    explicit_bzero(material->bytes, material->length);
    g_free(material->bytes);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Material, material_clear)

static gboolean
try_slot(const Luks *luks, const LuksSlot *slot, GBytes *passphrase, Key *out_key,
         gboolean *out_is_right, GError **error)
{
    gsize length = material_bytes(luks, slot);
    g_auto(Material) material = { g_malloc(length), length };
    int status;

    if (!strata_node_read(luks->place.storage, luks->place.offset + slot->offset, length,
                          material.bytes, error))
        return FALSE;
    status = try_material(luks, slot, passphrase, material.bytes, out_key);
    if (status == 0)
        status = check_key(luks, out_key, out_is_right);
    return status == 0 || throw_gnutls(luks, status, error);
}

SectorCipher *
luks_unlock(const Luks *luks, GBytes *passphrase, const char *id, GError **error)
{
    g_autofree char *shown = strata_escape(id);
    g_auto(Key) key = { 0 };
    gboolean is_right = FALSE;
    SectorCipher *cipher;
    int status;

    for (guint i = 0; i < luks->n_slots && !is_right; i++)
        if (!try_slot(luks, &luks->slots[i], passphrase, &key, &is_right, error))
            return NULL;
    if (!is_right) {
        strata_throw(error, luks->place.node, STRATA_ERROR_SPEC,
                     "the secret '%s' opens none of the image's key slots, of which %u %s active "
                     "(a line end in its file is part of the secret)",
                     shown, luks->n_slots, luks->n_slots == 1 ? "is" : "are");
        return NULL;
    }
    cipher = sector_cipher_new(&luks->suite, key.bytes, &status);
    if (!cipher)
        throw_gnutls(luks, status, error);
    return cipher;
}

gboolean
luks_has_key_of(const Luks *luks, const Luks *other)
{
    return memcmp(luks->identity, other->identity, sizeof luks->identity) == 0;
}

gboolean
luks_still_holds(const Luks *luks, GError **error)
{
    guint8 raw[LUKS_HEADER_BYTES];

    if (!read_raw(&luks->place, raw, error))
        return FALSE;
    if (memcmp(raw, luks->identity, sizeof luks->identity) == 0)
        return TRUE;
    return strata_throw(error, luks->place.node, STRATA_ERROR_CHANGED,
                        "the LUKS header at offset 0x%" G_GINT64_MODIFIER
                        "x is no longer the one that was opened",
                        luks->place.offset);
}

/* -- What is told -- */

void
luks_describe(const Luks *luks, GVariantDict *dict)
{
    guint n_keys = g_str_has_prefix(luks->mode, "xts") ? 2 : 1;
    g_autofree char *cipher =
        g_strdup_printf("%s-%u-%s", luks->cipher, luks->key_bytes * 8 / n_keys, luks->mode);

    dict_insert_text(dict, "cipher", cipher);
    dict_insert_text(dict, "hash", luks->hash);
    dict_insert_text(dict, "uuid", luks->uuid);
    g_variant_dict_insert(dict, "key-slots", "u", luks->n_slots);
}
