/* SPDX-License-Identifier: LGPL-2.1-or-later
 * image-writer.c - writes one layer of a made chain as a qcow2 file.
 *
 * The layout is what a guest leaves that writes here and there: each L2 table with the data of its
 * range behind it, the ranges in no order. Names of sections are those of docs/interop/qcow2.rst.
 */
#include "image-writer.h"

#include <string.h>

#include "host-file.h"

#define VERSION             3
#define HEADER_LENGTH       112
#define BACKING_NAME_AT     1024 /* where a cluster is larger than this; else at the end of it */
#define EXTENSION_FORMAT    0xe2792acau
#define INCOMPATIBLE_TYPE   (G_GUINT64_CONSTANT(1) << 3)
#define INCOMPATIBLE_L2     (G_GUINT64_CONSTANT(1) << 4)
#define REFCOUNT_ORDER      4 /* 16 bits */
#define ENTRY_ZERO          G_GUINT64_CONSTANT(1)
#define ENTRY_COMPRESSED    (G_GUINT64_CONSTANT(1) << 62)
#define ENTRY_COPIED        (G_GUINT64_CONSTANT(1) << 63)
#define SECTOR              512
#define AIM_REFERENCES      16384 /* to one shared cluster, of 65535 that its refcount can hold */
#define LEAST_SHARED        64
#define STEP_BETWEEN_TABLES 7919 /* a prime */

/* One layer while it is written. */
typedef struct {
    const Shape *shape;
    const Plan *plan;
    guint layer;
    HostFile *file;
    guint64 cluster_size;
    guint64 n_entries; /* in an L2 table */
    gsize entry_words; /* guint64s in an L2 entry */
    guint64 n_tables;
    guint64 *l1;    /* on-disk order */
    guint64 *table; /* the L2 table at hand, on-disk order */
    guint8 *kinds;  /* of its units */
    guint8 *buffer; /* a cluster */
    guint64 shared_at;
    guint64 n_shared;
    guint64 *shared_entry; /* where the first L2 entry stands that points to each */
} Writer;

static guint64
units_per_cluster(const Plan *plan)
{
    return plan->extended ? SUBCLUSTERS : 1;
}

static guint64
n_clusters(const Plan *plan)
{
    return (plan->size + plan_cluster_size(plan) - 1) / plan_cluster_size(plan);
}

/* How many host clusters there are where data is shared: more where more point to them. */
static guint64
count_shared(const Plan *plan)
{
    double units = plan->allocated * (1.0 / plan->n_layers + plan->hidden);
    double share = MIN(1.0, units * (double)units_per_cluster(plan));

    return LEAST_SHARED + (guint64)((double)n_clusters(plan) * share / AIM_REFERENCES);
}

/* -- Header -- */

static void
put32(guint8 *header, gsize at, guint32 value)
{
    value = GUINT32_TO_BE(value);
    memcpy(header + at, &value, sizeof value);
}

static void
put64(guint8 *header, gsize at, guint64 value)
{
    value = GUINT64_TO_BE(value);
    memcpy(header + at, &value, sizeof value);
}

static void
put_backing(Writer *writer, guint8 *header, const char *backing, const char *format)
{
    gsize length = strlen(backing);
    guint64 at = MIN(BACKING_NAME_AT, writer->cluster_size - length);

    put32(header, HEADER_LENGTH, EXTENSION_FORMAT);
    put32(header, HEADER_LENGTH + 4, (guint32)strlen(format));
    memcpy(header + HEADER_LENGTH + 8, format, strlen(format));
    memcpy(header + at, backing, length);
    put64(header, 8, at);
    put32(header, 16, (guint32)length);
}

static void
write_header(Writer *writer, guint64 refcount_table, guint64 refcount_clusters, const char *backing,
             const char *format)
{
    const Plan *plan = writer->plan;
    g_autofree guint8 *header = g_malloc0(writer->cluster_size);
    gboolean zstd = writer->shape->compression == COMPRESS_ZSTD;

    memcpy(header, "QFI\xfb", 4);
    put32(header, 4, VERSION);
    put32(header, 20, plan->cluster_bits);
    put64(header, 24, plan->size);
    put32(header, 36, (guint32)writer->n_tables);
    put64(header, 40, writer->cluster_size); /* the L1 table follows the header */
    put64(header, 48, refcount_table);
    put32(header, 56, (guint32)refcount_clusters);
    put64(header, 72, (zstd ? INCOMPATIBLE_TYPE : 0) | (plan->extended ? INCOMPATIBLE_L2 : 0));
    put32(header, 96, REFCOUNT_ORDER);
    put32(header, 100, HEADER_LENGTH);
    header[104] = zstd;
    if (backing != NULL)
        put_backing(writer, header, backing, format);
    host_file_patch(writer->file, 0, header, writer->cluster_size);
}

/* -- L2 tables and data -- */

/* The kinds of a cluster of the table at hand as bits: data low, zeros high, as in "Extended L2
 * Entries". */
static guint64
cluster_bitmap(const Writer *writer, guint64 index)
{
    const guint8 *kinds = writer->kinds + index * units_per_cluster(writer->plan);
    guint64 bitmap = 0;

    for (guint i = 0; i < units_per_cluster(writer->plan); i++)
        if (kinds[i] != UNIT_ABSENT)
            bitmap |= G_GUINT64_CONSTANT(1) << (i + (kinds[i] == UNIT_ZERO ? SUBCLUSTERS : 0));
    return bitmap;
}

static void
put_entry(Writer *writer, guint64 index, guint64 descriptor, guint64 bitmap)
{
    guint64 *entry = writer->table + index * writer->entry_words;

    if (writer->plan->extended)
        entry[1] = GUINT64_TO_BE(bitmap);
    else if (bitmap >> SUBCLUSTERS != 0)
        descriptor |= ENTRY_ZERO;
    entry[0] = GUINT64_TO_BE(descriptor);
}

/* "Compressed Clusters Descriptor": where the data begins, and how many sectors it reaches into
 * beyond the first. A reference is to each cluster that those sectors touch. */
static guint64
describe_compressed(Writer *writer, guint64 offset, gsize size)
{
    guint shift = 62 - (writer->plan->cluster_bits - 8);
    guint64 more = (offset + size - 1) / SECTOR - offset / SECTOR;
    guint64 end = (offset / SECTOR + more + 1) * SECTOR;

    host_file_reference(writer->file, offset, end - offset);
    return ENTRY_COMPRESSED | more << shift | offset;
}

/* Where the data of a cluster will stand, if what comes next begins at *@next; moves that on. */
static guint64
place_data(Writer *writer, guint64 cluster, guint64 entry_at, guint64 *next)
{
    guint64 offset = *next;

    if (writer->shape->compression != COMPRESS_NOT) {
        gsize size =
            g_bytes_get_size(content_compressed(writer->shape->content, writer->layer, cluster));

        *next += size;
        return describe_compressed(writer, offset, size);
    }
    if (writer->shape->shared) {
        guint64 which = cluster % writer->n_shared;

        offset = writer->shared_at + which * writer->cluster_size;
        host_file_reference(writer->file, offset, writer->cluster_size);
        if (writer->shared_entry[which] == 0)
            writer->shared_entry[which] = entry_at;
        return offset;
    }
    *next += writer->cluster_size;
    host_file_reference(writer->file, offset, writer->cluster_size);
    return offset | ENTRY_COPIED;
}

static void
append_data(Writer *writer, guint64 cluster)
{
    const Content *content = writer->shape->content;

    if (writer->shape->compression != COMPRESS_NOT) {
        gsize size;
        gconstpointer bytes =
            g_bytes_get_data(content_compressed(content, writer->layer, cluster), &size);

        host_file_append(writer->file, bytes, size);
    } else if (!writer->shape->shared) {
        host_file_append(writer->file,
                         content_plain(content, writer->layer, cluster, writer->buffer),
                         writer->cluster_size);
    }
}

/* The table at hand, whose units are known, and the data behind it. */
static void
write_table(Writer *writer, guint64 table, guint64 n)
{
    guint64 first = table * writer->n_entries;
    guint64 at = host_file_end(writer->file);
    guint64 next = at + writer->cluster_size;

    memset(writer->table, 0, writer->cluster_size);
    host_file_reference(writer->file, at, writer->cluster_size);
    writer->l1[table] = GUINT64_TO_BE(at | ENTRY_COPIED);
    for (guint64 i = 0; i < n; i++) {
        guint64 bitmap = cluster_bitmap(writer, i);
        guint64 entry_at = at + i * writer->entry_words * sizeof(guint64);
        guint64 descriptor = 0;

        if ((bitmap & G_MAXUINT32) != 0)
            descriptor = place_data(writer, first + i, entry_at, &next);
        if (bitmap != 0)
            put_entry(writer, i, descriptor, bitmap);
    }
    host_file_append(writer->file, writer->table, writer->cluster_size);
    for (guint64 i = 0; i < n; i++)
        if ((cluster_bitmap(writer, i) & G_MAXUINT32) != 0)
            append_data(writer, first + i);
    host_file_pad(writer->file);
}

static void
write_tables(Writer *writer)
{
    guint64 step = writer->n_tables % STEP_BETWEEN_TABLES == 0 ? 1 : STEP_BETWEEN_TABLES;
    guint64 per_cluster = units_per_cluster(writer->plan);
    guint64 n_units = plan_n_units(writer->plan);

    for (guint64 i = 0; i < writer->n_tables; i++) {
        guint64 table = i * step % writer->n_tables;
        guint64 first = table * writer->n_entries * per_cluster;
        guint64 n = MIN(writer->n_entries * per_cluster, n_units - first);

        memset(writer->kinds, UNIT_ABSENT, writer->n_entries * per_cluster);
        if (plan_fill(writer->plan, writer->layer, first, n, writer->kinds))
            write_table(writer, table, (n + per_cluster - 1) / per_cluster);
    }
}

/* -- Shared data -- */

static void
write_shared(Writer *writer)
{
    writer->n_shared = count_shared(writer->plan);
    writer->shared_at = host_file_end(writer->file);
    writer->shared_entry = g_new0(guint64, writer->n_shared);
    for (guint64 i = 0; i < writer->n_shared; i++)
        host_file_append(writer->file,
                         content_plain(writer->shape->content, writer->layer, i, writer->buffer),
                         writer->cluster_size);
}

/* What only one entry points to is not shared: "COPIED". */
static void
mark_copied(Writer *writer)
{
    for (guint64 i = 0; i < writer->n_shared; i++) {
        guint64 offset = writer->shared_at + i * writer->cluster_size;
        guint64 entry = GUINT64_TO_BE(offset | ENTRY_COPIED);

        if (writer->shared_entry[i] != 0 && host_file_refcount(writer->file, offset) == 1)
            host_file_patch(writer->file, writer->shared_entry[i], &entry, sizeof entry);
    }
}

/* -- Refcounts -- */

/* Appends the blocks and the table, which count themselves. Returns where the table stands, and in
 * @out_clusters how many clusters it has. */
static guint64
write_refcounts(Writer *writer, guint64 *out_clusters)
{
    HostFile *file = writer->file;
    guint64 per_block = writer->cluster_size / sizeof(guint16);
    guint64 per_table = writer->cluster_size / sizeof(guint64);
    guint64 at = host_file_end(file), n_blocks = 0, n_tables = 0, needed;
    g_autofree guint64 *table = NULL;

    do {
        needed = at / writer->cluster_size + n_blocks + n_tables;
        n_blocks = (needed + per_block - 1) / per_block;
        n_tables = (n_blocks + per_table - 1) / per_table;
    } while (at / writer->cluster_size + n_blocks + n_tables > needed);
    host_file_reference(file, at, (n_blocks + n_tables) * writer->cluster_size);
    g_array_set_size(file->refcounts, (guint)(n_blocks * per_block));
    for (guint i = 0; i < file->refcounts->len; i++) {
        guint16 *count = &g_array_index(file->refcounts, guint16, i);

        *count = GUINT16_TO_BE(*count);
    }
    host_file_append(file, file->refcounts->data, n_blocks * writer->cluster_size);
    table = g_new0(guint64, n_tables * per_table);
    for (guint64 i = 0; i < n_blocks; i++)
        table[i] = GUINT64_TO_BE(at + i * writer->cluster_size);
    host_file_append(file, table, n_tables * writer->cluster_size);
    *out_clusters = n_tables;
    return at + n_blocks * writer->cluster_size;
}

/* -- Layers -- */

static void
writer_init(Writer *writer, const Shape *shape, guint layer, const char *path)
{
    const Plan *plan = shape->plan;

    writer->shape = shape;
    writer->plan = plan;
    writer->layer = layer;
    writer->cluster_size = plan_cluster_size(plan);
    writer->file = host_file_new(path, writer->cluster_size);
    writer->entry_words = plan->extended ? 2 : 1;
    writer->n_entries = writer->cluster_size / sizeof(guint64) / writer->entry_words;
    writer->n_tables = (n_clusters(plan) + writer->n_entries - 1) / writer->n_entries;
    writer->l1 = g_new0(guint64, writer->n_tables);
    writer->table = g_malloc(writer->cluster_size);
    writer->kinds = g_malloc(writer->n_entries * units_per_cluster(plan));
    writer->buffer = g_malloc(writer->cluster_size);
}

static void
writer_finish(Writer *writer)
{
    host_file_close(writer->file);
    g_free(writer->l1);
    g_free(writer->table);
    g_free(writer->kinds);
    g_free(writer->buffer);
    g_free(writer->shared_entry);
}

void
writer_write_layer(const Shape *shape, guint layer, const char *path, const char *backing,
                   const char *backing_format)
{
    Writer writer = { 0 };
    guint64 refcount_table, refcount_clusters;

    writer_init(&writer, shape, layer, path);
    host_file_append_zeros(writer.file, writer.cluster_size); /* the header */
    host_file_append_zeros(writer.file, writer.n_tables * sizeof *writer.l1);
    host_file_pad(writer.file);
    host_file_reference(writer.file, 0, host_file_end(writer.file));
    if (shape->shared && shape->compression == COMPRESS_NOT)
        write_shared(&writer);
    write_tables(&writer);
    mark_copied(&writer);
    host_file_patch(writer.file, writer.cluster_size, writer.l1,
                    writer.n_tables * sizeof *writer.l1);
    refcount_table = write_refcounts(&writer, &refcount_clusters);
    write_header(&writer, refcount_table, refcount_clusters, backing, backing_format);
    writer_finish(&writer);
}

/* -- The flat image -- */

/* Takes the units of a cluster that no layer above has claimed. */
static void
merge_cluster(const Shape *shape, guint layer, guint64 cluster, UnitKind *claimed, guint8 *flat,
              guint8 *buffer)
{
    const Plan *plan = shape->plan;
    guint64 n = units_per_cluster(plan), size = plan_unit_size(plan), first = cluster * n;
    guint8 kinds[SUBCLUSTERS] = { UNIT_ABSENT };
    const guint8 *bytes = NULL;

    if (!plan_fill(plan, layer, first, MIN(n, plan_n_units(plan) - first), kinds))
        return;
    for (guint i = 0; i < n; i++) {
        if (claimed[i] != UNIT_ABSENT)
            continue;
        claimed[i] = kinds[i];
        if (kinds[i] != UNIT_DATA)
            continue;
        if (bytes == NULL)
            bytes = content_plain(shape->content, layer,
                                  shape->shared ? cluster % count_shared(plan) : cluster, buffer);
        memcpy(flat + i * size, bytes + i * size, size);
    }
}

void
writer_write_flat(const Shape *shape, const char *path)
{
    const Plan *plan = shape->plan;
    guint64 cluster_size = plan_cluster_size(plan);
    HostFile *file = host_file_new(path, cluster_size);
    g_autofree guint8 *flat = g_malloc(cluster_size), *buffer = g_malloc(cluster_size);

    for (guint64 cluster = 0; cluster < n_clusters(plan); cluster++) {
        UnitKind claimed[SUBCLUSTERS] = { UNIT_ABSENT };
        guint64 size = MIN(cluster_size, plan->size - cluster * cluster_size);
        gboolean has_data = FALSE;

        memset(flat, 0, cluster_size);
        for (guint layer = 0; layer < plan->n_layers; layer++)
            merge_cluster(shape, layer, cluster, claimed, flat, buffer);
        for (guint i = 0; i < SUBCLUSTERS; i++)
            has_data |= claimed[i] == UNIT_DATA;
        if (has_data)
            host_file_append(file, flat, size);
        else
            host_file_append_zeros(file, size);
    }
    host_file_close(file);
}
