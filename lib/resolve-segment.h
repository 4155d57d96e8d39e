/* SPDX-License-Identifier: LGPL-2.1-or-later
 * resolve-segment.h - from what a segment says of windows to the pieces of a walk. */
#ifndef STRATA_RESOLVE_SEGMENT_H
#define STRATA_RESOLVE_SEGMENT_H

#include "pieces.h"
#include "window.h"

/* Settles the piece at @index, which waits at the head of @segment, or sends its parts on:
 * neighbours that are alike in what the segment's details tell of are one. What cannot be told cuts
 * the range; then *@fault is set (and what it was before is freed). Long work is cut short when
 * table_cache_count_work() is @last_work. */
void resolve_segment(Pieces *pieces, Segment *segment, Window *window, guint32 index,
                     guint64 asked_end, guint64 last_work, GError **fault);

#endif
