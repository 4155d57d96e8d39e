/* SPDX-License-Identifier: LGPL-2.1-or-later
 * driver-luks.c - a disk that is encrypted with LUKS 1, as QEMU and cryptsetup write it: header,
 * key slots, and then the payload, sector by sector.
 *
 * A layer of an image: it claims all of it. What is encrypted tells nobody where it is zero. */
#include <strata/resolve.h>

#include "crypto/luks.h"
#include "driver.h"
#include "error.h"
#include "node.h"
#include "opener.h"
#include "spec.h"

typedef struct {
    Luks *luks;
    SectorCipher *cipher;
} LuksState;

static const char *const luks_options[] = { "key-secret", NULL };

/* The payload ends with its last whole sector: a part of one cannot be decrypted. */
static gboolean
find_payload(StrataNode *node, const Luks *luks, GError **error)
{
    guint64 storage_size = node->children[STRATA_ROLE_FILE]->size;

    if (luks->payload_offset == 0)
        return strata_throw(error, node, STRATA_ERROR_UNSUPPORTED,
                            "the LUKS header says that its payload lies in another file; detached "
                            "headers are not read");
    if (luks->payload_offset < LUKS_HEADER_BYTES || luks->payload_offset > storage_size)
        return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                            "the payload begins at 0x%" G_GINT64_MODIFIER
                            "x, says the LUKS header, which is not between the header's end (0x%x) "
                            "and that of the file (0x%" G_GINT64_MODIFIER "x)",
                            luks->payload_offset, LUKS_HEADER_BYTES, storage_size);
    node->size = (storage_size - luks->payload_offset) / CIPHER_SECTOR * CIPHER_SECTOR;
    return TRUE;
}

static GBytes *
find_secret(StrataNode *node, StrataOpener *opener, const char *id, GError **error)
{
    if (id)
        return strata_opener_get_secret(opener, node, id, error);
    strata_throw(
        error, node, STRATA_ERROR_SPEC,
        "the image is encrypted with LUKS, and \"key-secret\" does not say with which key: "
        "lend it with --object secret,id=sec0,file=PATH and name it, as in --image-opts "
        "driver=luks,key-secret=sec0,file.filename=NAME");
    return NULL;
}

/* (nullable) (transfer none): of the same disk, where it is open already. */
static SectorCipher *
find_open_cipher(const StrataOpener *opener, const Luks *luks)
{
    const LuksState *open =
        opener->again && opener->again->driver == &strata_driver_luks ? opener->again->state : NULL;

    return open && luks_has_key_of(luks, open->luks) ? open->cipher : NULL;
}

static gboolean
luks_driver_open(StrataNode *node, StrataOpener *opener, GError **error)
{
    StrataNode *file = node->children[STRATA_ROLE_FILE];
    const LuksPlace place = { node, file, 0, file->size };
    const char *id = spec_get_text(node->spec, "key-secret");
    LuksState *state = g_new0(LuksState, 1);
    SectorCipher *cipher;
    GBytes *secret;

    node->state = state;
    node->claims = TRUE;
    state->luks = luks_read(&place, error);
    if (!state->luks || !find_payload(node, state->luks, error))
        return FALSE;
    secret = find_secret(node, opener, id, error);
    if (!secret)
        return FALSE;
    cipher = find_open_cipher(opener, state->luks);
    state->cipher =
        cipher ? sector_cipher_ref(cipher) : luks_unlock(state->luks, secret, id, error);
    return state->cipher != NULL;
}

static void
luks_driver_close(StrataNode *node)
{
    LuksState *state = node->state;

    if (!state)
        return;
    g_clear_pointer(&state->cipher, sector_cipher_unref);
    g_free(state->luks);
    g_free(state);
}

static gsize
luks_driver_map(StrataNode *node, const StrataRange *ranges, gsize n_ranges, StrataAnswer *answers,
                gsize max_answers, GError **error)
{
    return strata_map_all_as_own(ranges, n_ranges, STRATA_RUN_ENCRYPTED, answers, max_answers);
}

static gboolean
luks_driver_read(StrataNode *node, guint64 offset, gsize length, guint8 *buffer, GError **error)
{
    const LuksState *state = node->state;
    const CipherText from = {
        .storage = node->children[STRATA_ROLE_FILE],
        .offset = state->luks->payload_offset + offset,
        .tweak = offset,
    };

    return sector_cipher_read(state->cipher, node, &from, length, buffer, error);
}

static gboolean
luks_driver_still_holds(StrataNode *node, GError **error)
{
    const LuksState *state = node->state;

    return luks_still_holds(state->luks, error);
}

static void
luks_driver_describe(StrataNode *node, GVariantDict *dict)
{
    const LuksState *state = node->state;

    g_variant_dict_insert(dict, "encrypted", "b", TRUE);
    luks_describe(state->luks, dict);
    g_variant_dict_insert(dict, "payload-offset", "t", state->luks->payload_offset);
}

const StrataDriver strata_driver_luks = {
    .name = "luks",
    .required_roles = 1u << STRATA_ROLE_FILE,
    .options = luks_options,
    .open = luks_driver_open,
    .close = luks_driver_close,
    .map = luks_driver_map,
    .read = luks_driver_read,
    .still_holds = luks_driver_still_holds,
    .describe = luks_driver_describe,
};
