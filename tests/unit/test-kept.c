/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-kept.c - what a graph keeps of the lists in its images is limited, and a graph that is
 * opened once more, at a snapshot, shares lists and keys with the first. */
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "kept.h"
#include "luks-image.h"
#include "qcow2-image-tables.h"
#include "qcow2/format.h"
#include "temp-dir.h"

#define CLUSTER_BITS 12
#define CLUSTER      (1u << CLUSTER_BITS)
#define SIZE         (1u << 20)
#define EXTENSIONS   QCOW2_KNOWN_HEADER_LENGTH

static const char *
put_file(TempDir *dir, const char *name, const GByteArray *bytes)
{
    const char *path = temp_dir_path(dir, name);

    g_assert_true(g_file_set_contents(path, (const char *)bytes->data, bytes->len, NULL));
    return path;
}

/* Makes @file longer: what is added is a hole. */
static void
lengthen(const char *path, guint64 size)
{
    g_assert_cmpint(truncate(path, (off_t)size), ==, 0);
}

static StrataNode *
node_below(StrataGraph *graph, guint depth)
{
    StrataNode *node = strata_graph_get_top(graph);

    for (guint i = 0; i < depth; i++)
        node = strata_node_get_child(node, STRATA_ROLE_BACKING);
    return node;
}

/* A chain of @n images that are all the same file, over @base (nullable). */
static StrataGraph *
open_chain(const char *path, guint n, const char *base)
{
    g_autoptr(GString) text = g_string_new("json:");

    for (guint i = 0; i <= n; i++)
        if (i < n || base)
            g_string_append_printf(
                text, "{\"driver\":\"qcow2\",\"file\":{\"filename\":\"%s\"},\"backing\":",
                i < n ? path : base);
    g_string_append(text, "null");
    for (guint i = 0; i < n + (base ? 1 : 0); i++)
        g_string_append_c(text, '}');
    return open_format("%s", text->str);
}

/* @key: "snapshots" or "bitmaps"; @words: (nullable): of the damage that is told; NULL: none is */
static void
assert_listed(StrataNode *node, const char *key, guint n, const char *words)
{
    g_autofree char *damage_key = g_strconcat(key, "-damaged", NULL);
    g_autoptr(GVariant) description = strata_node_describe(node);
    const char *damage = NULL;
    guint found = 99;

    g_assert_true(g_variant_lookup(description, key, "u", &found));
    g_assert_cmpuint(found, ==, n);
    g_variant_lookup(description, damage_key, "&s", &damage);
    if (!words)
        g_assert_cmpstr(damage, ==, NULL);
    else if (!damage || !strstr(damage, words))
        g_error("'%s' is not in '%s'", words, damage);
}

/* -- Limits -- */

/* A name ends with its NUL, whatever room it has. */
static void
test_room_of_a_name(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);
    guint64 table = image->bytes->len;
    g_autoptr(StrataGraph) graph = NULL;
    const StrataSnapshot *snapshots;
    const char *path;
    gsize n;

    qcow2_image_put32(image, QCOW2_AT_N_SNAPSHOTS, 1);
    qcow2_image_put64(image, QCOW2_AT_SNAPSHOTS_OFFSET, table);
    qcow2_image_append(image, CLUSTER);
    memset(image->bytes->data + table + QCOW2_SNAPSHOT_AT_ID_SIZE, 0xff, 4);
    qcow2_image_put_text(image, table + QCOW2_SNAPSHOT_ENTRY, "7");
    path = put_file(dir, "i", image->bytes);
    lengthen(path, table + 200000);
    graph = open_chain(path, 1, NULL);
    snapshots = strata_node_get_snapshots(strata_graph_get_top(graph), &n);
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpstr(snapshots[0].id, ==, "7");
    g_assert_cmpuint(malloc_usable_size((gpointer)snapshots[0].id), <, 1000);
    g_assert_cmpuint(malloc_usable_size((gpointer)snapshots[0].name), <, 1000);
}

/* Zeros are as many entries as one likes. */
static void
test_snapshots_of_a_graph(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);
    guint64 table = image->bytes->len;
    g_autoptr(StrataGraph) graph = NULL;
    const char *path;

    qcow2_image_put32(image, QCOW2_AT_N_SNAPSHOTS, QCOW2_MAX_SNAPSHOTS);
    qcow2_image_put64(image, QCOW2_AT_SNAPSHOTS_OFFSET, table);
    path = put_file(dir, "i", image->bytes);
    lengthen(path, table + QCOW2_MAX_SNAPSHOTS * QCOW2_SNAPSHOT_ENTRY);
    graph = open_chain(path, 4, NULL);
    assert_listed(node_below(graph, 0), "snapshots", QCOW2_MAX_SNAPSHOTS, NULL);
    assert_listed(node_below(graph, 1), "snapshots", QCOW2_MAX_SNAPSHOTS, NULL);
    assert_listed(node_below(graph, 2), "snapshots", 0, "more than 131072 snapshots and bitmaps");
    assert_listed(node_below(graph, 3), "snapshots", 0, "list of 65536 entries here");
}

/* 350 entries of 128 KiB. */
static void
test_bytes_of_a_graph(void)
{
    const guint64 stride = (QCOW2_SNAPSHOT_ENTRY + 2 * 65535 + 7) / 8 * 8;
    guint8 sizes[4] = { 0xff, 0xff, 0xff, 0xff };
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);
    guint64 table = image->bytes->len;
    g_autoptr(StrataGraph) graph = NULL;
    const char *path;

    qcow2_image_put32(image, QCOW2_AT_N_SNAPSHOTS, 350);
    qcow2_image_put64(image, QCOW2_AT_SNAPSHOTS_OFFSET, table);
    path = put_file(dir, "i", image->bytes);
    lengthen(path, table + 350 * stride);
    for (guint i = 0; i < 350; i++)
        temp_dir_put_bytes(dir, "i", table + i * stride + QCOW2_SNAPSHOT_AT_ID_SIZE, (char *)sizes,
                           sizeof sizes);
    graph = open_chain(path, 2, NULL);
    assert_listed(node_below(graph, 0), "snapshots", 350, NULL);
    assert_listed(node_below(graph, 1), "snapshots", 0, "more than 67108864 bytes");
}

/* Beyond the limit any name might be hidden: the search for bitmaps ends there. */
static void
test_bitmaps_of_a_graph(void)
{
    const ImageBitmap bitmap = { "b", 16, 0, 0, "1" };
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);
    g_autoptr(Qcow2Image) base = qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);
    guint64 directory = qcow2_image_put_bitmaps(image, EXTENSIONS, &bitmap, 1);
    g_autoptr(StrataGraph) graph = NULL, two = NULL;
    g_autoptr(GPtrArray) above = NULL, own = NULL;
    const char *path, *base_path;

    qcow2_image_put_bitmaps(base, EXTENSIONS, &bitmap, 1);
    base_path = put_file(dir, "base", base->bytes);
    memset(image->bytes->data + directory, 0, image->bytes->len - directory);
    qcow2_image_put32(image, EXTENSIONS + QCOW2_EXTENSION_HEADER, QCOW2_MAX_BITMAPS);
    qcow2_image_put64(image, EXTENSIONS + QCOW2_EXTENSION_HEADER + 8,
                      QCOW2_MAX_BITMAPS * QCOW2_BITMAP_ENTRY);
    path = put_file(dir, "i", image->bytes);
    lengthen(path, directory + QCOW2_MAX_BITMAPS * QCOW2_BITMAP_ENTRY);
    two = open_chain(path, 2, base_path);
    graph = open_chain(path, 3, base_path);
    assert_listed(node_below(two, 1), "bitmaps", 0, "bitmap 7 is not of type 1");
    g_assert_nonnull(strata_node_find_bitmap(node_below(two, 0), "b"));
    assert_listed(node_below(graph, 2), "bitmaps", 0, "more than 131072 snapshots and bitmaps");
    g_assert_null(strata_node_find_bitmap(node_below(graph, 0), "b"));
    g_assert_null(strata_node_find_bitmap(node_below(graph, 2), "b"));
    g_assert_nonnull(strata_node_find_bitmap(node_below(graph, 3), "b"));
    above = strata_node_list_own_bitmaps(node_below(two, 0));
    own = strata_node_list_own_bitmaps(node_below(two, 2));
    g_assert_cmpuint(above->len, ==, 0);
    g_assert_cmpuint(own->len, ==, 1);
}

/* -- Opened once more -- */

static StrataGraph *
reopen(StrataGraph *graph, const char *snapshot)
{
    g_autoptr(GError) error = NULL;
    StrataGraph *then = strata_node_open_snapshot(strata_graph_get_top(graph), snapshot, &error);

    g_assert_no_error(error);
    return then;
}

#define N_SNAPSHOTS 14

/* Each is told from others by the size of its disk. */
static Qcow2Image *
image_with_snapshots(guint n)
{
    static char ids[N_SNAPSHOTS][8], names[N_SNAPSHOTS][8];
    Qcow2Image *image = qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);
    ImageSnapshot snapshots[N_SNAPSHOTS];

    for (guint i = 0; i < n; i++) {
        g_snprintf(ids[i], sizeof ids[i], "%u", i);
        g_snprintf(names[i], sizeof names[i], "%s%u", i == 1 ? "" : "n", i == 1 ? 13 : i / 2 * 2);
        snapshots[i] = (ImageSnapshot){ ids[i], names[i], SIZE / 2 + i * 512, 0, 16 };
    }
    qcow2_image_put_snapshots(image, snapshots, n);
    return image;
}

static void
assert_size_at(StrataGraph *graph, const char *snapshot, guint index)
{
    g_autoptr(StrataGraph) then = reopen(graph, snapshot);

    g_assert_cmpuint(strata_node_get_size(strata_graph_get_top(then)), ==, SIZE / 2 + index * 512);
}

/* An ID goes before a name, and of equal names the first is meant, wherever they stand; the table
 * is read as it is now. */
static void
test_finds_without_the_list(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = image_with_snapshots(N_SNAPSHOTS);
    g_autoptr(Qcow2Image) fewer = image_with_snapshots(12);
    g_autoptr(StrataGraph) graph = open_chain(put_file(dir, "i", image->bytes), 1, NULL);
    g_autoptr(GError) error = NULL;

    assert_size_at(graph, "12", 12);
    assert_size_at(graph, "13", 13);
    assert_size_at(graph, "n12", 12);
    assert_size_at(graph, "n2", 2);
    temp_dir_put_bytes(dir, "i", 0, (char *)fewer->bytes->data, fewer->bytes->len);
    assert_size_at(graph, "11", 11);
    g_assert_null(strata_node_open_snapshot(strata_graph_get_top(graph), "12", &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(error->message, "9 ('n8') and 2 more"));
}

static void
test_shares_lists(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = image_with_snapshots(N_SNAPSHOTS);
    g_autoptr(StrataGraph) graph = open_chain(put_file(dir, "i", image->bytes), 2, NULL);
    g_autoptr(StrataGraph) then = reopen(graph, "5"), again = reopen(then, "6");

    for (guint depth = 0; depth < 2; depth++) {
        const StrataSnapshot *list, *list_then, *list_again;
        gsize n, n_then;

        list = strata_node_get_snapshots(node_below(graph, depth), &n);
        list_then = strata_node_get_snapshots(node_below(then, depth), &n_then);
        list_again = strata_node_get_snapshots(node_below(again, depth), &n_then);
        g_assert_true(list && list_then == list && list_again == list);
        g_assert_cmpuint(n_then, ==, N_SNAPSHOTS);
    }
}

static StrataPolicy *
lend_key(TempDir *dir)
{
    g_autofree char *text = g_strdup_printf("secret,id=k,file=%s", temp_dir_path(dir, "key"));
    StrataPolicy *policy = strata_policy_new();

    g_assert_true(g_file_set_contents(temp_dir_path(dir, "key"), LUKS_IMAGE_PASSPHRASE, -1, NULL));
    g_assert_true(strata_policy_add_object(policy, text, NULL));
    return policy;
}

/* @words, @end: of the spec of the image "i" in @dir, before and after its file; its LUKS header is
 * at @luks_at. Nothing can be derived any more once the key slot is rubbish; a key of which another
 * digest stands there is not the one that was unlocked. */
static void
check_key_is_shared(TempDir *dir, const char *words, const char *end, guint64 luks_at)
{
    g_autofree char *spec = g_strdup_printf("json:{\"driver\":\"qcow2\",%s\"filename\":\"%s\"}%s",
                                            words, temp_dir_path(dir, "i"), end);
    g_autoptr(StrataPolicy) policy = lend_key(dir);
    g_autoptr(GError) error = NULL;
    g_autoptr(StrataGraph) graph = open_text(spec, policy, &error);
    g_autoptr(StrataGraph) then = NULL;
    g_autoptr(StrataWalk) walk = NULL, walk_then = NULL;
    guint8 today[512], at_snapshot[512];

    g_assert_no_error(error);
    walk = strata_walk_new(strata_graph_get_top(graph));
    g_assert_true(strata_walk_read(walk, 0, sizeof today, today, &error));
    temp_dir_fill(dir, "i", luks_at + LUKS_IMAGE_MATERIAL, 512, 0x55);
    then = reopen(graph, "s");
    g_clear_pointer(&graph, strata_graph_unref);
    walk_then = strata_walk_new(strata_graph_get_top(then));
    g_assert_true(strata_walk_read(walk_then, 0, sizeof at_snapshot, at_snapshot, &error));
    g_assert_cmpmem(today, sizeof today, at_snapshot, sizeof at_snapshot);
    temp_dir_fill(dir, "i", luks_at + 112, 20, 0x55);
    g_assert_null(strata_node_open_snapshot(strata_graph_get_top(then), "s", &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_SPEC);
    g_assert_nonnull(strstr(error->message, "opens none of the image's key slots"));
}

/* Cluster 0 holds something, today and at snapshot "s". */
static Qcow2Image *
image_with_content(void)
{
    const ImageSnapshot snapshot = { "1", "s", SIZE, 0, 16 };
    Qcow2Image *image = qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);
    guint64 host = qcow2_image_append(image, CLUSTER);

    memset(image->bytes->data + host, 'a', CLUSTER);
    qcow2_image_set_entry(image, 0, host | QCOW2_ENTRY_COPIED, 0);
    qcow2_image_put_snapshots(image, &snapshot, 1);
    return image;
}

static void
test_shares_key_of_image(void)
{
    guint8 pointer[QCOW2_CRYPT_EXTENSION_LENGTH] = { 0 };
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = image_with_content();
    g_autoptr(GByteArray) luks = luks_image_new(NULL, 0);
    guint64 at = qcow2_image_append(image, luks->len);

    memcpy(image->bytes->data + at, luks->data, luks->len);
    qcow2_image_put32(image, QCOW2_AT_CRYPT_METHOD, QCOW2_CRYPT_LUKS);
    qcow2_image_put_extension(image, EXTENSIONS, QCOW2_EXTENSION_CRYPT, pointer, sizeof pointer);
    qcow2_image_put64(image, EXTENSIONS + 8 + QCOW2_CRYPT_AT_OFFSET, at);
    qcow2_image_put64(image, EXTENSIONS + 8 + QCOW2_CRYPT_AT_LENGTH, luks->len);
    put_file(dir, "i", image->bytes);
    check_key_is_shared(dir, "\"encrypt\":{\"format\":\"luks\",\"key-secret\":\"k\"},\"file\":{",
                        "}", at);
}

static void
test_shares_key_of_layer(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = image_with_content();
    g_autoptr(GByteArray) luks = luks_image_new(image->bytes->data, image->bytes->len);

    put_file(dir, "i", luks);
    check_key_is_shared(dir, "\"file\":{\"driver\":\"luks\",\"key-secret\":\"k\",\"file\":{", "}}",
                        0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kept/room-of-a-name", test_room_of_a_name);
    g_test_add_func("/kept/snapshots-of-a-graph", test_snapshots_of_a_graph);
    g_test_add_func("/kept/bytes-of-a-graph", test_bytes_of_a_graph);
    g_test_add_func("/kept/bitmaps-of-a-graph", test_bitmaps_of_a_graph);
    g_test_add_func("/kept/finds-without-the-list", test_finds_without_the_list);
    g_test_add_func("/kept/shares-lists", test_shares_lists);
    g_test_add_func("/kept/shares-key-of-image", test_shares_key_of_image);
    g_test_add_func("/kept/shares-key-of-layer", test_shares_key_of_layer);
    return g_test_run();
}
