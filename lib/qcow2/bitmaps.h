/* SPDX-License-Identifier: LGPL-2.1-or-later
 * bitmaps.h - the persistent dirty bitmaps of a qcow2 image. */
#ifndef STRATA_QCOW2_BITMAPS_H
#define STRATA_QCOW2_BITMAPS_H

#include "driver.h"
#include "header.h"

/* Where the bits are: StrataBitmap.data. */
typedef struct {
    guint64 table_offset;
    guint64 n_entries; /* enough for the whole disk, if the bitmap is consistent */
} Qcow2BitmapPlace;

/* Fills in node->bitmaps and node->bitmaps_unknown. Damage keeps nobody from the disk: a bitmap
 * whose entry is damaged is there, but not consistent, so that its name is taken; where nothing
 * tells one entry from the next, or the last writer knew no bitmaps, there are none and
 * bitmaps_unknown is set; so too where the graph's images list more than it keeps (@opener, which
 * is nullable). Returns what is wrong, for people; NULL where nothing is. Free with g_free(). */
char *qcow2_bitmaps_read(StrataNode *node, const StrataOpener *opener, const Qcow2Header *header);

/* bitmap-bits.c: StrataDriver.map_bitmap for @node, whose header is @header. */
gsize qcow2_bitmaps_map(StrataNode *node, const Qcow2Header *header, const StrataBitmap *bitmap,
                        StrataRange range, StrataBitmapRun *runs, gsize max_runs, GError **error);

#endif
