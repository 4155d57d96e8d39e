/* SPDX-License-Identifier: LGPL-2.1-or-later
 * pieces.c - the pieces into which a walk divides a range, and where they wait. */
#include "pieces.h"

#include <string.h>

#include "node.h"

void
pieces_init(Pieces *pieces, StrataNode *from, guint max)
{
    guint n_nodes = from->subtree_end - from->index;

    *pieces = (Pieces){ .max = max, .first_node = from->index };
    pieces->runs = g_new(StrataRun, max);
    pieces->links = g_new(PieceLink, max);
    pieces->queues = g_new(PieceQueue, n_nodes);
    memset(pieces->queues, 0xff, n_nodes * sizeof(PieceQueue)); /* all NO_PIECE */
}

void
pieces_clear(Pieces *pieces)
{
    g_free(pieces->queues);
    g_free(pieces->links);
    g_free(pieces->runs);
}

void
pieces_begin(Pieces *pieces, guint64 offset, guint64 length)
{
    pieces->runs[0] = (StrataRun){ .offset = offset, .length = length };
    pieces->links[0] = (PieceLink){ .next = NO_PIECE };
    pieces->n = 1;
    pieces->is_in_order = TRUE;
    pieces->is_loose = FALSE;
    pieces->is_full = FALSE;
    pieces->n_looks = 0;
    pieces->cut = offset + length;
}

void
pieces_cut(Pieces *pieces, guint64 offset)
{
    pieces->cut = MIN(pieces->cut, offset);
}

PieceQueue *
pieces_queue(Pieces *pieces, const StrataNode *node)
{
    return &pieces->queues[node->index - pieces->first_node];
}

void
pieces_wait_at(Pieces *pieces, StrataNode *node, guint32 index, guint64 node_offset)
{
    PieceQueue *queue = pieces_queue(pieces, node);

    pieces->links[index].node_offset = node_offset;
    pieces->links[index].next_waiting = NO_PIECE;
    if (queue->head == NO_PIECE)
        queue->head = index;
    else
        pieces->links[queue->tail].next_waiting = index;
    queue->tail = index;
}

guint32
pieces_split(Pieces *pieces, guint32 index, guint64 length)
{
    StrataRun *run = &pieces->runs[index];
    guint32 rest = pieces->n;

    g_return_val_if_fail(length > 0 && length < run->length, NO_PIECE);
    if (rest == pieces->max) {
        pieces->is_full = TRUE;
        pieces_cut(pieces, run->offset + length);
        run->length = length;
        return NO_PIECE;
    }
    pieces->n++;
    pieces->is_in_order &= rest == index + 1 && pieces->links[index].next == NO_PIECE;
    pieces->runs[rest] = *run;
    pieces->runs[rest].offset += length;
    pieces->runs[rest].length -= length;
    pieces->links[rest] = pieces->links[index];
    pieces->links[rest].node_offset += length;
    pieces->links[index].next = rest;
    run->length = length;
    return rest;
}

/* A layer that is shorter than its overlay claims what lies past its end, as zeros. */
static void
settle_past_end(StrataRun *piece, StrataNode *child)
{
    if (!piece_is_claimed(piece)) {
        piece->flags |= STRATA_RUN_PAST_END;
        piece->claimant = child;
        piece->depth++;
    }
    piece->flags |= STRATA_RUN_ZERO;
}

/* Storage that ends before the bytes that should lie in it: the claim stands, and reading says what
 * is wrong. */
static void
settle_lost(StrataRun *piece, StrataNode *child, guint64 child_offset)
{
    piece->leaf = child;
    piece->leaf_offset = child_offset;
}

guint32
pieces_send(Pieces *pieces, guint32 index, StrataNode *child, guint64 child_offset)
{
    guint64 inside = child_offset < child->size ? child->size - child_offset : 0;
    guint32 rest = index;

    pieces->is_loose = TRUE; /* what it will be found to be, a neighbour may be already */
    if (inside > 0) {
        rest = inside < pieces->runs[index].length ? pieces_split(pieces, index, inside) : NO_PIECE;
        pieces_wait_at(pieces, child, index, child_offset);
    }
    if (rest == NO_PIECE)
        return index;
    if (child->role == STRATA_ROLE_BACKING)
        settle_past_end(&pieces->runs[rest], child);
    else
        settle_lost(&pieces->runs[rest], child, child_offset + inside);
    return rest;
}
