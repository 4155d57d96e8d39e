/* SPDX-License-Identifier: LGPL-2.1-or-later
 * fuzz-qcow2.c - any bytes as a qcow2 image: opened, described, mapped and read.
 *
 * Whatever the bytes are, there is an answer or a GError; runs are consecutive, what is said to be
 * zero reads as zeros, and an answer is the same when it is asked again in another cut. */
#include <strata/read.h>
#include <strata/resolve.h>
#include <string.h>

#include "error.h"
#include "fuzz.h"
#include "qcow2-image.h"
#include "qcow2/format.h"

#define MAX_STEPS     64          /* resolve calls for one window of the image */
#define WINDOW        (64u << 20) /* bytes at the image's beginning and at its end */
#define SKIP          (1u << 16)  /* over what is damaged */
#define MAX_READ      4096        /* bytes of each run */
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
open_image(const guint8 *data, gsize size, gboolean with_data_file, GError **error)
{
    return qcow2_graph_new(mem_leaf_new("image-file", data, size),
                           with_data_file ? small_leaf("data", DATA_SIZE) : NULL,
                           small_leaf("backing", BACKING_SIZE), error);
}

/* Some images need a data file, the others must not have one; the error tells which. */
static StrataGraph *
open_any_image(const guint8 *data, gsize size)
{
    g_autoptr(GError) error = NULL;
    StrataGraph *graph = open_image(data, size, FALSE, &error);

    g_assert_true((graph == NULL) == (error != NULL));
    if (graph != NULL || !g_error_matches(error, STRATA_ERROR, STRATA_ERROR_SPEC))
        return graph;
    return open_image(data, size, TRUE, NULL);
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
};

static void
put_cluster(Qcow2Image *image, guint64 guest, guint number)
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
    };

    qcow2_image_set_entry(image, guest, entries[number % G_N_ELEMENTS(entries)],
                          bitmaps[number % G_N_ELEMENTS(bitmaps)]);
}

GByteArray *
fuzz_make_seed(guint number)
{
    static const guint8 name[QCOW2_FEATURE_ENTRY] = { 0, 5, 'f', 'u', 't', 'u', 'r', 'e' };
    g_autoptr(Qcow2Image) image = NULL;
    guint64 at;

    if (number >= G_N_ELEMENTS(shapes))
        return NULL;
    image = qcow2_image_new(shapes[number].version, shapes[number].cluster_bits,
                            shapes[number].size, shapes[number].incompatible, 0);
    at = shapes[number].version == 2 ? QCOW2_V2_HEADER_LENGTH : QCOW2_KNOWN_HEADER_LENGTH;
    at = qcow2_image_put_extension(image, at, QCOW2_EXTENSION_BACKING_FORMAT, "raw", 3);
    at = qcow2_image_put_extension(image, at, QCOW2_EXTENSION_DATA_FILE, "data", 4);
    at = qcow2_image_put_extension(image, at, QCOW2_EXTENSION_FEATURE_NAMES, name, sizeof name);
    qcow2_image_put64(image, QCOW2_AT_BACKING_OFFSET, at + 8);
    qcow2_image_put32(image, QCOW2_AT_BACKING_SIZE, 4);
    qcow2_image_put_text(image, at + 8, "base");
    for (guint i = 0; i < 40 && (guint64)i << image->cluster_bits < shapes[number].size; i++)
        put_cluster(image, (guint64)i << image->cluster_bits, i);
    return g_byte_array_ref(image->bytes);
}
