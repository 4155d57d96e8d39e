/* SPDX-License-Identifier: LGPL-2.1-or-later
 * map.c - ranges of a qcow2 image through its L1 and L2 tables to answers.
 *
 * Sections "Cluster mapping" and "Extended L2 Entries" of docs/interop/qcow2.rst.
 *
 *      range ──> Cursor: one slice of the L1 table, and one slice of one L2 table (or a stretch of
 *      guest bytes that no L2 table describes) ──> Cluster: what an entry says, and how many
 *      entries after it go on saying it ──> Sink: answers, merged
 *
 * Tables are looked up once per slice; within a slice it is a loop over big-endian words. What is
 * damage is told for the range that it describes, and for nothing else. Where the specification
 * and QEMU leave a choice (reserved bits), the content is the same as QEMU's: they are ignored. */
#include "map.h"

#include <strata/resolve.h>

#include "checked.h"
#include "error.h"
#include "format.h"
#include "node.h"

/* Tables are cached in slices, so that a lone read in an image of 2 MiB clusters costs 64 KiB of
 * table and not 2 MiB. A power of two: a slice never straddles two L2 tables. */
#define SLICE_BITS  16
#define SLICE_BYTES (1u << SLICE_BITS)

/* After so much work for tables (table_cache_count_work(): 64 MiB of them) one call stops short, so
 * that whoever asked can do something else or give up: a table that lies in another image may be
 * expensive. */
#define WORK_PER_CALL 16384

/* How the tables of this image divide its guest addresses. */
typedef struct {
    StrataNode *node;
    const Qcow2Header *header;
    guint cluster_bits;
    guint64 cluster_size;
    guint entry_bits;   /* log2 of an L2 entry's bytes: 3, or 4 when extended */
    guint slice_bits;   /* log2 of the entries in a slice of an L2 table */
    guint l1_bits;      /* log2 of the guest bytes that one L1 entry covers */
    guint8 data_kind;   /* StrataAnswerKind of what is allocated and not compressed */
    guint8 data_role;   /* StrataRole: who keeps the clusters */
    guint8 absent_kind; /* StrataAnswerKind of what is not allocated here */
} Layout;

/* Where the tables are open. [begin, end) is in guest bytes; l2 is NULL where no table is. */
typedef struct {
    Layout layout;
    Table *l1;
    guint64 l1_first; /* index of the first entry in l1 */
    Table *l2;
    guint64 l2_offset; /* of the slice in the file, for messages */
    guint64 begin;
    guint64 end;
    guint64 last_work; /* table_cache_count_work() when this call has done enough */
} Cursor;

/* What an L2 entry says of its cluster. */
typedef struct {
    guint64 entry;
    guint64 bitmap;    /* of 32 subclusters: 0-31 allocated, 32-63 zero */
    guint64 guest;     /* offset of the cluster for the guest */
    guint64 host;      /* and in the file that keeps it */
    gboolean has_host; /* in a data file, host offset 0 is as good as any */
    gboolean compressed;
} Cluster;

#define ALL_ALLOCATED ((guint64)G_MAXUINT32)
#define ALL_ZERO      ((guint64)G_MAXUINT32 << 32)

static inline gboolean
is_uniform(guint64 bitmap)
{
    return bitmap == 0 || bitmap == ALL_ALLOCATED || bitmap == ALL_ZERO;
}

/* Where the answers go. */
typedef struct {
    StrataAnswer *answers;
    gsize n;
    gsize max;
    gsize range_first; /* answers before this one belong to earlier ranges and are complete */
} Sink;

/* Tables are aligned, and whoever opened one knows how many words it has. */
static inline guint64
word_at(const Table *table, gsize index)
{
    const guint64 *words = (const guint64 *)(const void *)table->bytes;

    return GUINT64_FROM_BE(words[index]);
}

static Layout
make_layout(StrataNode *node, const Qcow2Header *header)
{
    Layout layout = { .node = node, .header = header, .cluster_bits = header->cluster_bits };
    gboolean has_backing = node->children[STRATA_ROLE_BACKING] != NULL;

    layout.cluster_size = G_GUINT64_CONSTANT(1) << layout.cluster_bits;
    layout.entry_bits = header->extended_l2 ? 4 : 3;
    layout.slice_bits = MIN(layout.cluster_bits, SLICE_BITS) - layout.entry_bits;
    layout.l1_bits = 2 * layout.cluster_bits - layout.entry_bits;
    layout.data_kind = header->crypt_method ? STRATA_ANSWER_OWN : STRATA_ANSWER_DATA;
    layout.data_role = header->has_data_file ? STRATA_ROLE_DATA_FILE : STRATA_ROLE_FILE;
    layout.absent_kind = has_backing ? STRATA_ANSWER_FORWARD : STRATA_ANSWER_ABSENT;
    return layout;
}

/* -- Sink -- */

static gboolean
answer_continues(const StrataAnswer *last, const StrataAnswer *next)
{
    gboolean has_offset = next->kind == STRATA_ANSWER_DATA || next->kind == STRATA_ANSWER_FORWARD;

    return last->kind == next->kind && last->role == next->role && last->flags == next->flags &&
           (!has_offset || last->child_offset + last->length == next->child_offset);
}

/* Returns whether there was room. */
static gboolean
sink_add(Sink *sink, const StrataAnswer *next)
{
    if (sink->n > sink->range_first && answer_continues(&sink->answers[sink->n - 1], next)) {
        sink->answers[sink->n - 1].length += next->length;
        return TRUE;
    }
    if (sink->n == sink->max)
        return FALSE;
    sink->answers[sink->n++] = *next;
    return TRUE;
}

/* -- Cursor -- */

static void
cursor_clear(Cursor *cursor)
{
    g_clear_pointer(&cursor->l1, table_unref);
    g_clear_pointer(&cursor->l2, table_unref);
    cursor->begin = cursor->end = 0;
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Cursor, cursor_clear)

static Table *
load_table(const Cursor *cursor, guint64 offset, gsize size, GError **error)
{
    StrataNode *node = cursor->layout.node;

    return table_cache_get(node->graph->tables, node->children[STRATA_ROLE_FILE], offset, size,
                           error);
}

/* Opens the slice of the L1 table that holds entry @index; header.c saw that it is in the file. */
static gboolean
cursor_open_l1(Cursor *cursor, guint64 index, GError **error)
{
    const Qcow2Header *header = cursor->layout.header;
    guint64 per_slice = SLICE_BYTES / sizeof(guint64);
    guint64 first = index & ~(per_slice - 1);
    guint64 n_entries = MIN(per_slice, header->l1_entries - first);

    if (cursor->l1 != NULL && cursor->l1_first == first)
        return TRUE;
    g_clear_pointer(&cursor->l1, table_unref);
    cursor->l1 = load_table(cursor, header->l1_offset + first * sizeof(guint64),
                            n_entries * sizeof(guint64), error);
    cursor->l1_first = first;
    return cursor->l1 != NULL;
}

/* The L1 entries from @index on that are empty too, as far as the slice goes and @limit asks. */
static void
cursor_skip_absent(Cursor *cursor, guint64 index, guint64 limit)
{
    guint l1_bits = cursor->layout.l1_bits;
    guint64 last = cursor->l1_first + cursor->l1->size / sizeof(guint64) - 1;
    guint64 next = index + 1;

    last = MIN(last, (limit - 1) >> l1_bits);
    while (next <= last && (word_at(cursor->l1, next - cursor->l1_first) & QCOW2_ENTRY_OFFSET) == 0)
        next++;
    cursor->begin = index << l1_bits;
    cursor->end = next << l1_bits;
}

static gboolean
check_l2_place(const Layout *layout, guint64 guest, guint64 table, guint64 offset, gsize size,
               GError **error)
{
    guint64 storage_size = layout->node->children[STRATA_ROLE_FILE]->size;

    if (!is_aligned(table, layout->cluster_size))
        return strata_throw(error, layout->node, STRATA_ERROR_DAMAGED,
                            "the L2 table for guest offset 0x%" G_GINT64_MODIFIER
                            "x is said to lie at 0x%" G_GINT64_MODIFIER
                            "x, which is no multiple of the cluster size",
                            guest, table);
    if (!range_within(offset, size, storage_size))
        return strata_throw(error, layout->node, STRATA_ERROR_DAMAGED,
                            "the L2 table for guest offset 0x%" G_GINT64_MODIFIER
                            "x lies at 0x%" G_GINT64_MODIFIER
                            "x, past the end of the file at 0x%" G_GINT64_MODIFIER "x",
                            guest, offset, storage_size);
    return TRUE;
}

/* Opens the slice that describes @guest, of the L2 table at @table. */
static gboolean
cursor_open_l2(Cursor *cursor, guint64 guest, guint64 table, GError **error)
{
    const Layout *layout = &cursor->layout;
    guint span_bits = layout->slice_bits + layout->cluster_bits; /* guest bytes of a slice */
    guint64 slice_index = (guest & ((G_GUINT64_CONSTANT(1) << layout->l1_bits) - 1)) >> span_bits;
    gsize size = (gsize)1 << (layout->slice_bits + layout->entry_bits);
    guint64 offset = table + slice_index * size;

    if (!check_l2_place(layout, guest, table, offset, size, error))
        return FALSE;
    cursor->l2 = load_table(cursor, offset, size, error);
    if (cursor->l2 == NULL)
        return FALSE;
    cursor->l2_offset = offset;
    cursor->begin = guest >> span_bits << span_bits;
    cursor->end = cursor->begin + (G_GUINT64_CONSTANT(1) << span_bits);
    return TRUE;
}

/* Makes [begin, end) hold @guest. Nobody will ask beyond @limit in this range. */
static gboolean
cursor_seek(Cursor *cursor, guint64 guest, guint64 limit, GError **error)
{
    guint64 index = guest >> cursor->layout.l1_bits;
    guint64 table;

    if (guest >= cursor->begin && guest < cursor->end)
        return TRUE;
    g_clear_pointer(&cursor->l2, table_unref);
    cursor->begin = cursor->end = 0;
    if (!cursor_open_l1(cursor, index, error))
        return FALSE;
    table = word_at(cursor->l1, index - cursor->l1_first) & QCOW2_ENTRY_OFFSET;
    if (table != 0)
        return cursor_open_l2(cursor, guest, table, error);
    cursor_skip_absent(cursor, index, limit);
    return TRUE;
}

/* -- Clusters -- */

/* "Standard Cluster Descriptor": 0 is a host offset where a data file keeps the cluster and bit 63
 * says so; a zero cluster needs none. */
static gboolean
has_host(const Qcow2Header *header, guint64 entry)
{
    gboolean zero = !header->extended_l2 && (entry & QCOW2_ENTRY_ZERO) != 0;

    if ((entry & QCOW2_ENTRY_OFFSET) != 0)
        return TRUE;
    return header->has_data_file && !zero && (entry & QCOW2_ENTRY_COPIED) != 0;
}

/* The entry of a standard image says the same of all 32 subclusters. */
static guint64
uniform_bitmap(guint64 entry, gboolean allocated)
{
    if ((entry & QCOW2_ENTRY_ZERO) != 0)
        return ALL_ZERO;
    return allocated ? ALL_ALLOCATED : 0;
}

static gsize
entry_index(const Cursor *cursor, guint64 guest)
{
    return (guest - cursor->begin) >> cursor->layout.cluster_bits;
}

/* The cluster of @guest, for which the cursor is open. */
static Cluster
read_cluster(const Cursor *cursor, guint64 guest)
{
    const Layout *layout = &cursor->layout;
    const Qcow2Header *header = layout->header;
    gsize word = entry_index(cursor, guest) << (layout->entry_bits - 3);
    guint64 entry = word_at(cursor->l2, word);
    Cluster cluster = {
        .entry = entry,
        .guest = guest >> layout->cluster_bits << layout->cluster_bits,
        .host = entry & QCOW2_ENTRY_OFFSET,
        .compressed = (entry & QCOW2_ENTRY_COMPRESSED) != 0,
    };

    cluster.has_host = has_host(header, entry);
    cluster.bitmap = header->extended_l2 ? word_at(cursor->l2, word + 1)
                                         : uniform_bitmap(entry, cluster.has_host);
    return cluster;
}

/* Returns what is wrong with the cluster's entry, or NULL. "Header", incompatible bit 2: in an
 * external data file the guest's offset is the only legal one, and nothing is compressed. */
static const char *
find_damage(const Layout *layout, const Cluster *cluster)
{
    const Qcow2Header *header = layout->header;
    guint32 allocated = (guint32)cluster->bitmap, zero = (guint32)(cluster->bitmap >> 32);

    if (cluster->compressed)
        return header->has_data_file ? "it is compressed, with an external data file" : NULL;
    if (header->version < 3 && (cluster->entry & QCOW2_ENTRY_ZERO) != 0)
        return "it is a zero cluster, in a version 2 image";
    if (!is_aligned(cluster->host, layout->cluster_size))
        return "its host offset is no multiple of the cluster size";
    if (header->has_data_file && cluster->has_host && cluster->host != cluster->guest)
        return "its offset in the external data file is not the guest's offset";
    if ((allocated & zero) != 0)
        return "some subclusters are both allocated and zero";
    if (allocated != 0 && !cluster->has_host)
        return "some subclusters are allocated, but it has no host offset";
    return NULL;
}

static gboolean
check_cluster(const Cursor *cursor, const Cluster *cluster, GError **error)
{
    const char *damage = find_damage(&cursor->layout, cluster);
    guint64 entry_offset =
        cursor->l2_offset + (entry_index(cursor, cluster->guest) << cursor->layout.entry_bits);

    if (damage == NULL)
        return TRUE;
    return strata_throw(error, cursor->layout.node, STRATA_ERROR_DAMAGED,
                        "the L2 entry for guest offset 0x%" G_GINT64_MODIFIER
                        "x (0x%016" G_GINT64_MODIFIER "x at file offset 0x%" G_GINT64_MODIFIER
                        "x) is damaged: %s",
                        cluster->guest, cluster->entry, entry_offset, damage);
}

/* What subcluster @first is; @out_n: for how many from there on it is the same. */
static guint8
subcluster_kind(const Layout *layout, const Cluster *cluster, guint first, guint *out_n)
{
    guint32 allocated = (guint32)cluster->bitmap, zero = (guint32)(cluster->bitmap >> 32);
    guint32 alike = ~(allocated | zero);
    guint8 kind = layout->absent_kind;

    *out_n = QCOW2_SUBCLUSTERS - first;
    if (cluster->compressed)
        return STRATA_ANSWER_OWN;
    if ((allocated >> first & 1) != 0) {
        alike = allocated;
        kind = layout->data_kind;
    } else if ((zero >> first & 1) != 0) {
        alike = zero;
        kind = STRATA_ANSWER_ZERO;
    }
    /* The shift brings in zeros, which end the stretch with the cluster at the latest. */
    *out_n = __builtin_ctzll(~(guint64)(alike >> first));
    return kind;
}

/* The bits in which the entries of like clusters must not differ. */
static guint64
likeness_mask(const Cluster *cluster)
{
    if (cluster->compressed)
        return QCOW2_ENTRY_COMPRESSED;
    return QCOW2_ENTRY_COMPRESSED | QCOW2_ENTRY_ZERO | QCOW2_ENTRY_OFFSET |
           (cluster->has_host ? 0 : QCOW2_ENTRY_COPIED); /* which makes offset 0 a host offset */
}

/* How many clusters from @cluster on, itself included, have entries that say the same: compressed
 * too, or alike but for the host offset, which goes on where the one before ends. This is the loop
 * that runs over all metadata of an image. */
static gsize
count_alike(const Cursor *cursor, const Cluster *cluster, guint64 limit)
{
    const Layout *layout = &cursor->layout;
    const guint stride_bits = layout->entry_bits - 3;
    const gboolean compare_bitmaps = layout->header->extended_l2 && !cluster->compressed;
    const guint64 mask = likeness_mask(cluster);
    const guint64 step = cluster->has_host && !cluster->compressed ? layout->cluster_size : 0;
    const gsize first = entry_index(cursor, cluster->guest);
    const gsize end = entry_index(cursor, limit - 1) + 1;
    guint64 expected = cluster->entry & mask;
    gsize i;

    for (i = first + 1; i < end; i++) {
        expected += step;
        if ((word_at(cursor->l2, i << stride_bits) & mask) != expected)
            break;
        if (compare_bitmaps && word_at(cursor->l2, (i << stride_bits) + 1) != cluster->bitmap)
            break;
    }
    return i - first;
}

/* -- Answers -- */

static StrataAnswer
make_answer(const Layout *layout, const Cluster *cluster, guint8 kind, guint64 guest, guint64 end)
{
    StrataAnswer answer = { .length = end - guest, .kind = kind };

    if (kind == STRATA_ANSWER_DATA) {
        answer.role = layout->data_role;
        answer.child_offset = cluster->host + (guest - cluster->guest);
    } else if (kind == STRATA_ANSWER_FORWARD) {
        answer.role = STRATA_ROLE_BACKING;
        answer.child_offset = guest;
    } else if (kind == STRATA_ANSWER_OWN) {
        answer.flags = cluster->compressed ? STRATA_RUN_COMPRESSED : STRATA_RUN_ENCRYPTED;
    }
    return answer;
}

/* The first answer for [guest, limit), which is not empty and for which a slice is open. */
static gboolean
answer_from_slice(const Cursor *cursor, guint64 guest, guint64 limit, StrataAnswer *out_answer,
                  GError **error)
{
    const Layout *layout = &cursor->layout;
    guint subcluster_bits = layout->cluster_bits - QCOW2_SUBCLUSTERS_BITS;
    Cluster cluster = read_cluster(cursor, guest);
    guint subcluster = (guest - cluster.guest) >> subcluster_bits;
    guint n_alike;
    guint8 kind;
    guint64 end;

    if (!check_cluster(cursor, &cluster, error))
        return FALSE;
    kind = subcluster_kind(layout, &cluster, subcluster, &n_alike);
    end = cluster.guest + ((guint64)(subcluster + n_alike) << subcluster_bits);
    if (cluster.compressed || is_uniform(cluster.bitmap))
        end = cluster.guest + (count_alike(cursor, &cluster, limit) << layout->cluster_bits);
    *out_answer = make_answer(layout, &cluster, kind, guest, MIN(end, limit));
    return TRUE;
}

/* The first answer for [guest, end), which is not empty; it covers a byte at least. */
static gboolean
next_answer(Cursor *cursor, guint64 guest, guint64 end, StrataAnswer *out_answer, GError **error)
{
    static const Cluster absent = { 0 };
    const Layout *layout = &cursor->layout;
    guint64 limit;

    if (!cursor_seek(cursor, guest, end, error))
        return FALSE;
    limit = MIN(end, cursor->end);
    if (cursor->l2 != NULL)
        return answer_from_slice(cursor, guest, limit, out_answer, error);
    *out_answer = make_answer(layout, &absent, layout->absent_kind, guest, limit);
    return TRUE;
}

/* Returns FALSE where the call has to stop: no room, enough work, or, with @error, damage. */
static gboolean
map_range(Cursor *cursor, const StrataRange *range, Sink *sink, GError **error)
{
    guint64 end = range->offset + range->length;
    StrataAnswer answer;

    sink->range_first = sink->n;
    for (guint64 guest = range->offset; guest < end; guest += answer.length) {
        if (!next_answer(cursor, guest, end, &answer, sink->n == 0 ? error : NULL))
            return FALSE;
        if (!sink_add(sink, &answer))
            return FALSE;
        if (table_cache_count_work() >= cursor->last_work)
            return FALSE;
    }
    return TRUE;
}

/* "Compressed Clusters Descriptor": the offset in the low bits, and above them how many sectors
 * there are after the one in which it begins. The file may end within the last of them. */
static gboolean
place_compressed(const Layout *layout, const Cluster *cluster, Qcow2Place *out_place,
                 GError **error)
{
    guint offset_bits = 62 - (layout->cluster_bits - 8);
    guint64 host = cluster->entry & ((G_GUINT64_CONSTANT(1) << offset_bits) - 1);
    guint64 descriptor = cluster->entry & (QCOW2_ENTRY_COMPRESSED - 1);
    guint64 n_sectors = (descriptor >> offset_bits) + 1;
    guint64 storage_size = layout->node->children[STRATA_ROLE_FILE]->size;

    if (host >= storage_size)
        return strata_throw(error, layout->node, STRATA_ERROR_DAMAGED,
                            "the compressed cluster for guest offset 0x%" G_GINT64_MODIFIER
                            "x is said to lie at 0x%" G_GINT64_MODIFIER
                            "x, past the end of the file at 0x%" G_GINT64_MODIFIER "x",
                            cluster->guest, host, storage_size);
    out_place->compressed = TRUE;
    out_place->host = host;
    out_place->length = MIN(n_sectors * QCOW2_SECTOR - host % QCOW2_SECTOR, storage_size - host);
    return TRUE;
}

gboolean
qcow2_locate(StrataNode *node, const Qcow2Header *header, guint64 guest, guint64 length,
             Qcow2Place *out_place, GError **error)
{
    g_auto(Cursor) cursor = { .layout = make_layout(node, header), .last_work = G_MAXUINT64 };
    StrataAnswer answer = { .kind = STRATA_ANSWER_ABSENT };
    Cluster cluster = { 0 };

    *out_place = (Qcow2Place){ 0 };
    if (!next_answer(&cursor, guest, guest + length, &answer, error))
        return FALSE;
    if (cursor.l2 != NULL)
        cluster = read_cluster(&cursor, guest);
    if (cluster.compressed)
        return place_compressed(&cursor.layout, &cluster, out_place, error);
    if (answer.kind != STRATA_ANSWER_DATA && answer.kind != STRATA_ANSWER_OWN)
        return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                            "the cluster for guest offset 0x%" G_GINT64_MODIFIER
                            "x was there a moment ago: the image is being written to",
                            guest);
    out_place->host = cluster.host + (guest - cluster.guest);
    out_place->length = answer.length;
    return TRUE;
}

gsize
qcow2_map(StrataNode *node, const Qcow2Header *header, const StrataRange *ranges, gsize n_ranges,
          StrataAnswer *answers, gsize max_answers, GError **error)
{
    g_auto(Cursor) cursor = {
        .layout = make_layout(node, header),
        .last_work = table_cache_count_work() + WORK_PER_CALL,
    };
    Sink sink = { .answers = answers, .max = max_answers };

    for (gsize i = 0; i < n_ranges; i++)
        if (!map_range(&cursor, &ranges[i], &sink, error))
            break;
    return sink.n;
}
