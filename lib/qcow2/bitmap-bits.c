/* SPDX-License-Identifier: LGPL-2.1-or-later
 * bitmap-bits.c - what a persistent dirty bitmap of a qcow2 image says of a range.
 *
 * Sections "Bitmap table" and "Bitmap data" of docs/interop/qcow2.rst. Bitmaps lie in the image's
 * own file, and are not encrypted, even where the disk is encrypted or in a data file.
 *
 *      guest offset ──granularity──> bit ──8 * cluster──> entry of the bitmap table
 *                                                          ├── a cluster of bits, the lowest first
 *                                                          └── none: all zeros, or all ones */
#include "bitmap.h"
#include "bitmaps.h"
#include "bytes.h"
#include "checked.h"
#include "error.h"
#include "format.h"
#include "node.h"

/* Tables and bits are cached in slices, as in slices.c. */
#define SLICE_BYTES (1u << 16)

/* After so many slices one call stops short, so that whoever asked can do something else. */
#define SLICES_PER_CALL 1024

/* A stretch of the disk on which one slice of bits, or one kind of empty cluster, is open. */
typedef struct {
    StrataNode *node;
    const Qcow2Header *header;
    const StrataBitmap *bitmap;
    Table *entries; /* nullable: a slice of the bitmap table */
    guint64 first_entry;
    Table *bits;   /* NULL: all the same */
    gboolean ones; /* where bits is NULL: what */
    guint64 begin; /* bits of the bitmap that this stretch is about */
    guint64 end;
    guint n_slices; /* opened so far */
} Cursor;

static void
cursor_clear(Cursor *cursor)
{
    g_clear_pointer(&cursor->entries, table_unref);
    g_clear_pointer(&cursor->bits, table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Cursor, cursor_clear)

static guint64
cluster_size(const Cursor *cursor)
{
    return G_GUINT64_CONSTANT(1) << cursor->header->cluster_bits;
}

static Table *
load_slice(Cursor *cursor, guint64 offset, gsize size, GError **error)
{
    cursor->n_slices++;
    return table_cache_get(cursor->node->graph->tables, cursor->node->children[STRATA_ROLE_FILE],
                           offset, size, error);
}

static gboolean
open_entries(Cursor *cursor, guint64 index, GError **error)
{
    const Qcow2BitmapPlace *place = cursor->bitmap->data;
    guint64 per_slice = SLICE_BYTES / sizeof(guint64);
    guint64 first = index & ~(per_slice - 1);
    guint64 n_entries = MIN(per_slice, place->n_entries - first);

    if (cursor->entries != NULL && cursor->first_entry == first)
        return TRUE;
    g_clear_pointer(&cursor->entries, table_unref);
    cursor->entries = load_slice(cursor, place->table_offset + first * sizeof(guint64),
                                 n_entries * sizeof(guint64), error);
    cursor->first_entry = first;
    return cursor->entries != NULL;
}

static inline guint64
entry_at(const Cursor *cursor, guint64 index)
{
    return load_be64(cursor->entries->bytes, cursor->entries->size,
                     (index - cursor->first_entry) * sizeof(guint64));
}

static gboolean
throw_entry(const Cursor *cursor, guint64 index, guint64 entry, const char *fault, GError **error)
{
    const Qcow2BitmapPlace *place = cursor->bitmap->data;
    g_autofree char *shown = strata_escape(cursor->bitmap->name);

    return strata_throw(error, cursor->node, STRATA_ERROR_DAMAGED,
                        "the table of bitmap '%s' says 0x%016" G_GINT64_MODIFIER
                        "x at 0x%" G_GINT64_MODIFIER "x, which %s",
                        shown, entry, place->table_offset + index * sizeof(guint64), fault);
}

/* The bytes of the cluster around bit @bit of the bitmap. */
static gboolean
open_bits(Cursor *cursor, guint64 index, guint64 entry, guint64 bit, GError **error)
{
    guint64 size = cluster_size(cursor);
    guint64 slice = MIN(size, SLICE_BYTES);
    guint64 offset = entry & QCOW2_BITMAP_ENTRY_OFFSET;
    guint64 into = (bit / 8 & (size - 1)) & ~(slice - 1);

    if (entry & (QCOW2_BITMAP_ENTRY_RESERVED | QCOW2_BITMAP_ENTRY_ONES))
        return throw_entry(cursor, index, entry, "has reserved bits set", error);
    if (!is_aligned(offset, size))
        return throw_entry(cursor, index, entry, "is no multiple of the cluster size", error);
    if (!range_within(offset + into, slice, cursor->node->children[STRATA_ROLE_FILE]->size))
        return throw_entry(cursor, index, entry, "lies past the end of the file", error);
    cursor->bits = load_slice(cursor, offset + into, slice, error);
    cursor->begin = (index * size + into) * 8;
    cursor->end = cursor->begin + slice * 8;
    return cursor->bits != NULL;
}

/* Entries from @index on that say the same without a cluster, as far as the slice goes. */
static gboolean
skip_empty(Cursor *cursor, guint64 index, guint64 entry, GError **error)
{
    guint64 bits_per_cluster = cluster_size(cursor) * 8;
    guint64 last = cursor->first_entry + cursor->entries->size / sizeof(guint64);
    guint64 next = index + 1;

    if (entry & QCOW2_BITMAP_ENTRY_RESERVED)
        return throw_entry(cursor, index, entry, "has reserved bits set", error);
    while (next < last && entry_at(cursor, next) == entry)
        next++;
    cursor->ones = (entry & QCOW2_BITMAP_ENTRY_ONES) != 0;
    cursor->begin = index * bits_per_cluster;
    cursor->end = next * bits_per_cluster;
    return TRUE;
}

/* Opens what tells of bit @bit; bitmaps.c saw that the table is long enough for the disk. */
static gboolean
cursor_move(Cursor *cursor, guint64 bit, GError **error)
{
    guint64 index = bit >> (cursor->header->cluster_bits + 3);
    guint64 entry;

    g_clear_pointer(&cursor->bits, table_unref);
    if (!open_entries(cursor, index, error))
        return FALSE;
    entry = entry_at(cursor, index);
    if ((entry & QCOW2_BITMAP_ENTRY_OFFSET) == 0)
        return skip_empty(cursor, index, entry, error);
    return open_bits(cursor, index, entry, bit, error);
}

/* The lowest bit stands for the lowest offset. */
static inline guint64
word_at(const Table *table, guint64 index)
{
    const guint64 *words = (const guint64 *)(const void *)table->bytes;

    return GUINT64_FROM_LE(words[index]);
}

static gboolean
is_dirty(const Cursor *cursor, guint64 bit)
{
    guint64 at = bit - cursor->begin;

    if (cursor->bits == NULL)
        return cursor->ones;
    return (word_at(cursor->bits, at / 64) >> at % 64 & 1) != 0;
}

/* The first bit from @bit on that differs from it, or @end if none does; @end is at most
 * cursor->end. */
static guint64
find_change(const Cursor *cursor, guint64 bit, guint64 end)
{
    guint64 flip = is_dirty(cursor, bit) ? G_MAXUINT64 : 0;
    guint64 at = bit - cursor->begin;
    guint64 word;

    if (cursor->bits == NULL)
        return end;
    word = (word_at(cursor->bits, at / 64) ^ flip) >> at % 64;
    if (word != 0)
        return MIN(bit + __builtin_ctzll(word), end);
    for (at = at / 64 + 1; cursor->begin + at * 64 < end; at++) {
        word = word_at(cursor->bits, at) ^ flip;
        if (word != 0)
            return MIN(cursor->begin + at * 64 + __builtin_ctzll(word), end);
    }
    return end;
}

/* Where the runs go. */
typedef struct {
    StrataRange range;
    guint64 done; /* bytes of the range that runs tell of */
    StrataBitmapRun *runs;
    gsize n;
    gsize max;
} Sink;

/* Returns whether there was room. */
static gboolean
sink_add(Sink *sink, guint64 length, gboolean dirty)
{
    if (sink->n > 0 && sink->runs[sink->n - 1].is_dirty == dirty) {
        sink->runs[sink->n - 1].length += length;
    } else {
        if (sink->n == sink->max)
            return FALSE;
        sink->runs[sink->n++] = (StrataBitmapRun){
            .offset = sink->range.offset + sink->done,
            .length = length,
            .is_dirty = dirty,
        };
    }
    sink->done += length;
    return TRUE;
}

/* All that the open stretch says of the range. The last bit of a disk may stand for less than the
 * granularity. Every turn goes forward, by a bit at least. */
static gboolean
add_stretch(const Cursor *cursor, guint granularity_bits, Sink *sink)
{
    guint64 last = sink->range.offset + sink->range.length - 1;
    guint64 end = MIN(cursor->end, (last >> granularity_bits) + 1);
    guint64 bit = (sink->range.offset + sink->done) >> granularity_bits;

    while (bit < end) {
        guint64 next = find_change(cursor, bit, end);
        guint64 length = sink->range.length - sink->done;

        if (next <= last >> granularity_bits)
            length = (next << granularity_bits) - sink->range.offset - sink->done;
        if (!sink_add(sink, length, is_dirty(cursor, bit)))
            return FALSE;
        bit = next;
    }
    return TRUE;
}

gsize
qcow2_bitmaps_map(StrataNode *node, const Qcow2Header *header, const StrataBitmap *bitmap,
                  StrataRange range, StrataBitmapRun *runs, gsize max_runs, GError **error)
{
    g_auto(Cursor) cursor = { .node = node, .header = header, .bitmap = bitmap };
    guint granularity_bits = __builtin_ctzll(bitmap->granularity);
    Sink sink = { .range = range, .runs = runs, .max = max_runs };

    while (sink.done < range.length && cursor.n_slices < SLICES_PER_CALL)
        if (!cursor_move(&cursor, (range.offset + sink.done) >> granularity_bits,
                         sink.n == 0 ? error : NULL) ||
            !add_stretch(&cursor, granularity_bits, &sink))
            break;
    return sink.n;
}
