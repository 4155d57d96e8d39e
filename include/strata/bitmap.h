/* SPDX-License-Identifier: LGPL-2.1-or-later
 * bitmap.h - dirty bitmaps that images keep: what a guest has written since a backup. */
#ifndef STRATA_BITMAP_H
#define STRATA_BITMAP_H

#include <strata/graph.h>

G_BEGIN_DECLS

/**
 * StrataBitmap:
 * A dirty bitmap that an image keeps (qcow2 specification, "Bitmaps") or that a remote server tells
 * of. Owned by its node's graph; immutable.
 */
typedef struct _StrataBitmap StrataBitmap;

/** strata_bitmap_get_name: Returns: its name, which comes from the image: escape it to print it */
const char *strata_bitmap_get_name(StrataBitmap *bitmap);

/** strata_bitmap_get_node: Returns: (transfer none): the node that keeps it */
StrataNode *strata_bitmap_get_node(StrataBitmap *bitmap);

/** strata_bitmap_get_granularity: Returns: bytes for each bit; 0 where it is not known (remote) */
guint64 strata_bitmap_get_granularity(StrataBitmap *bitmap);

/** strata_bitmap_is_enabled: Returns: whether a writer would go on recording ("auto") */
gboolean strata_bitmap_is_enabled(StrataBitmap *bitmap);

/**
 * strata_bitmap_is_consistent:
 * Returns: %FALSE for one that was in use when its writer ended (or still is), and for one that the
 *   image describes wrongly (strata_bitmap_get_damage()): its content means nothing, and
 *   strata_bitmap_map() refuses it
 */
gboolean strata_bitmap_is_consistent(StrataBitmap *bitmap);

/**
 * strata_bitmap_get_damage:
 * Returns: (transfer none) (nullable): what is wrong with the image's entry for it, as the end of a
 *   sentence that begins with the bitmap ("has flags that are reserved"); %NULL where nothing is,
 *   even if it is in use
 */
const char *strata_bitmap_get_damage(StrataBitmap *bitmap);

/**
 * strata_node_list_bitmaps:
 * @from: where a walk begins
 *
 * Bitmaps are found at every node that a walk from @from may be forwarded to: through raw windows
 * and down the chain of backing files. Of several with one name the topmost is meant, as in QEMU,
 * and also if it cannot be trusted: those below it know nothing of what was written above them, and
 * a clean bit makes a backup leave data out. For the same reason nothing is listed from beyond a
 * node of which it is not known what bitmaps it has, because the image's list of them is damaged,
 * its last writer did not know bitmaps, or the images of the graph list more snapshots and bitmaps
 * than strata keeps; strata_node_describe() says so ("bitmaps-damaged").
 *
 * Returns: (transfer container) (element-type StrataBitmap): consistent ones and others, in walk
 *   order, no name twice; never %NULL
 */
GPtrArray *strata_node_list_bitmaps(StrataNode *from);

/**
 * strata_node_list_own_bitmaps:
 * @node: a node
 *
 * Returns: (transfer container) (element-type StrataBitmap): the bitmaps that @node itself keeps,
 *   consistent ones and others, in the order of its image; never %NULL
 */
GPtrArray *strata_node_list_own_bitmaps(StrataNode *node);

/**
 * strata_node_find_bitmap:
 * Returns: (transfer none) (nullable): the bitmap of that name that strata_node_list_bitmaps() has
 */
StrataBitmap *strata_node_find_bitmap(StrataNode *from, const char *name);

/**
 * StrataBitmapRun: a range that is all dirty or all clean.
 *
 * @offset: in bytes, in the node from which the bitmap is looked at
 * @length: in bytes, never 0
 */
typedef struct {
    guint64 offset;
    guint64 length;
    gboolean is_dirty;
} StrataBitmapRun;

/**
 * strata_bitmap_map:
 * @bitmap: a bitmap
 * @from: the node whose offsets are meant: one from which the bitmap is listed
 * @offset: in bytes, in @from
 * @length: in bytes, at least 1; offset + length within the size of @from
 * @runs: (out) (array length=max_runs): where the runs go
 * @max_runs: at least 1
 * @error: %STRATA_ERROR_DAMAGED for a bitmap that is not consistent or whose tables are damaged,
 *   %STRATA_ERROR_IO, %STRATA_ERROR_REMOTE, %STRATA_ERROR_LIMIT (range out of bounds)
 *
 * Consecutive runs from @offset on, coalesced, within the range; perhaps not to its end: ask again
 * from there. What lies in @from but beyond the image that keeps the bitmap is clean. Thread-safe.
 * Blocks on disk.
 *
 * Returns: how many runs, at least 1; or 0 with @error set if the first byte cannot be told
 */
gsize strata_bitmap_map(StrataBitmap *bitmap, StrataNode *from, guint64 offset, guint64 length,
                        StrataBitmapRun *runs, gsize max_runs, GError **error);

G_END_DECLS

#endif
