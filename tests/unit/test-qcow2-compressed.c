/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-qcow2-compressed.c - compressed clusters against what the test itself compressed, and what
 * comes of streams that are not as they should be. */
#include <libdeflate.h>
#include <strata/read.h>
#include <strata/resolve.h>
#include <string.h>
#include <zstd.h>

#include "error.h"
#include "opener.h"
#include "qcow2-image.h"
#include "qcow2/format.h"

/* -- Streams -- */

/* Bytes that compress, though not to nothing. */
static guint8 *
make_bytes(guint32 seed, gsize size)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(seed);
    guint8 *bytes = g_malloc(size);

    for (gsize i = 0; i < size; i++)
        bytes[i] = "abcdefgh"[g_rand_int_range(random, 0, 8)];
    return bytes;
}

static GByteArray *
deflate_bytes(const guint8 *bytes, gsize size)
{
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(6);
    GByteArray *stream = g_byte_array_new();

    g_byte_array_set_size(stream, libdeflate_deflate_compress_bound(compressor, size));
    g_byte_array_set_size(
        stream, libdeflate_deflate_compress(compressor, bytes, size, stream->data, stream->len));
    libdeflate_free_compressor(compressor);
    return stream;
}

static GByteArray *
zstd_bytes(const guint8 *bytes, gsize size)
{
    GByteArray *stream = g_byte_array_new();

    g_byte_array_set_size(stream, ZSTD_compressBound(size));
    g_byte_array_set_size(stream, ZSTD_compress(stream->data, stream->len, bytes, size, 3));
    return stream;
}

static GByteArray *
compress_bytes(guint8 type, const guint8 *bytes, gsize size)
{
    return type == QCOW2_COMPRESSION_ZSTD ? zstd_bytes(bytes, size) : deflate_bytes(bytes, size);
}

/* -- Images -- */

typedef struct {
    const char *label;
    guint version;
    guint cluster_bits;
    guint8 type;
    gboolean extended;
} Shape;

static const Shape shapes[] = {
    { "deflate-v2-64k", 2, 16, QCOW2_COMPRESSION_DEFLATE, FALSE },
    { "deflate-512", 3, 9, QCOW2_COMPRESSION_DEFLATE, FALSE },
    { "deflate-4k", 3, 12, QCOW2_COMPRESSION_DEFLATE, FALSE },
    { "deflate-2m", 3, 21, QCOW2_COMPRESSION_DEFLATE, FALSE },
    { "deflate-extended-16k", 3, 14, QCOW2_COMPRESSION_DEFLATE, TRUE },
    { "zstd-512", 3, 9, QCOW2_COMPRESSION_ZSTD, FALSE },
    { "zstd-64k", 3, 16, QCOW2_COMPRESSION_ZSTD, FALSE },
    { "zstd-2m", 3, 21, QCOW2_COMPRESSION_ZSTD, FALSE },
    { "zstd-extended-64k", 3, 16, QCOW2_COMPRESSION_ZSTD, TRUE },
};

#define DEFLATE_4K (&shapes[2])
#define ZSTD_64K   (&shapes[6])

/* All clusters that these tests use are described by the first L2 table, which is made at once:
 * where it lies must be a multiple of the cluster size, and compressed data leaves no such place.
 */
static Qcow2Image *
image_new(const Shape *shape, guint64 size)
{
    guint64 features = (shape->type != 0 ? QCOW2_INCOMPATIBLE_COMPRESSION : 0) |
                       (shape->extended ? QCOW2_INCOMPATIBLE_EXTENDED_L2 : 0);
    Qcow2Image *image = qcow2_image_new(shape->version, shape->cluster_bits, size, features, 0);

    if (shape->version >= 3)
        image->bytes->data[QCOW2_AT_COMPRESSION_TYPE] = shape->type;
    qcow2_image_l2_at(image, 0);
    return image;
}

/* Says that the data of the cluster at @guest is @length bytes at @host. */
static void
set_compressed(Qcow2Image *image, guint64 guest, guint64 host, guint64 length)
{
    guint offset_bits = 62 - (image->cluster_bits - 8);
    guint64 n_more = (host + length - 1) / 512 - host / 512;

    g_assert_cmpuint(n_more, <, 1u << (image->cluster_bits - 8));
    qcow2_image_set_entry(image, guest, QCOW2_ENTRY_COMPRESSED | n_more << offset_bits | host, 0);
}

/* Appends the stream as the data of the cluster at @guest; returns where it begins. */
static guint64
put_stream(Qcow2Image *image, guint64 guest, const GByteArray *stream)
{
    guint64 host = image->bytes->len;

    g_byte_array_append(image->bytes, stream->data, stream->len);
    set_compressed(image, guest, host, stream->len);
    return host;
}

static void
put_bytes(Qcow2Image *image, const Shape *shape, guint64 guest, const guint8 *bytes)
{
    g_autoptr(GByteArray) stream =
        compress_bytes(shape->type, bytes, (gsize)1 << image->cluster_bits);

    put_stream(image, guest, stream);
}

static StrataGraph *
image_open(const Qcow2Image *image)
{
    g_autoptr(GError) error = NULL;
    StrataGraph *graph = qcow2_image_open(image, NULL, NULL, &error);

    g_assert_no_error(error);
    return graph;
}

static void
expect_bytes(StrataGraph *graph, guint64 offset, const guint8 *bytes, gsize length)
{
    g_autofree guint8 *found = g_malloc(length);
    g_autoptr(GError) error = NULL;

    strata_node_read(strata_graph_get_top(graph), offset, length, found, &error);
    g_assert_no_error(error);
    g_assert_true(memcmp(found, bytes, length) == 0);
}

static void
expect_damage(StrataGraph *graph, guint64 offset, const char *words)
{
    g_autoptr(GError) error = NULL;
    guint8 byte;

    g_assert_false(strata_node_read(strata_graph_get_top(graph), offset, 1, &byte, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
    if (strstr(error->message, words) == NULL)
        g_error("'%s' is not in '%s'", words, error->message);
}

/* -- Whole images -- */

/* Clusters at odd places, one after the other and not in order, the last one up to the last byte
 * of the file; an image whose size is no multiple of the cluster. */
static void
test_shape(gconstpointer data)
{
    const Shape *shape = data;
    const gsize cluster = (gsize)1 << shape->cluster_bits, size = 6 * cluster + cluster / 2 + 1;
    g_autofree guint8 *bytes = make_bytes(shape->cluster_bits, 7 * cluster);
    g_autoptr(Qcow2Image) image = image_new(shape, size);
    g_autoptr(StrataGraph) graph = NULL;
    static const guint order[] = { 3, 0, 6, 1, 5, 2 };

    for (gsize i = 0; i < G_N_ELEMENTS(order); i++) {
        g_byte_array_set_size(image->bytes, image->bytes->len + 1 + 200 * i);
        put_bytes(image, shape, order[i] * cluster, bytes + order[i] * cluster);
    }
    memset(bytes + 4 * cluster, 0, cluster); /* which is not there */
    graph = image_open(image);
    expect_bytes(graph, 0, bytes, size);
    for (gsize at = 0; at < size; at += cluster / 3)
        expect_bytes(graph, at, bytes + at, MIN(cluster / 2, size - at));
    for (gsize at = cluster - 1; at < size; at += cluster)
        expect_bytes(graph, at, bytes + at, 1);
}

/* What the map says: data of this node, not asked whether it is zeros. */
static void
test_map(void)
{
    const Shape *shape = ZSTD_64K;
    static const guint8 zeros[1 << 16];
    g_autoptr(Qcow2Image) image = image_new(shape, 4 << 16);
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataWalk) walk = NULL;
    g_autoptr(GError) error = NULL;
    const StrataRun *runs;
    gsize n;

    put_bytes(image, shape, 1 << 16, zeros);
    put_bytes(image, shape, 2 << 16, zeros);
    graph = image_open(image);
    walk = strata_walk_new(strata_graph_get_top(graph));
    runs = strata_walk_resolve(walk, 0, 4 << 16, &n, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(n, ==, 3);
    g_assert_cmphex(runs[1].offset, ==, 1 << 16);
    g_assert_cmphex(runs[1].length, ==, 2 << 16);
    g_assert_cmpuint(runs[1].depth, ==, 1);
    g_assert_cmpuint(runs[1].flags, ==, STRATA_RUN_COMPRESSED);
    g_assert_true(runs[1].claimant == strata_graph_get_top(graph));
    expect_bytes(graph, 1 << 16, zeros, sizeof zeros);
}

/* -- Streams that end elsewhere -- */

/* As many sectors as the descriptor can say, full of what is not part of the stream. */
static void
test_what_follows_is_ignored(gconstpointer data)
{
    const Shape *shape = data;
    const gsize cluster = (gsize)1 << shape->cluster_bits;
    g_autofree guint8 *bytes = make_bytes(7, cluster);
    g_autofree guint8 *garbage = make_bytes(8, 2 * cluster);
    g_autoptr(Qcow2Image) image = image_new(shape, cluster);
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GByteArray) stream = compress_bytes(shape->type, bytes, cluster);
    guint64 host = put_stream(image, 0, stream);

    g_byte_array_append(image->bytes, garbage, 2 * cluster);
    set_compressed(image, 0, host, 2 * cluster - host % 512);
    graph = image_open(image);
    expect_bytes(graph, 0, bytes, cluster);
}

/* Two good clusters, and between them one whose data is @stream. */
static StrataGraph *
open_between(const Shape *shape, const GByteArray *stream, const guint8 *good, guint64 *out_host)
{
    const gsize cluster = (gsize)1 << shape->cluster_bits;
    g_autoptr(Qcow2Image) image = image_new(shape, 3 * cluster);

    put_bytes(image, shape, 0, good);
    *out_host = put_stream(image, cluster, stream);
    put_bytes(image, shape, 2 * cluster, good);
    return image_open(image);
}

static void
expect_damage_between(const Shape *shape, const GByteArray *stream, const char *words)
{
    const gsize cluster = (gsize)1 << shape->cluster_bits;
    g_autofree guint8 *good = make_bytes(1, cluster);
    g_autofree char *place = NULL;
    guint64 host;
    g_autoptr(StrataGraph) graph = open_between(shape, stream, good, &host);

    place =
        g_strdup_printf("for guest offset 0x%" G_GSIZE_MODIFIER "x is damaged: in the 0x", cluster);
    expect_damage(graph, cluster + 5, words);
    expect_damage(graph, 2 * cluster - 1, place);
    g_free(g_steal_pointer(&place));
    place = g_strdup_printf(" bytes at 0x%" G_GINT64_MODIFIER "x ", host);
    expect_damage(graph, cluster, place);
    expect_bytes(graph, 0, good, cluster);
    expect_bytes(graph, 2 * cluster, good, cluster);
}

static void
test_too_short(void)
{
    const gsize small = (1 << 12) - 1, large = (1 << 16) - 1;
    g_autofree guint8 *bytes = make_bytes(2, large);
    g_autoptr(GByteArray) deflated = deflate_bytes(bytes, small);
    g_autoptr(GByteArray) zstandard = zstd_bytes(bytes, large);

    expect_damage_between(DEFLATE_4K, deflated, "ends before the cluster is full");
    /* The next cluster's frame begins in the same sector, but there the entry ends. */
    g_byte_array_set_size(zstandard, zstandard->len / 512 * 512 + 512);
    expect_damage_between(ZSTD_64K, zstandard, "zstd frames end before the cluster is full");
}

static void
test_broken(void)
{
    g_autofree guint8 *bytes = make_bytes(3, 1 << 16);
    g_autoptr(GByteArray) deflated = deflate_bytes(bytes, 1 << 12);
    g_autoptr(GByteArray) zstandard = zstd_bytes(bytes, 1 << 16);

    memset(deflated->data + 20, 0xff, deflated->len - 20);
    expect_damage_between(DEFLATE_4K, deflated, "no valid deflate stream");
    memset(zstandard->data + 20, 0xff, zstandard->len - 20);
    expect_damage_between(ZSTD_64K, zstandard, "no valid zstd frame");
    zstandard->data[0] ^= 1;
    expect_damage_between(ZSTD_64K, zstandard, "no valid zstd frame");
}

/* A full cluster is the end of deflate. A frame of zstd is whole or damaged, which is how QEMU has
 * it. */
static void
test_too_long(void)
{
    g_autofree guint8 *bytes = make_bytes(4, 2 << 16);
    g_autoptr(GByteArray) deflated = deflate_bytes(bytes, (1 << 12) + 3000);
    g_autoptr(GByteArray) zstandard = zstd_bytes(bytes, (1 << 16) + 1);
    guint64 host;
    g_autoptr(StrataGraph) graph = open_between(DEFLATE_4K, deflated, bytes, &host);

    expect_bytes(graph, 1 << 12, bytes, 1 << 12);
    expect_damage_between(ZSTD_64K, zstandard, "no valid zstd frame");
}

static void
test_several_frames(void)
{
    static const guint8 skippable[] = { 0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z' };
    const gsize cluster = 1 << 16;
    g_autofree guint8 *bytes = make_bytes(5, cluster);
    g_autoptr(GByteArray) stream = zstd_bytes(bytes, 100);
    g_autoptr(GByteArray) rest = zstd_bytes(bytes + 100, cluster - 100);
    guint64 host;
    g_autoptr(StrataGraph) graph = NULL;

    g_byte_array_append(stream, skippable, sizeof skippable);
    g_byte_array_append(stream, rest->data, rest->len);
    graph = open_between(ZSTD_64K, stream, bytes, &host);
    expect_bytes(graph, cluster, bytes, cluster);
}

/* A file that ends within the data of its last cluster, or before it. */
static void
test_truncated_file(gconstpointer data)
{
    const Shape *shape = data;
    const gsize cluster = (gsize)1 << shape->cluster_bits;
    g_autofree guint8 *bytes = make_bytes(6, cluster);
    g_autoptr(Qcow2Image) image = image_new(shape, 2 * cluster);
    g_autoptr(StrataGraph) cut_within = NULL;
    g_autoptr(StrataGraph) cut_before = NULL;
    guint64 second;

    put_bytes(image, shape, 0, bytes);
    second = image->bytes->len;
    put_bytes(image, shape, cluster, bytes);
    g_byte_array_set_size(image->bytes, (second + image->bytes->len) / 2);
    cut_within = image_open(image);
    expect_bytes(cut_within, 0, bytes, cluster);
    expect_damage(cut_within, cluster, "is damaged");
    g_byte_array_set_size(image->bytes, second);
    cut_before = image_open(image);
    expect_bytes(cut_before, 0, bytes, cluster);
    expect_damage(cut_before, cluster, "past the end of the file");
}

/* -- Work -- */

#define N_READERS  4
#define N_CLUSTERS 40
#define STEP       4096

typedef struct {
    StrataGraph *graph;
    const guint8 *bytes;
} Reader;

static gpointer
read_in_small_steps(gpointer data)
{
    const Reader *reader = data;

    for (gsize at = 0; at < N_CLUSTERS << 16; at += STEP)
        expect_bytes(reader->graph, at, reader->bytes + at, STEP);
    return NULL;
}

/* Four readers, in steps of a sixteenth of a cluster: the file is read once for each cluster. */
static void
test_decompresses_once(void)
{
    const Shape *shape = ZSTD_64K;
    g_autofree guint8 *bytes = make_bytes(9, N_CLUSTERS << 16);
    g_autoptr(Qcow2Image) image = image_new(shape, N_CLUSTERS << 16);
    g_autoptr(StrataGraph) graph = NULL;
    GThread *threads[N_READERS];
    Reader reader = { .bytes = bytes };
    StrataNode *leaf;
    guint before;

    for (guint64 i = 0; i < N_CLUSTERS; i++)
        put_bytes(image, shape, i << 16, bytes + (i << 16));
    graph = image_open(image);
    reader.graph = graph;
    leaf = strata_graph_get_top(graph)->children[STRATA_ROLE_FILE];
    expect_bytes(graph, 0, bytes, 1); /* which has the tables read, too */
    before = mem_node_get_n_reads(leaf);
    for (int i = 0; i < N_READERS; i++)
        threads[i] = g_thread_new("reader", read_in_small_steps, &reader);
    for (int i = 0; i < N_READERS; i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(mem_node_get_n_reads(leaf) - before, ==, N_CLUSTERS - 1);
}

/* Whoever reads whole clusters leaves those in memory of which others read parts, and takes them
 * from there; one of which a part is read is remembered beside them. */
static void
test_whole_clusters_are_not_remembered(void)
{
    const Shape *shape = ZSTD_64K;
    const gsize size = 2 << 16;
    g_autofree guint8 *bytes = make_bytes(9, size);
    g_autoptr(Qcow2Image) image = image_new(shape, size);
    g_autoptr(StrataGraph) graph = NULL;
    StrataNode *leaf;
    guint before;

    for (guint64 at = 0; at < size; at += 1 << 16)
        put_bytes(image, shape, at, bytes + at);
    graph = image_open(image);
    leaf = strata_graph_get_top(graph)->children[STRATA_ROLE_FILE];
    expect_bytes(graph, 0, bytes, 1); /* the first one, and the tables */
    before = mem_node_get_n_reads(leaf);
    expect_bytes(graph, 0, bytes, size);
    g_assert_cmpuint(mem_node_get_n_reads(leaf) - before, ==, 1);
    expect_bytes(graph, 0, bytes, size);
    g_assert_cmpuint(mem_node_get_n_reads(leaf) - before, ==, 2);
    expect_bytes(graph, size - 2, bytes + size - 2, 2);
    g_assert_cmpuint(mem_node_get_n_reads(leaf) - before, ==, 3);
    expect_bytes(graph, 0, bytes, size);
    g_assert_cmpuint(mem_node_get_n_reads(leaf) - before, ==, 3);
}

/* -- Images in images -- */

static Qcow2Image *
wrap(const Shape *shape, const guint8 *bytes, gsize size)
{
    const gsize cluster = (gsize)1 << shape->cluster_bits;
    Qcow2Image *image = image_new(shape, size);

    for (gsize at = 0; at < size; at += cluster) {
        g_autofree guint8 *padded = g_malloc0(cluster);

        memcpy(padded, bytes + at, MIN(cluster, size - at));
        put_bytes(image, shape, at, padded);
    }
    return image;
}

/* @bytes in an image whose file is an image, and so on. */
static StrataGraph *
nested_graph(guint n_levels, const guint8 *bytes, gsize size)
{
    g_autoptr(Qcow2Image) image = wrap(DEFLATE_4K, bytes, size);
    StrataNode *top;

    for (guint i = 1; i < n_levels; i++) {
        g_autoptr(Qcow2Image) inner = g_steal_pointer(&image);

        image = wrap(DEFLATE_4K, inner->bytes->data, inner->bytes->len);
    }
    top = mem_leaf_new("leaf", image->bytes->data, image->bytes->len);
    for (guint i = 0; i < n_levels; i++) {
        StrataNode *node = g_new0(StrataNode, 1);

        node->name = g_strdup_printf("image-%u", i);
        node->driver = &strata_driver_qcow2;
        top = mem_node_attach(node, STRATA_ROLE_FILE, top);
    }
    return mem_graph_new(top);
}

/* Opens the nodes from the bottom up, until one does not open. */
static gboolean
open_nodes(StrataGraph *graph, GError **error)
{
    StrataOpener opener = { 0 };

    for (guint i = graph->nodes->len - 1; i > 0; i--) {
        StrataNode *node = graph->nodes->pdata[i - 1];

        if (!node->driver->open(node, &opener, error))
            return FALSE;
    }
    return TRUE;
}

static void
test_nested(void)
{
    g_autofree guint8 *bytes = make_bytes(10, 20000);
    g_autoptr(StrataGraph) graph = nested_graph(3, bytes, 20000);
    g_autoptr(GError) error = NULL;

    open_nodes(graph, &error);
    g_assert_no_error(error);
    expect_bytes(graph, 0, bytes, 20000);
}

/* With a cache that keeps nothing every level takes all those below it. */
static void
test_nesting_is_bounded(void)
{
    g_autofree guint8 *bytes = make_bytes(11, 5000);
    g_autoptr(StrataGraph) graph = nested_graph(20, bytes, 5000);
    g_autoptr(GError) error = NULL;
    guint64 before = table_cache_count_work();

    table_cache_free(graph->clusters);
    graph->clusters = table_cache_new(0, 0);
    g_assert_false(open_nodes(graph, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT);
    g_assert_nonnull(strstr(error->message, "is itself compressed"));
    g_assert_cmpuint(table_cache_count_work() - before, <, 200000);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(shapes); i++) {
        g_autofree char *read = g_strconcat("/qcow2-compressed/read/", shapes[i].label, NULL);
        g_autofree char *tail = g_strconcat("/qcow2-compressed/tail/", shapes[i].label, NULL);
        g_autofree char *cut = g_strconcat("/qcow2-compressed/cut/", shapes[i].label, NULL);

        g_test_add_data_func(read, &shapes[i], test_shape);
        g_test_add_data_func(tail, &shapes[i], test_what_follows_is_ignored);
        g_test_add_data_func(cut, &shapes[i], test_truncated_file);
    }
    g_test_add_func("/qcow2-compressed/map", test_map);
    g_test_add_func("/qcow2-compressed/too-short", test_too_short);
    g_test_add_func("/qcow2-compressed/broken", test_broken);
    g_test_add_func("/qcow2-compressed/too-long", test_too_long);
    g_test_add_func("/qcow2-compressed/several-frames", test_several_frames);
    g_test_add_func("/qcow2-compressed/decompresses-once", test_decompresses_once);
    g_test_add_func("/qcow2-compressed/whole-clusters-are-not-remembered",
                    test_whole_clusters_are_not_remembered);
    g_test_add_func("/qcow2-compressed/nested", test_nested);
    g_test_add_func("/qcow2-compressed/nesting-is-bounded", test_nesting_is_bounded);
    return g_test_run();
}
