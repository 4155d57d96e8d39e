/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-luks.c - what a LUKS header may say, which key opens it, and what is read then. */
#include <glib/gstdio.h>
#include <string.h>

#include "driver.h"
#include "luks-image.h"
#include "temp-dir.h"

#define SECTOR    512
#define N_SECTORS 32
#define SIZE      (N_SECTORS * SECTOR)

typedef struct {
    TempDir *dir;
    StrataPolicy *policy;
    GByteArray *image;
    guint8 content[SIZE];
    char *spec;
} Fixture;

static void
lend(StrataPolicy *policy, TempDir *dir, const char *id, const char *secret)
{
    const char *path = temp_dir_path(dir, id);
    g_autofree char *text = g_strdup_printf("secret,id=%s,file=%s", id, path);
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(path, secret, -1, NULL));
    g_assert_true(strata_policy_add_object(policy, text, &error));
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
    fixture->dir = temp_dir_new();
    fixture->policy = strata_policy_new();
    for (guint i = 0; i < SIZE; i++)
        fixture->content[i] = i * 37 + i / 251;
    fixture->image = luks_image_new(fixture->content, SIZE);
    lend(fixture->policy, fixture->dir, "right", LUKS_IMAGE_PASSPHRASE);
    lend(fixture->policy, fixture->dir, "wrong", LUKS_IMAGE_PASSPHRASE "\n");
    lend(fixture->policy, fixture->dir, "empty", "");
    fixture->spec = g_strdup_printf("json:{\"driver\":\"luks\",\"key-secret\":\"right\",\"file\":"
                                    "{\"driver\":\"file\",\"filename\":\"%s\"}}",
                                    temp_dir_path(fixture->dir, "image"));
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    g_free(fixture->spec);
    g_byte_array_unref(fixture->image);
    strata_policy_unref(fixture->policy);
    temp_dir_free(fixture->dir);
}

static void
write_image(Fixture *fixture)
{
    const char *path = temp_dir_path(fixture->dir, "image");

    g_assert_true(
        g_file_set_contents(path, (const char *)fixture->image->data, fixture->image->len, NULL));
}

static StrataGraph *
open_image(Fixture *fixture)
{
    g_autoptr(GError) error = NULL;
    StrataGraph *graph;

    write_image(fixture);
    graph = open_text(fixture->spec, fixture->policy, &error);
    g_assert_no_error(error);
    return graph;
}

static void
refuse(Fixture *fixture, StrataError code, const char *words)
{
    write_image(fixture);
    assert_open_fails(fixture->spec, fixture->policy, code, words);
}

/* -- Reading -- */

static void
test_content(Fixture *fixture, gconstpointer data)
{
    g_autoptr(StrataGraph) graph = open_image(fixture);
    g_autoptr(StrataWalk) walk = strata_walk_new(strata_graph_get_top(graph));
    g_autoptr(GError) error = NULL;
    guint8 bytes[SIZE];

    g_assert_cmpuint(strata_node_get_size(strata_graph_get_top(graph)), ==, SIZE);
    for (guint begin = 0; begin < SIZE; begin += 367) {
        for (guint length = 1; length <= SIZE - begin; length = length * 3 + 1) {
            g_assert_true(strata_walk_read(walk, begin, length, bytes, &error));
            g_assert_cmpmem(bytes, length, fixture->content + begin, length);
        }
    }
}

static void
test_claims_all(Fixture *fixture, gconstpointer data)
{
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataWalk) walk = NULL;
    g_autoptr(GError) error = NULL;
    const StrataRun *runs;
    gsize n_runs;

    /* A hole of the host file is no zero of the disk. */
    g_byte_array_set_size(fixture->image, LUKS_IMAGE_PAYLOAD + 2 * SIZE);
    memset(fixture->image->data + LUKS_IMAGE_PAYLOAD + SIZE, 0, SIZE);
    graph = open_image(fixture);
    walk = strata_walk_new(strata_graph_get_top(graph));
    runs = strata_walk_resolve(walk, 0, 2 * SIZE, &n_runs, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(n_runs, ==, 1);
    g_assert_true(runs[0].claimant == strata_graph_get_top(graph));
    g_assert_cmpuint(runs[0].depth, ==, 1);
    g_assert_cmpuint(runs[0].length, ==, 2 * SIZE);
    g_assert_cmpuint(runs[0].flags, ==, STRATA_RUN_ENCRYPTED);
}

/* What is less than a sector at the end is not part of the disk. */
static void
test_size_is_whole_sectors(Fixture *fixture, gconstpointer data)
{
    g_autoptr(StrataGraph) graph = NULL;

    g_byte_array_set_size(fixture->image, fixture->image->len - 1);
    graph = open_image(fixture);
    g_assert_cmpuint(strata_node_get_size(strata_graph_get_top(graph)), ==, SIZE - SECTOR);
}

/* No format and no driver: the magic says it. */
static void
test_recognised(Fixture *fixture, gconstpointer data)
{
    g_autofree char *spec =
        g_strdup_printf("json:{\"key-secret\":\"right\",\"file\":{\"filename\":\"%s\"}}",
                        temp_dir_path(fixture->dir, "image"));
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GError) error = NULL;

    write_image(fixture);
    graph = open_text(spec, fixture->policy, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(strata_node_get_driver(strata_graph_get_top(graph)), ==, "luks");
    assert_open_fails(temp_dir_path(fixture->dir, "image"), fixture->policy, STRATA_ERROR_SPEC,
                      "\"key-secret\" does not say with which key");
}

static void
test_describe(Fixture *fixture, gconstpointer data)
{
    g_autoptr(StrataGraph) graph = open_image(fixture);
    g_autoptr(GVariant) told = strata_node_describe(strata_graph_get_top(graph));
    g_autoptr(GVariantDict) dict = g_variant_dict_new(told);
    const char *cipher, *hash, *uuid;
    gboolean encrypted;
    guint n_slots;
    guint64 payload;

    g_assert_true(g_variant_dict_lookup(dict, "encrypted", "b", &encrypted));
    g_assert_true(encrypted);
    g_assert_true(g_variant_dict_lookup(dict, "cipher", "&s", &cipher));
    g_assert_cmpstr(cipher, ==, "aes-128-xts-plain64");
    g_assert_true(g_variant_dict_lookup(dict, "hash", "&s", &hash));
    g_assert_cmpstr(hash, ==, "sha256");
    g_assert_true(g_variant_dict_lookup(dict, "uuid", "&s", &uuid));
    g_assert_cmpstr(uuid, ==, "01234567-89ab-cdef-0123-456789abcdef");
    g_assert_true(g_variant_dict_lookup(dict, "key-slots", "u", &n_slots));
    g_assert_cmpuint(n_slots, ==, 1);
    g_assert_true(g_variant_dict_lookup(dict, "payload-offset", "t", &payload));
    g_assert_cmpuint(payload, ==, LUKS_IMAGE_PAYLOAD);
}

/* Slots may come and go; the disk key must stay. */
static void
test_still_holds(Fixture *fixture, gconstpointer data)
{
    g_autoptr(StrataGraph) graph = open_image(fixture);
    StrataNode *top = strata_graph_get_top(graph);
    g_autoptr(GError) error = NULL;

    temp_dir_put_bytes(fixture->dir, "image", 208 + 48 * LUKS_IMAGE_SLOT, "gone", 4);
    g_assert_true(strata_driver_luks.still_holds(top, &error));
    temp_dir_put_bytes(fixture->dir, "image", 112, "another digest", 14);
    g_assert_false(strata_driver_luks.still_holds(top, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_CHANGED);
}

typedef struct {
    StrataGraph *graph;
    const guint8 *content;
    guint seed;
} Reader;

static gpointer
read_much(gpointer data)
{
    const Reader *reader = data;
    g_autoptr(StrataWalk) walk = strata_walk_new(strata_graph_get_top(reader->graph));
    g_autoptr(GRand) rand = g_rand_new_with_seed(reader->seed);
    g_autoptr(GError) error = NULL;
    guint8 bytes[SIZE];

    for (guint i = 0; i < 500; i++) {
        guint begin = g_rand_int_range(rand, 0, SIZE);
        guint length = g_rand_int_range(rand, 1, SIZE - begin + 1);

        g_assert_true(strata_walk_read(walk, begin, length, bytes, &error));
        g_assert_cmpmem(bytes, length, reader->content + begin, length);
    }
    return NULL;
}

static void
test_threads(Fixture *fixture, gconstpointer data)
{
    g_autoptr(StrataGraph) graph = open_image(fixture);
    GThread *threads[4];
    Reader readers[4];

    for (guint i = 0; i < G_N_ELEMENTS(threads); i++) {
        readers[i] = (Reader){ graph, fixture->content, i };
        threads[i] = g_thread_new("reader", read_much, &readers[i]);
    }
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
}

/* -- Keys -- */

static void
use_key(Fixture *fixture, const char *id)
{
    g_autofree char *old = g_steal_pointer(&fixture->spec);
    g_auto(GStrv) parts = g_strsplit(old, "\"right\"", 2);

    fixture->spec = g_strconcat(parts[0], id, parts[1], NULL);
}

static void
test_wrong_key(Fixture *fixture, gconstpointer data)
{
    use_key(fixture, "\"wrong\"");
    refuse(fixture, STRATA_ERROR_SPEC,
           "the secret 'wrong' opens none of the image's key slots, of which 1 is active");
}

static void
test_empty_key(Fixture *fixture, gconstpointer data)
{
    use_key(fixture, "\"empty\"");
    refuse(fixture, STRATA_ERROR_SPEC, "the secret 'empty' opens none");
}

static void
test_key_nobody_lent(Fixture *fixture, gconstpointer data)
{
    use_key(fixture, "\"sec\\u0007\"");
    refuse(fixture, STRATA_ERROR_SPEC, "there is no secret 'sec\\x07'; --object secret,id=");
}

/* A slot that another passphrase opens, before the right one. */
static void
test_second_slot(Fixture *fixture, gconstpointer data)
{
    guint8 *slots = fixture->image->data + 208;
    g_autoptr(StrataGraph) graph = NULL;

    memcpy(slots, slots + LUKS_IMAGE_SLOT * 48, 48);
    slots[8] ^= 1;
    graph = open_image(fixture);
    use_key(fixture, "\"wrong\"");
    refuse(fixture, STRATA_ERROR_SPEC, "of which 2 are active");
}

/* -- Headers -- */

#define SLOT_AT (208 + 48 * LUKS_IMAGE_SLOT)

typedef struct {
    const char *label;
    guint at;
    guint32 value;
    StrataError code;
    const char *words;
} Refusal;

static const Refusal refusals[] = {
    { "magic", 0, 0x4c554b00, STRATA_ERROR_DAMAGED, "there is no LUKS header at offset 0x0" },
    { "version-2", 4, 0xbabe0002, STRATA_ERROR_UNSUPPORTED, "LUKS version 2" },
    { "cipher", 8, 0x61657300, STRATA_ERROR_INTERNAL, NULL }, /* the same: see test_refusal() */
    { "cipher-unknown", 8, 0x74776f00, STRATA_ERROR_UNSUPPORTED, "encrypted with two-xts-plain64" },
    { "mode-unknown", 40, 0x6c72772d, STRATA_ERROR_UNSUPPORTED, "aes-lrw-plain64" },
    { "mode-escaped", 40, 0x1b5b4a2d, STRATA_ERROR_UNSUPPORTED, "aes-\\x1b[J-plain64" },
    { "hash-unknown", 72, 0x77686972, STRATA_ERROR_UNSUPPORTED, "the hash whir56" },
    { "payload-elsewhere", 104, 0, STRATA_ERROR_UNSUPPORTED, "detached" },
    { "payload-in-header", 104, 1, STRATA_ERROR_DAMAGED, "payload begins at 0x200" },
    { "payload-past-end", 104, 1000, STRATA_ERROR_DAMAGED, "payload begins at 0x7d000" },
    { "payload-far-away", 104, G_MAXUINT32, STRATA_ERROR_DAMAGED, "begins at 0x1fffffffe00" },
    { "key-bytes", 108, 48, STRATA_ERROR_UNSUPPORTED, "a key of 48 bytes" },
    { "key-bytes-many", 108, G_MAXUINT32, STRATA_ERROR_UNSUPPORTED, "a key of 4294967295 bytes" },
    { "digest-rounds-0", 164, 0, STRATA_ERROR_DAMAGED, "digest has 0 rounds" },
    { "digest-rounds-many", 164, 1u << 28, STRATA_ERROR_LIMIT, "would take 268435466 rounds" },
    { "no-slot", SLOT_AT, 0x0000dead, STRATA_ERROR_DAMAGED, "none of the 8 key slots" },
    { "slot-rounds-0", SLOT_AT + 4, 0, STRATA_ERROR_DAMAGED, "key slot 3 has 0 rounds" },
    { "slot-rounds-many", SLOT_AT + 4, G_MAXUINT32, STRATA_ERROR_LIMIT,
      "would take 4294967305 rounds" },
    { "slot-far-away", SLOT_AT + 40, G_MAXUINT32, STRATA_ERROR_DAMAGED,
      "key slot 3 keeps 0x200 bytes at 0x1fffffffe00" },
    { "slot-cut-off", SLOT_AT + 40, (LUKS_IMAGE_PAYLOAD + SIZE) / SECTOR, STRATA_ERROR_DAMAGED,
      "key slot 3 keeps 0x200 bytes at 0x6000" },
    { "slot-stripes-0", SLOT_AT + 44, 0, STRATA_ERROR_DAMAGED, "key slot 3 has 0 stripes" },
    { "slot-stripes-many", SLOT_AT + 44, 10001, STRATA_ERROR_DAMAGED, "has 10001 stripes" },
};

/* An MD5 has 16 bytes: the key of 32 bytes and the digest of 20 take each round twice. */
static void
test_rounds_of_several_blocks(Fixture *fixture, gconstpointer data)
{
    guint at = GPOINTER_TO_UINT(data);

    luks_image_put32(fixture->image, 72, 0x6d643500); /* "md5" */
    luks_image_put32(fixture->image, at, 1u << 27);
    refuse(fixture, STRATA_ERROR_LIMIT, "would take 268435476 rounds");
}

static void
test_refusal(Fixture *fixture, gconstpointer data)
{
    const Refusal *refusal = data;

    luks_image_put32(fixture->image, refusal->at, refusal->value);
    if (refusal->words)
        refuse(fixture, refusal->code, refusal->words);
    else
        strata_graph_unref(open_image(fixture));
}

static void
test_names_without_end(Fixture *fixture, gconstpointer data)
{
    memset(fixture->image->data + 72, 'x', 32);
    refuse(fixture, STRATA_ERROR_DAMAGED, "the hash's name");
    memset(fixture->image->data + 40, 'x', 32);
    refuse(fixture, STRATA_ERROR_DAMAGED, "the cipher's mode");
    memset(fixture->image->data + 8, 'x', 32);
    refuse(fixture, STRATA_ERROR_DAMAGED, "the cipher's name");
}

static void
test_truncated(Fixture *fixture, gconstpointer data)
{
    g_byte_array_set_size(fixture->image, LUKS_IMAGE_MATERIAL + 100);
    refuse(fixture, STRATA_ERROR_DAMAGED, "key slot 3 keeps 0x200 bytes at 0x1000");
    g_byte_array_set_size(fixture->image, 591);
    refuse(fixture, STRATA_ERROR_DAMAGED, "there are 0x24f bytes for the LUKS header");
    g_byte_array_set_size(fixture->image, 0);
    refuse(fixture, STRATA_ERROR_DAMAGED, "there are 0x0 bytes for the LUKS header");
}

/* Rubbish where a slot was: nobody is kept from the disk by it. */
static void
test_inactive_slots_say_nothing(Fixture *fixture, gconstpointer data)
{
    memset(fixture->image->data + 208, 0xff, 48);
    strata_graph_unref(open_image(fixture));
}

static void
add(const char *name, void (*test)(Fixture *, gconstpointer), gconstpointer data)
{
    g_autofree char *path = g_strconcat("/luks/", name, NULL);

    g_test_add(path, Fixture, data, set_up, test, tear_down);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("content", test_content, NULL);
    add("claims-all", test_claims_all, NULL);
    add("size-is-whole-sectors", test_size_is_whole_sectors, NULL);
    add("recognised", test_recognised, NULL);
    add("describe", test_describe, NULL);
    add("still-holds", test_still_holds, NULL);
    add("threads", test_threads, NULL);
    add("wrong-key", test_wrong_key, NULL);
    add("empty-key", test_empty_key, NULL);
    add("key-nobody-lent", test_key_nobody_lent, NULL);
    add("second-slot", test_second_slot, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(refusals); i++) {
        g_autofree char *name = g_strconcat("header/", refusals[i].label, NULL);

        add(name, test_refusal, &refusals[i]);
    }
    add("header/digest-rounds-of-2-blocks", test_rounds_of_several_blocks, GUINT_TO_POINTER(164));
    add("header/slot-rounds-of-2-blocks", test_rounds_of_several_blocks,
        GUINT_TO_POINTER(SLOT_AT + 4));
    add("header/names-without-end", test_names_without_end, NULL);
    add("header/truncated", test_truncated, NULL);
    add("header/inactive-slots-say-nothing", test_inactive_slots_say_nothing, NULL);
    return g_test_run();
}
