/* SPDX-License-Identifier: LGPL-2.1-or-later
 * fuzz-qcow2.c - any bytes as a qcow2 image: opened, described, mapped and read, with its bitmaps
 * and at its snapshots.
 *
 * Whatever the bytes are, there is an answer or a GError; runs are consecutive, what is said to be
 * zero reads as zeros, and an answer is the same when it is asked again in another cut. */
#include <libdeflate.h>
#include <strata/bitmap.h>
#include <strata/read.h>
#include <strata/resolve.h>
#include <strata/snapshot.h>
#include <string.h>
#include <zstd.h>

#include "error.h"
#include "fuzz.h"
#include "qcow2-image-tables.h"
#include "qcow2/format.h"

#define MAX_STEPS     64          /* resolve calls for one window of the image */
#define WINDOW        (64u << 20) /* bytes at the image's beginning and at its end */
#define SKIP          (1u << 16)  /* over what is damaged */
#define MAX_READ      4096        /* bytes of each run */
#define MAX_BITMAPS   4
#define MAX_SNAPSHOTS 2
#define MAX_RUNS      7 /* of a bitmap, at a time */
#define DATA_SIZE     (1u << 17)
#define BACKING_SIZE  (100000u)
#define SMALL_CLUSTER 9

static StrataNode *
small_leaf(const char *name, gsize size)
{
    g_autofree guint8 *bytes = g_malloc(size);

    memset(bytes, name[0], size);
    return mem_leaf_new(name, bytes, size);
}

static StrataGraph *
open_image(const guint8 *data, gsize size, gboolean with_data_file, const char *snapshot,
           GError **error)
{
    return qcow2_graph_new_at(mem_leaf_new("image-file", data, size),
                              with_data_file ? small_leaf("data", DATA_SIZE) : NULL,
                              small_leaf("backing", BACKING_SIZE), snapshot, error);
}

/* Some images need a data file, the others must not have one; the error tells which. */
static StrataGraph *
open_any_image(const guint8 *data, gsize size)
{
    g_autoptr(GError) error = NULL;
    StrataGraph *graph = open_image(data, size, FALSE, NULL, &error);

    g_assert_true((graph == NULL) == (error != NULL));
    if (graph != NULL || !g_error_matches(error, STRATA_ERROR, STRATA_ERROR_SPEC))
        return graph;
    return open_image(data, size, TRUE, NULL, NULL);
}

static void
read_run(const StrataRun *run)
{
    static const guint8 zeros[MAX_READ];
    guint8 buffer[MAX_READ];
    gsize length = MIN(run->length, sizeof buffer);
    g_autoptr(GError) error = NULL;
    gboolean done = strata_run_read(run, run->length - length, length, buffer, &error);

    g_assert_true(done == (error == NULL));
    if (run->flags & STRATA_RUN_ZERO)
        g_assert_true(done && memcmp(buffer, zeros, length) == 0);
}

/* The last byte of a run, asked alone. */
static void
ask_again(StrataNode *node, const StrataRun *run)
{
    g_autoptr(StrataWalk) walk = strata_walk_new(node);
    g_autoptr(GError) error = NULL;
    gsize n;
    const StrataRun *alone =
        strata_walk_resolve(walk, run->offset + run->length - 1, 1, &n, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(n, ==, 1);
    g_assert_true(alone->claimant == run->claimant && alone->leaf == run->leaf);
    g_assert_cmpuint(alone->depth, ==, run->depth);
    g_assert_cmpuint(alone->flags, ==, run->flags);
    if (run->leaf != NULL)
        g_assert_cmphex(alone->leaf_offset, ==, run->leaf_offset + run->length - 1);
}

/* Returns where the runs end. */
static guint64
check_runs(StrataNode *node, guint64 at, guint64 end, const StrataRun *runs, gsize n)
{
    g_assert_cmpuint(n, >, 0);
    for (gsize i = 0; i < n; i++) {
        g_assert_cmphex(runs[i].offset, ==, at);
        g_assert_cmpuint(runs[i].length, >, 0);
        g_assert_cmpuint(runs[i].length, <=, end - at);
        at += runs[i].length;
        if (i >= MAX_STEPS)
            continue;
        read_run(&runs[i]);
        ask_again(node, &runs[i]);
    }
    return at;
}

static void
walk_window(StrataNode *node, guint64 at, guint64 end)
{
    g_autoptr(StrataWalk) walk = strata_walk_new(node);

    for (guint step = 0; at < end && step < MAX_STEPS; step++) {
        g_autoptr(GError) error = NULL;
        gsize n;
        const StrataRun *runs = strata_walk_resolve(walk, at, end - at, &n, &error);

        g_assert_true((runs == NULL) == (error != NULL));
        at = runs != NULL ? check_runs(node, at, end, runs, n) : at + SKIP;
    }
}

/* -- Bitmaps -- */

/* The last byte of a run, asked alone. */
static void
ask_bitmap_again(StrataBitmap *bitmap, StrataNode *node, const StrataBitmapRun *run)
{
    g_autoptr(GError) error = NULL;
    StrataBitmapRun alone;
    gsize n = strata_bitmap_map(bitmap, node, run->offset + run->length - 1, 1, &alone, 1, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmphex(alone.offset, ==, run->offset + run->length - 1);
    g_assert_cmpuint(alone.length, ==, 1);
    g_assert_cmpint(alone.is_dirty, ==, run->is_dirty);
}

/* Returns where the runs end. */
static guint64
check_bitmap_runs(StrataBitmap *bitmap, StrataNode *node, guint64 at, const StrataBitmapRun *runs,
                  gsize n)
{
    g_assert_cmpuint(n, <=, MAX_RUNS);
    for (gsize i = 0; i < n; i++) {
        g_assert_cmphex(runs[i].offset, ==, at);
        g_assert_cmpuint(runs[i].length, >, 0);
        g_assert_cmpuint(runs[i].length, <=, node->size - at);
        g_assert_true(i == 0 || runs[i].is_dirty != runs[i - 1].is_dirty);
        ask_bitmap_again(bitmap, node, &runs[i]);
        at += runs[i].length;
    }
    return at;
}

static void
walk_bitmap(StrataBitmap *bitmap, StrataNode *node)
{
    guint64 at = 0;

    for (guint step = 0; at < node->size && step < MAX_STEPS; step++) {
        g_autoptr(GError) error = NULL;
        StrataBitmapRun runs[MAX_RUNS];
        gsize n = strata_bitmap_map(bitmap, node, at, node->size - at, runs, MAX_RUNS, &error);

        g_assert_true((n == 0) == (error != NULL));
        g_assert_false(g_error_matches(error, STRATA_ERROR, STRATA_ERROR_INTERNAL));
        g_assert_true(n == 0 || strata_bitmap_is_consistent(bitmap));
        at = n > 0 ? check_bitmap_runs(bitmap, node, at, runs, n) : at + SKIP;
    }
}

static void
walk_bitmaps(StrataNode *node)
{
    g_autoptr(GPtrArray) bitmaps = strata_node_list_bitmaps(node);

    for (guint i = 0; i < MIN(bitmaps->len, MAX_BITMAPS); i++) {
        g_assert_true(g_utf8_validate(strata_bitmap_get_name(bitmaps->pdata[i]), -1, NULL));
        walk_bitmap(bitmaps->pdata[i], node);
    }
}

/* -- Snapshots -- */

/* Found by its ID: that may be another one's, and its disk may be damaged. */
static void
walk_snapshot(const guint8 *data, gsize size, const StrataSnapshot *snapshot)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StrataGraph) graph = open_image(data, size, FALSE, snapshot->id, &error);

    g_assert_true((graph == NULL) == (error != NULL));
    if (graph != NULL)
        walk_window(strata_graph_get_top(graph), 0, MIN(strata_graph_get_top(graph)->size, WINDOW));
}

static void
walk_snapshots(const guint8 *data, gsize size, StrataNode *node)
{
    gsize n;
    const StrataSnapshot *snapshots = strata_node_get_snapshots(node, &n);

    for (gsize i = 0; i < n; i++)
        g_assert_true(snapshots[i].id != NULL && snapshots[i].name != NULL);
    for (gsize i = 0; i < MIN(n, MAX_SNAPSHOTS); i++)
        walk_snapshot(data, size, &snapshots[i]);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    g_autoptr(StrataGraph) graph = open_any_image(data, size);
    g_autoptr(GVariantDict) description = g_variant_dict_new(NULL);
    StrataNode *node;

    if (graph == NULL)
        return 0;
    node = strata_graph_get_top(graph);
    node->driver->describe(node, description);
    walk_window(node, 0, MIN(node->size, WINDOW));
    if (node->size > WINDOW)
        walk_window(node, node->size - WINDOW, node->size);
    walk_bitmaps(node);
    walk_snapshots(data, size, node);
    return 0;
}

/* -- Seeds: small images with something of everything -- */

static const struct {
    guint version;
    guint cluster_bits;
    guint64 size;
    guint64 incompatible;
} shapes[] = {
    { 2, SMALL_CLUSTER, 100000, 0 },
    { 3, SMALL_CLUSTER, 70001, 0 },
    { 3, 12, 3 << 20, 0 },
    { 3, 16, G_GUINT64_CONSTANT(3) << 40, 0 },
    { 3, 12, 100000, QCOW2_INCOMPATIBLE_DATA_FILE },
    { 3, 14, 5 << 20, QCOW2_INCOMPATIBLE_EXTENDED_L2 },
    { 3, 12, 200000, QCOW2_INCOMPATIBLE_COMPRESSION },
};

static gsize
compress_cluster(gboolean zstd, const guint8 *bytes, gsize size, guint8 *stream, gsize room)
{
    struct libdeflate_compressor *compressor;
    gsize length;

    if (zstd)
        return ZSTD_compress(stream, room, bytes, size, 1);
    compressor = libdeflate_alloc_compressor(1);
    length = libdeflate_deflate_compress(compressor, bytes, size, stream, room);
    libdeflate_free_compressor(compressor);
    return length;
}

/* At the end of the file. All clusters here are described by one L2 table, which is there by now:
 * none will be wanted where this leaves no aligned place for it. */
static guint64
append_compressed(Qcow2Image *image, gboolean zstd, guint number)
{
    const gsize size = (gsize)1 << image->cluster_bits;
    const guint offset_bits = 62 - (image->cluster_bits - 8);
    guint64 host = image->bytes->len, n_more;
    g_autofree guint8 *bytes = g_malloc(size);
    guint8 stream[4096];
    gsize length;

    for (gsize i = 0; i < size; i++)
        bytes[i] = i * number / 7;
    length = compress_cluster(zstd, bytes, size, stream, sizeof stream);
    g_assert_cmpuint(length, >, 0);
    g_assert_cmpuint(length, <=, sizeof stream);
    g_byte_array_append(image->bytes, stream, length);
    n_more = (host + length - 1) / QCOW2_SECTOR - host / QCOW2_SECTOR;
    return QCOW2_ENTRY_COMPRESSED | n_more << offset_bits | host;
}

static void
put_cluster(Qcow2Image *image, gboolean zstd, guint64 guest, guint number)
{
    static const guint64 bitmaps[] = { 0, G_MAXUINT32, G_GUINT64_CONSTANT(0xffff0000ffff),
                                       (guint64)G_MAXUINT32 << 32 };
    guint64 host = (guint64)(number + 1) << image->cluster_bits;
    const guint64 entries[] = {
        0,
        guest | QCOW2_ENTRY_COPIED,
        host | QCOW2_ENTRY_COPIED,
        QCOW2_ENTRY_ZERO,
        host | QCOW2_ENTRY_ZERO,
        QCOW2_ENTRY_COMPRESSED | host,
        append_compressed(image, zstd, number),
    };

    qcow2_image_set_entry(image, guest, entries[number % G_N_ELEMENTS(entries)],
                          bitmaps[number % G_N_ELEMENTS(bitmaps)]);
}

static void
put_snapshots(Qcow2Image *image, guint64 size)
{
    const ImageSnapshot snapshots[] = {
        { "1", "first", size, 0, 16 },
        { "2", "", size / 2, G_MAXUINT32 + 1ull, 24 },
    };

    qcow2_image_put_snapshots(image, snapshots, G_N_ELEMENTS(snapshots));
}

/* With entries enough for the disk at granularity 2^16. Returns where the next extension goes. */
static guint64
put_bitmaps(Qcow2Image *image, guint64 at, guint64 size)
{
    guint64 n_entries = (size >> (16 + 3 + image->cluster_bits)) + 1;
    g_autofree char *table = g_strnfill(n_entries, '0');
    const ImageBitmap bitmaps[] = {
        { "enabled", 16, QCOW2_BITMAP_AUTO, 0, table },
        { "broken", 9, QCOW2_BITMAP_IN_USE, 0, "01" },
        { "extra", 31, QCOW2_BITMAP_EXTRA_COMPATIBLE, 3, "10c1" },
    };
    guint64 directory, bits;

    table[0] = 'c';
    table[n_entries / 2] = n_entries > 2 ? '1' : 'c';
    directory = qcow2_image_put_bitmaps(image, at, bitmaps, G_N_ELEMENTS(bitmaps));
    bits = qcow2_image_get64(image, qcow2_image_bitmap_table_at(image, directory, 0));
    image->bytes->data[bits] = 0x5a;
    image->bytes->data[bits + 9] = 0xff;
    return at + QCOW2_EXTENSION_HEADER + QCOW2_BITMAPS_LENGTH;
}

GByteArray *
fuzz_make_seed(guint number)
{
    static const guint8 name[QCOW2_FEATURE_ENTRY] = { 0, 5, 'f', 'u', 't', 'u', 'r', 'e' };
    g_autoptr(Qcow2Image) image = NULL;
    gboolean zstd;
    guint64 at;

    if (number >= G_N_ELEMENTS(shapes))
        return NULL;
    zstd = (shapes[number].incompatible & QCOW2_INCOMPATIBLE_COMPRESSION) != 0;
    image = qcow2_image_new(shapes[number].version, shapes[number].cluster_bits,
                            shapes[number].size, shapes[number].incompatible, 0);
    if (zstd)
        image->bytes->data[QCOW2_AT_COMPRESSION_TYPE] = QCOW2_COMPRESSION_ZSTD;
    at = shapes[number].version == 2 ? QCOW2_V2_HEADER_LENGTH : QCOW2_KNOWN_HEADER_LENGTH;
    at = qcow2_image_put_extension(image, at, QCOW2_EXTENSION_BACKING_FORMAT, "raw", 3);
    at = qcow2_image_put_extension(image, at, QCOW2_EXTENSION_DATA_FILE, "data", 4);
    at = qcow2_image_put_extension(image, at, QCOW2_EXTENSION_FEATURE_NAMES, name, sizeof name);
    if (shapes[number].version >= 3)
        at = put_bitmaps(image, at, shapes[number].size);
    qcow2_image_put64(image, QCOW2_AT_BACKING_OFFSET, at + 8);
    qcow2_image_put32(image, QCOW2_AT_BACKING_SIZE, 4);
    qcow2_image_put_text(image, at + 8, "base");
    qcow2_image_l2_at(image, 0);
    for (guint i = 0; i < 40 && (guint64)i << image->cluster_bits < shapes[number].size; i++)
        put_cluster(image, zstd, (guint64)i << image->cluster_bits, i);
    put_snapshots(image, shapes[number].size);
    return g_byte_array_ref(image->bytes);
}
