/* SPDX-License-Identifier: LGPL-2.1-or-later
 * segment.h - a stretch of a chain whose layers have tables, taken as one.
 *
 *      head (qcow2) ──backing──> qcow2 ──backing──> raw window ──file──> qcow2 ──backing──> rest
 *      layer 0                   layer 1            its entry            layer 2            (raw)
 *
 * All offsets of a walk are the same in all layers but for a shift, since nodes with tables forward
 * a byte to the same offset and windows to a constant distance. And all their units lie in one
 * grid, whose finest unit is the segment's granule: so that of a window of granules each has one
 * answer. A layer whose units do not fit begins a segment of its own. */
#ifndef STRATA_SEGMENT_H
#define STRATA_SEGMENT_H

#include <strata/resolve.h>

#include "driver.h"

/* What a granule is: the layer, and in the low bits a StrataUnitKind or what the resolver adds. */
typedef guint16 SegmentKey;
enum {
    SEGMENT_PAST_END = 5, /* the layer is too short */
    SEGMENT_FOUND,        /* data, and known to be no zeros, in the layer's leaf */
    SEGMENT_HOLE,         /* data, and known to be zeros */
};

typedef struct {
    StrataNode *node;
    StrataNode *entry; /* where the backing edge to it leads: itself, or a window on it */
    guint64 shift;     /* bytes: an offset in the node less the same in the head */
    guint64 end;       /* bytes, in the head: where the entry ends */
    guint depth;       /* 1 + the backing edges from the head to it */

    /* Where its data lies as it is, when that takes no further walk. */
    StrataNode *leaf;    /* (nullable) */
    guint64 leaf_shift;  /* bytes: an offset there less that in the child that keeps the data */
    guint64 storage_end; /* bytes, in that child: what lies before is in the leaf */
    guint data_is;       /* what its data is just now: STRATA_UNIT_DATA (to be asked for),
                            SEGMENT_FOUND or SEGMENT_HOLE */

    StrataSlice slice; /* open while a range is resolved */

    gboolean is_local; /* its tables lie in files of this host: reading them asks no server */
    guint64 ahead;     /* bytes, in the node: up to there its tables have been asked for */
} SegmentLayer;

/* What a granule of one key comes to. */
typedef struct {
    StrataRun run;       /* all but offset and length; .leaf_offset counts from the place */
    gboolean has_place;  /* else its offset in the head is its place */
    StrataNode *child;   /* (nullable) who is asked next */
    guint64 child_shift; /* from the place to there */
} SegmentOutcome;

/* In a sign: but only if the place of the one goes on where the other ends. */
#define SEGMENT_HAS_PLACE (G_GUINT64_CONSTANT(1) << 63)

typedef struct {
    guint granule_bits;
    guint n_layers;
    SegmentLayer *layers;
    StrataNode *rest; /* (nullable) who is asked for what no layer holds, by a backing edge */
    guint64 rest_shift;
    guint details;            /* StrataDetails that the outcomes are for */
    gboolean asks_leaves;     /* what data is, is asked for a window at a time */
    SegmentOutcome *outcomes; /* by key; the last is for what no layer holds */
    guint64 reached;          /* bytes: where what was told last ends */
    gboolean is_ahead;        /* tables have been asked for */
    guint64 *signs[2];        /* by key: neighbours of the same sign are one run. First for what
                                 nobody has claimed yet, then for what somebody has */
} Segment;

static inline SegmentKey
segment_key(guint layer, guint kind)
{
    return (SegmentKey)(layer << STRATA_UNIT_KIND_BITS | kind);
}

static inline SegmentKey
segment_unclaimed(const Segment *segment)
{
    return segment_key(segment->n_layers, 0);
}

/* Makes the slice of @layer tell of the byte at @offset of its node (driver.h, seek_slice). */
gboolean segment_seek(SegmentLayer *layer, guint64 offset, guint64 limit, GError **error);

/* The longest segment that begins at @head, a node with tables. */
Segment *segment_new(StrataNode *head);
void segment_free(Segment *segment);

/* @asks_leaves: FALSE for a walk that is explained step by step */
void segment_set_details(Segment *segment, guint details, gboolean asks_leaves);

/* What all data of layer @i is, until this is called again. */
void segment_set_data(Segment *segment, guint i, guint data_is);

/* Lets go of all tables. */
void segment_close(Segment *segment);

/* [begin, end) of the head is told, and slices are open where that ends. Has the tables that come
 * next read ahead, as far as @limit, if this went on where something was told before, and not all
 * of its tables were in the cache: @work_before is what table_cache_count_work() was before it. */
void segment_read_ahead(Segment *segment, guint64 begin, guint64 end, guint64 limit,
                        guint64 work_before);

/* Nothing of that is wanted any more, as far as it has not begun. */
void segment_forget_ahead(Segment *segment);

/* The steps of a walk over it for the byte at @offset: adds a StrataStep for each node to @steps,
 * none with a length over @length. */
void segment_explain(Segment *segment, guint64 offset, guint64 length, gboolean is_claimed,
                     GArray *steps);

#endif
