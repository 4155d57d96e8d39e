/* SPDX-License-Identifier: LGPL-2.1-or-later
 * fuzz-luks.c - any bytes as a LUKS image: header and key slots read, the right passphrase tried,
 * and the payload decrypted.
 *
 * Whatever the bytes are, there is an answer or a GError, and what is accepted keeps the limits. */
#include "crypto/luks.h"
#include "error.h"
#include "fuzz.h"
#include "luks-image.h"
#include "mem-node.h"

#define CONTENT_BYTES 2048
#define MAX_ROUNDS    2000 /* more are allowed, and take too long to be tried thousands of times */

static guint64
count_rounds(const Luks *luks)
{
    guint64 rounds = (guint64)luks->n_slots * luks->key_rounds;

    for (guint i = 0; i < luks->n_slots; i++)
        rounds += luks->slots[i].rounds;
    return rounds;
}

static void
check_limits(const Luks *luks)
{
    g_assert_cmpuint(luks->n_slots, >=, 1);
    g_assert_cmpuint(luks->n_slots, <=, LUKS_SLOTS);
    g_assert_cmpuint(luks->key_bytes, <=, SUITE_MAX_KEY);
    g_assert_cmpuint(count_rounds(luks), <=, LUKS_MAX_ROUNDS);
    for (guint i = 0; i < luks->n_slots; i++) {
        g_assert_cmpuint(luks->slots[i].stripes, <=, LUKS_MAX_STRIPES);
        g_assert_cmpuint(luks->slots[i].offset, <, luks->place.length);
    }
}

static void
read_payload(const Luks *luks, const SectorCipher *cipher)
{
    const CipherText from = { luks->place.storage, luks->payload_offset + 100, 100 };
    guint8 bytes[CONTENT_BYTES];
    g_autoptr(GError) error = NULL;
    gboolean done = sector_cipher_read(cipher, luks->place.node, &from, 1000, bytes, &error);

    g_assert_true(done == (error == NULL));
}

static void
unlock(const Luks *luks)
{
    g_autoptr(GBytes) passphrase =
        g_bytes_new_static(LUKS_IMAGE_PASSPHRASE, sizeof LUKS_IMAGE_PASSPHRASE - 1);
    g_autoptr(GError) error = NULL;
    g_autoptr(SectorCipher) cipher = luks_unlock(luks, passphrase, "key", &error);

    g_assert_true((cipher == NULL) == (error != NULL));
    if (cipher != NULL)
        read_payload(luks, cipher);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    StrataNode *leaf = mem_leaf_new("image-file", data, size);
    g_autoptr(StrataGraph) graph = mem_graph_new(leaf);
    const LuksPlace place = { leaf, leaf, 0, size };
    g_autoptr(GError) error = NULL;
    g_autofree Luks *luks = luks_read(&place, &error);

    g_assert_true((luks == NULL) == (error != NULL));
    if (luks == NULL)
        return 0;
    check_limits(luks);
    g_assert_true(luks_still_holds(luks, NULL));
    if (count_rounds(luks) <= MAX_ROUNDS)
        unlock(luks);
    return 0;
}

GByteArray *
fuzz_make_seed(guint number)
{
    guint8 content[CONTENT_BYTES] = { 1, 2, 3 };

    return number == 0 ? luks_image_new(content, sizeof content) : NULL;
}
