/* SPDX-License-Identifier: LGPL-2.1-or-later
 * pieces.h - the pieces into which a walk divides a range, and where they wait.
 *
 * Each piece is a run as far as it is known. All stand in one array, linked in the order of the
 * range, so that a split costs the same anywhere. When the array is full, or a node cannot tell a
 * range, the range is cut there: what lies before the cut is the result, and the caller of the walk
 * asks again from it. */
#ifndef STRATA_PIECES_H
#define STRATA_PIECES_H

#include <strata/resolve.h>

#define NO_PIECE G_MAXUINT32

typedef struct {
    guint64 node_offset;  /* where in the node at which the piece waits */
    guint32 next;         /* the piece that follows in the range */
    guint32 next_waiting; /* the piece that follows at the same node */
} PieceLink;

/* The pieces that wait at a node, in the order of the range. */
typedef struct {
    guint32 head, tail; /* or NO_PIECE */
} PieceQueue;

typedef struct {
    StrataRun *runs; /* until somebody claims, .depth counts the backing edges crossed */
    PieceLink *links;
    guint n, max;
    gboolean is_in_order; /* the array itself is in the order of the range */
    gboolean is_loose;    /* neighbours may be alike */
    gboolean is_full;     /* the cut was made for want of room */
    guint64 cut;          /* where the resolved range ends; it only ever moves down */
    guint64 n_looks;      /* at granules of layers, for this range */

    PieceQueue *queues; /* one for each node of a subtree, in pre-order */
    guint first_node;   /* the index of the first of them */
} Pieces;

/* @from: where walks begin; @max: at least 1 */
void pieces_init(Pieces *pieces, StrataNode *from, guint max);
void pieces_clear(Pieces *pieces);

/* One piece for all of a range. Nothing waits. */
void pieces_begin(Pieces *pieces, guint64 offset, guint64 length);

void pieces_cut(Pieces *pieces, guint64 offset);
void pieces_wait_at(Pieces *pieces, StrataNode *node, guint32 index, guint64 node_offset);
PieceQueue *pieces_queue(Pieces *pieces, const StrataNode *node);

/* Shortens a piece to @length and makes a new one of the rest, next in the range. Returns the new
 * piece, or NO_PIECE when there is no room and the range was cut instead. */
guint32 pieces_split(Pieces *pieces, guint32 index, guint64 length);

static inline gboolean
piece_is_claimed(const StrataRun *piece)
{
    return piece->claimant != NULL;
}

/* Sends a piece on to a child: what lies past the child's end is settled, the rest waits there.
 * Returns the last piece that came of it. */
guint32 pieces_send(Pieces *pieces, guint32 index, StrataNode *child, guint64 child_offset);

#endif
