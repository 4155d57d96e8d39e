/* SPDX-License-Identifier: LGPL-2.1-or-later
 * compressed.c - the bytes of compressed qcow2 clusters, from streams of deflate or zstd.
 *
 * "Compressed Clusters Descriptor" of docs/interop/qcow2.rst: where the data begins is known to the
 * byte, where it ends only to the sector. A full cluster is the end; what follows is padding, or
 * the next cluster's data, or more of the stream.
 *
 * A decompressor serves one thread at a time. One for deflate is made for each cluster, which costs
 * nothing that could be measured. One for zstd looks at the processor when it is made, which in a
 * virtual machine takes longer than a small cluster, so the node keeps those that are idle. Neither
 * belongs to a thread, so that none is left behind by one, or by a plugin that is unloaded. */
#include "compressed.h"

#include <libdeflate.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "error.h"
#include "format.h"
#include "node.h"
#include "wait.h"

/* Each cluster that is being made holds its compressed bytes, 4 MiB at most, while the data of
 * compressed clusters further down is made for them. */
#define MAX_NESTED_CLUSTERS 8

typedef struct libdeflate_decompressor Deflate;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Deflate, libdeflate_free_decompressor)

/* A cluster to be made. */
typedef struct {
    StrataNode *node;
    const Qcow2 *qcow2;
    guint64 guest; /* for messages: some byte of the cluster */
} Cluster;

static gboolean
throw_damaged(const Cluster *cluster, const TableKey *key, const char *what, GError **error)
{
    guint64 mask = (G_GUINT64_CONSTANT(1) << cluster->qcow2->header->cluster_bits) - 1;

    return strata_throw(error, cluster->node, STRATA_ERROR_DAMAGED,
                        "the compressed cluster for guest offset 0x%" G_GINT64_MODIFIER
                        "x is damaged: in the 0x%" G_GSIZE_MODIFIER
                        "x bytes at 0x%" G_GINT64_MODIFIER "x %s",
                        cluster->guest & ~mask, key->length, key->offset, what);
}

static gboolean
throw_no_memory(const Cluster *cluster, GError **error)
{
    return strata_throw(
        error, cluster->node, STRATA_ERROR_LIMIT,
        "there is no memory for decompressing the cluster at guest offset 0x%" G_GINT64_MODIFIER
        "x",
        cluster->guest);
}

/* -- Deflate -- */

/* Where the stream goes on beyond the cluster libdeflate promises nothing about what it wrote. zlib
 * stops where it is told to, but is slow, and no image of QEMU's needs it. */
static gboolean
inflate_beginning(const guint8 *data, gsize data_size, guint8 *bytes, gsize size)
{
    z_stream stream = {
        .next_in = (guint8 *)data,
        .avail_in = (uInt)data_size,
        .next_out = bytes,
        .avail_out = (uInt)size,
    };

    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return FALSE;
    (void)inflate(&stream, Z_SYNC_FLUSH);
    inflateEnd(&stream);
    return stream.avail_out == 0;
}

static gboolean
inflate_cluster(const Cluster *cluster, const TableKey *key, const guint8 *data, guint8 *bytes,
                gsize size, GError **error)
{
    g_autoptr(Deflate) decompressor = libdeflate_alloc_decompressor();

    if (decompressor == NULL)
        return throw_no_memory(cluster, error);
    switch (libdeflate_deflate_decompress(decompressor, data, key->length, bytes, size, NULL)) {
    case LIBDEFLATE_SUCCESS:
        return TRUE;
    case LIBDEFLATE_SHORT_OUTPUT:
        return throw_damaged(cluster, key, "the deflate stream ends before the cluster is full",
                             error);
    default:
        return inflate_beginning(data, key->length, bytes, size) ||
               throw_damaged(cluster, key, "there is no valid deflate stream", error);
    }
}

/* -- Zstandard -- */

static void
zstd_free(gpointer decompressor)
{
    ZSTD_freeDCtx(decompressor);
}

GAsyncQueue *
qcow2_compressed_keep_idle(const Qcow2Header *header)
{
    if (header->compression_type != QCOW2_COMPRESSION_ZSTD)
        return NULL;
    return g_async_queue_new_full(zstd_free);
}

/* Frame after frame until the cluster is full, as QEMU does it. Frames are taken whole, because the
 * library's streams would need a buffer as large as the frame says that its window is. */
static gboolean
unzstd_frames(const Cluster *cluster, const TableKey *key, ZSTD_DCtx *decompressor,
              const guint8 *data, guint8 *bytes, gsize size, GError **error)
{
    gsize taken = 0, made = 0;

    while (made < size) {
        gsize left = key->length - taken;
        gsize frame = ZSTD_findFrameCompressedSize(data + taken, left);
        gsize n_made;

        if (ZSTD_isError(frame) || frame == 0)
            return throw_damaged(cluster, key,
                                 made > 0 ? "the zstd frames end before the cluster is full"
                                          : "there is no valid zstd frame",
                                 error);
        n_made = ZSTD_decompressDCtx(decompressor, bytes + made, size - made, data + taken, frame);
        if (ZSTD_isError(n_made))
            return throw_damaged(cluster, key, "there is no valid zstd frame", error);
        taken += frame;
        made += n_made;
    }
    return TRUE;
}

static gboolean
unzstd_cluster(const Cluster *cluster, const TableKey *key, const guint8 *data, guint8 *bytes,
               gsize size, GError **error)
{
    GAsyncQueue *idle = cluster->qcow2->idle_decompressors;
    ZSTD_DCtx *decompressor = g_async_queue_try_pop(idle);
    gboolean is_made;

    if (decompressor == NULL)
        decompressor = ZSTD_createDCtx();
    if (decompressor == NULL)
        return throw_no_memory(cluster, error);
    is_made = unzstd_frames(cluster, key, decompressor, data, bytes, size, error);
    g_async_queue_push(idle, decompressor);
    return is_made;
}

/* -- Clusters -- */

/* How many clusters this thread is making, one for the sake of the other. */
static __thread guint level;

static gboolean
read_data(const Cluster *cluster, const TableKey *key, guint8 *data, GError **error)
{
    gboolean is_read;

    if (level == MAX_NESTED_CLUSTERS)
        return strata_throw(error, cluster->node, STRATA_ERROR_LIMIT,
                            "the data of compressed clusters is itself compressed, and so on more"
                            " than %d times, which is strata's limit",
                            MAX_NESTED_CLUSTERS);
    level++;
    is_read = strata_node_read(key->storage, key->offset, key->length, data, error);
    level--;
    return is_read;
}

static gboolean
decompress(const Cluster *cluster, const TableKey *key, const guint8 *data, guint8 *bytes,
           gsize size, GError **error)
{
    wait_announce();
    if (cluster->qcow2->header->compression_type == QCOW2_COMPRESSION_ZSTD)
        return unzstd_cluster(cluster, key, data, bytes, size, error);
    return inflate_cluster(cluster, key, data, bytes, size, error);
}

/* The compressed bytes lie meanwhile in memory of the cache, and in as much of it as a cluster has:
 * so that the same pieces of it serve for both. */
static gboolean
make_cluster(const TableKey *key, gpointer cluster_data, guint8 *bytes, gsize size, GError **error)
{
    const Cluster *cluster = cluster_data;
    TableCache *cache = cluster->node->graph->clusters;
    guint8 *data;
    Table *borrowed = table_cache_borrow(cache, MAX(key->length, size), &data);
    gboolean is_made =
        read_data(cluster, key, data, error) && decompress(cluster, key, data, bytes, size, error);

    table_cache_return(cache, borrowed);
    return is_made;
}

/* Who wants a whole cluster reads disks from one end to the other, and does not come back to it: it
 * gets its own copy, and others keep what they use again. */
gboolean
qcow2_compressed_read(StrataNode *node, const Qcow2Place *place, guint64 guest, gsize length,
                      guint8 *buffer, GError **error)
{
    const Qcow2 *qcow2 = node->state;
    const gsize cluster_size = (gsize)1 << qcow2->header->cluster_bits;
    const TableKey key = {
        .storage = node->children[STRATA_ROLE_FILE],
        .offset = place->host,
        .length = place->length,
    };
    Cluster cluster = { .node = node, .qcow2 = qcow2, .guest = guest };
    TableCache *cache = node->graph->clusters;
    g_autoptr(Table) bytes = NULL;

    if (length == cluster_size)
        return table_cache_copy(cache, &key, cluster_size, make_cluster, &cluster, buffer, error);
    bytes = table_cache_make(cache, &key, cluster_size, make_cluster, &cluster, error);
    if (bytes == NULL)
        return FALSE;
    memcpy(buffer, bytes->bytes + (guest & (cluster_size - 1)), length);
    return TRUE;
}
