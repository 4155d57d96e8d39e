/* SPDX-License-Identifier: LGPL-2.1-or-later
 * slices.c - from a guest offset through the L1 table to a slice of an L2 table.
 *
 * Section "Cluster mapping" of docs/interop/qcow2.rst. What is damage is told for the range that it
 * describes, and for nothing else. Where the specification and QEMU leave a choice (reserved bits),
 * the content is the same as QEMU's: they are ignored. */
#include "slices.h"

#include "checked.h"
#include "error.h"
#include "format.h"
#include "node.h"

/* Tables are cached in slices, so that a lone read in an image of 2 MiB clusters costs 64 KiB of
 * table and not 2 MiB. A power of two: a slice never straddles two L2 tables. */
#define SLICE_BITS  16
#define SLICE_BYTES (1u << SLICE_BITS)

/* Who asks about no more clusters than a part of a slice tells of gets such a part: else a lone
 * read, where the tables of all layers do not fit in the cache, would read 64 KiB of table in each
 * of them. */
#define PART_BYTES   4096
#define FEW_CLUSTERS (PART_BYTES / sizeof(guint64))

/* log2 of the guest bytes that an L1 entry covers, and that a slice does. */
static guint
l1_span_bits(const Qcow2Header *header)
{
    return 2 * header->cluster_bits - qcow2_entry_bits(header);
}

static guint
slice_span_bits(const Qcow2Header *header)
{
    return MIN(header->cluster_bits, SLICE_BITS) - qcow2_entry_bits(header) + header->cluster_bits;
}

/* What is looked for, and how. */
typedef struct {
    StrataNode *node;
    const Qcow2Header *header;
    guint64 guest;     /* bytes */
    guint64 limit;     /* bytes: nobody asks beyond */
    gboolean is_small; /* that is a few clusters */
    gboolean is_hint;  /* nothing is read for it */
} Search;

/* [offset, offset + size) in the image's file. */
typedef struct {
    guint64 offset;
    gsize size;
} Piece;

static Table *
peek(const Search *search, Piece piece)
{
    StrataNode *node = search->node;

    return table_cache_peek(node->graph->tables, node->children[STRATA_ROLE_FILE], piece.offset,
                            piece.size);
}

static Table *
load(const Search *search, Piece piece, GError **error)
{
    StrataNode *node = search->node;

    if (search->is_hint)
        return peek(search, piece);
    return table_cache_get(node->graph->tables, node->children[STRATA_ROLE_FILE], piece.offset,
                           piece.size, error);
}

/* Opens @slice, or a part of it that holds its byte @at. @out_piece: what of it is open */
static Table *
load_piece(const Search *search, Piece slice, gsize at, Piece *out_piece, GError **error)
{
    gsize skipped = at / PART_BYTES * PART_BYTES;
    const Piece part = { slice.offset + skipped, MIN(PART_BYTES, slice.size - skipped) };
    Table *table;

    *out_piece = slice;
    if (!search->is_small || part.size == slice.size)
        return load(search, slice, error);
    *out_piece = part;
    table = peek(search, part);
    if (table != NULL)
        return table;
    table = peek(search, slice);
    if (table == NULL)
        return load(search, part, error);
    *out_piece = slice;
    return table;
}

static guint64
l2_place(const StrataSlice *slice, guint64 l1_index)
{
    const guint64 *words = qcow2_table_words(slice->index);

    return GUINT64_FROM_BE(words[l1_index - slice->index_first]) & QCOW2_ENTRY_OFFSET;
}

static gboolean
index_holds(const StrataSlice *slice, guint64 l1_index)
{
    return slice->index != NULL && l1_index >= slice->index_first &&
           l1_index - slice->index_first < slice->index->size / sizeof(guint64);
}

/* Opens what holds entry @l1_index of the L1 table; header.c saw that it is in the file. */
static gboolean
open_index(const Search *search, StrataSlice *slice, guint64 l1_index, GError **error)
{
    const Qcow2Header *header = search->header;
    guint64 per_slice = SLICE_BYTES / sizeof(guint64);
    guint64 first = l1_index & ~(per_slice - 1);
    guint64 n_entries = MIN(per_slice, header->l1_entries - first);
    const Piece whole = { header->l1_offset + first * sizeof(guint64),
                          n_entries * sizeof(guint64) };
    Piece piece;

    if (index_holds(slice, l1_index))
        return TRUE;
    g_clear_pointer(&slice->index, table_unref);
    slice->index = load_piece(search, whole, (l1_index - first) * sizeof(guint64), &piece, error);
    slice->index_first = first + (piece.offset - whole.offset) / sizeof(guint64);
    return slice->index != NULL;
}

/* The L1 entries from @l1_index on that are empty too, as far as the open part of the table goes
 * and anybody asks. */
static void
skip_absent(const Search *search, StrataSlice *slice, guint64 l1_index)
{
    guint span_bits = l1_span_bits(search->header);
    guint64 last = slice->index_first + slice->index->size / sizeof(guint64) - 1;
    guint64 next = l1_index + 1;

    last = MIN(last, (search->limit - 1) >> span_bits);
    while (next <= last && l2_place(slice, next) == 0)
        next++;
    slice->begin = l1_index << span_bits;
    slice->end = next << span_bits;
    slice->is_empty = TRUE;
}

static gboolean
check_l2_place(const Search *search, guint64 table, guint64 offset, gsize size, GError **error)
{
    StrataNode *node = search->node;
    guint64 cluster_size = G_GUINT64_CONSTANT(1) << search->header->cluster_bits;
    guint64 storage_size = node->children[STRATA_ROLE_FILE]->size;

    if (!is_aligned(table, cluster_size))
        return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                            "the L2 table for guest offset 0x%" G_GINT64_MODIFIER
                            "x is said to lie at 0x%" G_GINT64_MODIFIER
                            "x, which is no multiple of the cluster size",
                            search->guest, table);
    if (!range_within(offset, size, storage_size))
        return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                            "the L2 table for guest offset 0x%" G_GINT64_MODIFIER
                            "x lies at 0x%" G_GINT64_MODIFIER
                            "x, past the end of the file at 0x%" G_GINT64_MODIFIER "x",
                            search->guest, offset, storage_size);
    return TRUE;
}

static gsize
slice_size(const Qcow2Header *header)
{
    return MIN((gsize)1 << header->cluster_bits, SLICE_BYTES);
}

/* Where the slice lies that describes the guest offset, of the L2 table at @table. */
static guint64
slice_place(const Search *search, guint64 table)
{
    const Qcow2Header *header = search->header;
    guint64 within_table = search->guest & ((G_GUINT64_CONSTANT(1) << l1_span_bits(header)) - 1);

    return table + (within_table >> slice_span_bits(header)) * slice_size(header);
}

/* Opens what describes the guest offset, of the L2 table at @table. Damage is told of whole slices,
 * so that it is the same for whoever asks. */
static gboolean
open_l2(const Search *search, StrataSlice *slice, guint64 table, GError **error)
{
    const Qcow2Header *header = search->header;
    guint span_bits = slice_span_bits(header), entry_bits = qcow2_entry_bits(header);
    const Piece whole = { slice_place(search, table), slice_size(header) };
    guint64 begin = search->guest >> span_bits << span_bits;
    gsize entry = (gsize)((search->guest - begin) >> header->cluster_bits);
    Piece piece;

    if (!check_l2_place(search, table, whole.offset, whole.size, error))
        return FALSE;
    slice->table = load_piece(search, whole, entry << entry_bits, &piece, error);
    if (slice->table == NULL)
        return FALSE;
    slice->table_offset = piece.offset;
    slice->begin = begin + ((piece.offset - whole.offset) >> entry_bits << header->cluster_bits);
    slice->end = slice->begin + ((guint64)(piece.size >> entry_bits) << header->cluster_bits);
    slice->is_empty = FALSE;
    return TRUE;
}

static gboolean
find_slice(const Search *search, StrataSlice *slice, GError **error)
{
    guint64 l1_index = search->guest >> l1_span_bits(search->header);
    guint64 table;

    slice_clear_table(slice);
    if (!open_index(search, slice, l1_index, error))
        return FALSE;
    table = l2_place(slice, l1_index);
    if (table != 0)
        return open_l2(search, slice, table, error);
    skip_absent(search, slice, l1_index);
    return TRUE;
}

static Search
make_search(StrataNode *node, guint64 guest, guint64 limit, gboolean is_hint)
{
    const Qcow2 *qcow2 = node->state;

    return (Search){
        .node = node,
        .header = qcow2->header,
        .guest = guest,
        .limit = limit,
        .is_small = (limit - guest) >> qcow2->header->cluster_bits < FEW_CLUSTERS,
        .is_hint = is_hint,
    };
}

gboolean
qcow2_seek_slice(StrataNode *node, StrataSlice *slice, guint64 offset, guint64 limit,
                 GError **error)
{
    Search search;

    if (slice_tells_of(slice, offset))
        return TRUE;
    search = make_search(node, offset, limit, FALSE);
    return find_slice(&search, slice, error);
}

void
qcow2_peek_slice(StrataNode *node, StrataSlice *slice, guint64 offset, guint64 limit)
{
    Search search = make_search(node, offset, limit, TRUE);
    const guint64 *words;
    guint64 cluster;

    if ((!slice_tells_of(slice, offset) && !find_slice(&search, slice, NULL)) || slice->is_empty)
        return;
    words = qcow2_table_words(slice->table);
    cluster = (offset - slice->begin) >> search.header->cluster_bits;
    __builtin_prefetch(words + (cluster << (qcow2_entry_bits(search.header) - 3)));
}

void
qcow2_prefetch_slice(StrataNode *node, guint64 offset)
{
    Search search = make_search(node, offset, node->size, TRUE);
    StrataNode *file = node->children[STRATA_ROLE_FILE];
    gsize size = slice_size(search.header);
    g_auto(StrataSlice) slice = { 0 };
    guint64 l1_index = offset >> l1_span_bits(search.header);
    guint64 table, place;

    if (!file->driver->prefetch || !open_index(&search, &slice, l1_index, NULL))
        return;
    table = l2_place(&slice, l1_index);
    place = slice_place(&search, table);
    if (table != 0 && check_l2_place(&search, table, place, size, NULL))
        file->driver->prefetch(file, place, size);
}
