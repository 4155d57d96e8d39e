/* SPDX-License-Identifier: LGPL-2.1-or-later
 * window.h - what each granule of a stretch of a segment is, found a table at a time. */
#ifndef STRATA_WINDOW_H
#define STRATA_WINDOW_H

#include "bits.h"
#include "segment.h"

/* Half a table of 64 KiB; what the arrays take stays in a processor's cache. */
#define WINDOW_GRANULES 4096

/* Offsets are those of the segment's head. */
typedef struct {
    guint64 begin, end; /* bytes: what is asked about */
    guint64 base;       /* bytes: where granule 0 begins, at or before .begin */
    guint granule_bits;
    gsize n; /* granules; fewer than were asked for where one cannot be told */
    SegmentKey keys[WINDOW_GRANULES];
    guint64 places[WINDOW_GRANULES]; /* where a granule that is a layer's begins: in the child that
                                        keeps its data, or in the layer */
    GError *fault;                   /* (nullable) owned: why nothing is told from .end on */

    guint64 todo[BITS_WORDS(WINDOW_GRANULES)]; /* granules that no layer has claimed so far */
    guint64 own[BITS_WORDS(WINDOW_GRANULES)];  /* those that the layer at hand claims */

    /* The layer's units, where they are no granules or lie askew to words. */
    guint64 own_units[BITS_WORDS(WINDOW_GRANULES) + 1];
    guint64 wanted_units[BITS_WORDS(WINDOW_GRANULES) + 1];
    guint16 unit_kinds[WINDOW_GRANULES + 1];
    guint64 unit_places[WINDOW_GRANULES + 1];

} Window;

/* Fills in @window for [begin, end), within which no layer of @segment ends and which is not empty:
 * at most WINDOW_GRANULES granules. */
void window_fill(Window *window, Segment *segment, guint64 begin, guint64 end);

#endif
