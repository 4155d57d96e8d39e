/* SPDX-License-Identifier: LGPL-2.1-or-later
 * resolve.c - the walk (docs/resolving.md). This file alone knows chains.
 *
 * A range is resolved a node at a time and not a cluster at a time. It begins as one piece that
 * waits at the topmost node. A node is asked once for all the pieces that wait at it; each answer
 * either settles a piece or sends it on to wait at a child, split where answers end:
 *
 *      overlay   [ data ][ forward      ][zero][ forward ]
 *                   |         |                     |
 *      its file  [ own  ]     |                     |          inside the claimant's storage: no
 *                             v                     v          more claims, only zeros and leaf
 *      base               [ data ][ absent ]   [ data    ]
 *                            |                      |
 *      its file           [ own  ]             [ own     ]
 *
 * A graph is a tree kept in pre-order, so one pass over the nodes meets every piece after the
 * parent that sent it, without recursion, whatever the length of a chain. Each node's pieces come
 * from its one parent in the order of the range, so they are always ascending.
 *
 * All pieces stand in one array, linked in the order of the range, so that a split costs the same
 * anywhere. When the array is full, or a node cannot tell a range, the range is cut there: what
 * lies before the cut is the result, and the caller asks again from it.
 */
#include <strata/resolve.h>

#include <string.h>

#include "checked.h"
#include "error.h"
#include "node.h"
#include "walk.h"

#define NO_PIECE G_MAXUINT32

/* How many answers a driver is asked for in one call: enough to make a call's cost vanish, little
 * enough for the stack (24 bytes each). */
#define ANSWERS_PER_CALL 256
#define RANGES_PER_CALL  64

/* How many pieces a walk holds. Large enough that a window of a fragmented chain is worth the trip
 * over its layers, small enough to stay in a processor's cache. */
#define DEFAULT_PIECES 4096

/* No window is made smaller than this by cuts: less than a cluster of the smallest kind. */
#define MIN_WINDOW 512

/* After so much work for tables that were not in the cache (table_cache_count_work(): 256 MiB of
 * them), a call to strata_walk_resolve() returns what it has, so that a server can look up from its
 * work: some hundred milliseconds at the worst. */
#define WORK_PER_RESOLVE 65536

typedef struct {
    StrataRun run;        /* offset, length: of this piece; the rest as far as it is known. Until
                             somebody claims, depth counts the backing edges crossed */
    guint64 node_offset;  /* where in the node at which it waits */
    guint32 next;         /* the piece that follows in the range */
    guint32 next_waiting; /* the piece that follows at the same node */
} Piece;

typedef struct {
    guint32 head, tail; /* pieces waiting, or NO_PIECE */
} Queue;

struct _StrataWalk {
    StrataGraph *graph; /* owned reference */
    StrataNode *from;
    Piece *pieces;
    guint n_pieces, max_pieces;
    Queue *queues;         /* one for each node of from's subtree, in pre-order */
    StrataRun *runs;       /* the result: max_pieces of them */
    guint64 cut;           /* where the resolved range ends; it only ever moves down */
    gboolean is_full;      /* the cut was made for want of pieces */
    guint64 last_work;     /* table_cache_count_work() when this call has done enough */
    gboolean is_outermost; /* not a driver's, which reads its metadata by a walk of its own */
    guint64 window;        /* how many bytes to take on at once, learnt from earlier cuts */
    GError *fault;         /* why nothing can be told from the cut on, or NULL */
    GArray *steps;         /* what strata_walk_explain() collects, else NULL */
};

static Queue *
queue_of(StrataWalk *walk, StrataNode *node)
{
    return &walk->queues[node->index - walk->from->index];
}

static void
wait_at(StrataWalk *walk, StrataNode *node, guint32 index, guint64 node_offset)
{
    Queue *queue = queue_of(walk, node);

    walk->pieces[index].node_offset = node_offset;
    walk->pieces[index].next_waiting = NO_PIECE;
    if (queue->head == NO_PIECE)
        queue->head = index;
    else
        walk->pieces[queue->tail].next_waiting = index;
    queue->tail = index;
}

static void
cut_at(StrataWalk *walk, guint64 offset)
{
    walk->cut = MIN(walk->cut, offset);
}

/* Shortens a piece to @length and makes a new one of the rest, next in the range. Returns the new
 * piece, or NO_PIECE when there is no room and the range was cut instead. */
static guint32
split(StrataWalk *walk, guint32 index, guint64 length)
{
    Piece *piece = &walk->pieces[index];
    Piece *rest;

    g_assert(length > 0 && length < piece->run.length);
    if (walk->n_pieces == walk->max_pieces) {
        walk->is_full = TRUE;
        cut_at(walk, piece->run.offset + length);
        piece->run.length = length;
        return NO_PIECE;
    }
    rest = &walk->pieces[walk->n_pieces];
    *rest = *piece;
    rest->run.offset += length;
    rest->run.length -= length;
    rest->node_offset += length;
    piece->run.length = length;
    piece->next = walk->n_pieces;
    return walk->n_pieces++;
}

/* Whether an answer of that kind claims, and whether it names a child. */
static gboolean
is_mine(guint8 kind)
{
    return kind != STRATA_ANSWER_FORWARD && kind != STRATA_ANSWER_ABSENT;
}

static gboolean
names_child(guint8 kind)
{
    return kind == STRATA_ANSWER_DATA || kind == STRATA_ANSWER_FORWARD;
}

static gboolean
is_claimed(const Piece *piece)
{
    return piece->run.claimant != NULL;
}

/* @beyond: the backing edges that its server crossed on the way to a remote claimant. */
static void
claim(Piece *piece, StrataNode *claimant, guint beyond)
{
    if (is_claimed(piece))
        return;
    piece->run.claimant = claimant;
    piece->run.depth += 1 + beyond;
}

/* The layers of a server follow its node in the pre-order. */
static StrataNode *
claimant_of(StrataNode *node, const StrataAnswer *answer)
{
    return node->graph->nodes->pdata[node->index + answer->layer];
}

static const char *const answer_names[] = {
    [STRATA_ANSWER_DATA] = "data",     [STRATA_ANSWER_OWN] = "data",
    [STRATA_ANSWER_ZERO] = "zero",     [STRATA_ANSWER_FORWARD] = "forward",
    [STRATA_ANSWER_ABSENT] = "absent",
};

/* The first piece of the range is always piece 0: splits leave the front in place. */
static void
note_step(StrataWalk *walk, guint32 index, StrataStep step)
{
    if (walk->steps && index == 0)
        g_array_append_val(walk->steps, step);
}

/* A layer that is shorter than its overlay claims what lies past its end, as zeros. */
static void
settle_past_end(StrataWalk *walk, guint32 index, StrataNode *child, guint64 child_offset)
{
    Piece *piece = &walk->pieces[index];

    note_step(walk, index,
              (StrataStep){ .node = child,
                            .offset = child_offset,
                            .length = piece->run.length,
                            .answer = "past-end",
                            .claimant = is_claimed(piece) ? NULL : child });
    if (!is_claimed(piece))
        piece->run.flags |= STRATA_RUN_PAST_END;
    claim(piece, child, 0);
    piece->run.flags |= STRATA_RUN_ZERO;
}

/* Storage that ends before the bytes that should lie in it: the claim stands, and reading says what
 * is wrong. */
static void
settle_lost(Piece *piece, StrataNode *child, guint64 child_offset)
{
    piece->run.leaf = child;
    piece->run.leaf_offset = child_offset;
}

/* Sends a piece on to a child: what lies past the child's end is settled, the rest waits there. */
static void
send_to(StrataWalk *walk, guint32 index, StrataNode *child, guint64 child_offset)
{
    Piece *piece = &walk->pieces[index];
    guint64 inside = child_offset < child->size ? child->size - child_offset : 0;
    guint32 rest = index;

    if (inside > 0) {
        rest = inside < piece->run.length ? split(walk, index, inside) : NO_PIECE;
        wait_at(walk, child, index, child_offset);
    }
    if (rest == NO_PIECE)
        return;
    if (child->role == STRATA_ROLE_BACKING)
        settle_past_end(walk, rest, child, child_offset + inside);
    else
        settle_lost(&walk->pieces[rest], child, child_offset + inside);
}

/* What one answer means for the piece that it was given for. */
static void
apply(StrataWalk *walk, StrataNode *node, guint32 index, const StrataAnswer *answer)
{
    Piece *piece = &walk->pieces[index];
    StrataNode *child = names_child(answer->kind) ? node->children[answer->role] : NULL;
    gboolean mine = is_mine(answer->kind);
    guint flags = is_claimed(piece) ? answer->flags & ~STRATA_RUN_PAST_END : answer->flags;

    note_step(
        walk, index,
        (StrataStep){ .node = node,
                      .offset = piece->node_offset,
                      .length = piece->run.length,
                      .answer = answer_names[answer->kind],
                      .child = child,
                      .child_offset = answer->child_offset,
                      .claimant = mine && !is_claimed(piece) ? claimant_of(node, answer) : NULL });
    if (mine)
        claim(piece, claimant_of(node, answer), answer->depth);
    switch (answer->kind) {
    case STRATA_ANSWER_OWN:
        piece->run.flags |= flags;
        piece->run.leaf = node;
        piece->run.leaf_offset = piece->node_offset;
        break;
    case STRATA_ANSWER_ZERO:
        piece->run.flags |= STRATA_RUN_ZERO | flags;
        break;
    case STRATA_ANSWER_ABSENT:
        piece->run.flags |= STRATA_RUN_ZERO;
        if (!is_claimed(piece))
            piece->run.depth = 0;
        break;
    default:
        if (child->role == STRATA_ROLE_BACKING && !is_claimed(piece))
            piece->run.depth++;
        send_to(walk, index, child, answer->child_offset);
    }
}

/* Whether @answer keeps the promises of driver.h to a range of @length bytes. */
static const char *
broken_promise(StrataNode *node, const StrataAnswer *answer, guint64 length)
{
    gboolean sent = names_child(answer->kind);
    gboolean mine = is_mine(answer->kind);
    guint64 end;

    if (answer->kind > STRATA_ANSWER_ABSENT)
        return "an unknown kind of answer";
    if (answer->length == 0 || answer->length > length)
        return "a length that is not within the range";
    if (sent && (answer->role >= STRATA_N_ROLES || !node->children[answer->role]))
        return "a child that it does not have";
    if (sent && !checked_add(answer->child_offset, answer->length, &end))
        return "a child offset that wraps around";
    if (answer->kind == STRATA_ANSWER_DATA && answer->role == STRATA_ROLE_BACKING)
        return "bytes of its own that lie in its backing file";
    if (answer->kind == STRATA_ANSWER_FORWARD && !(node->forward_roles & (1u << answer->role)))
        return "a forward to a role that it did not announce";
    if (answer->kind == STRATA_ANSWER_FORWARD && answer->role != STRATA_ROLE_BACKING &&
        !range_within(answer->child_offset, answer->length, node->children[answer->role]->size))
        return "a look through its storage that goes past the end of it";
    if (answer->layer > (mine ? node->n_layers : 0))
        return "a claim for a layer that it does not have";
    if (mine && !claimant_of(node, answer)->claims)
        return "a claim though it is a window";
    if (!node->tells_depth && (answer->depth || answer->flags & STRATA_RUN_PAST_END))
        return "what only a server that tells depth can know";
    if (answer->flags && answer->kind != STRATA_ANSWER_OWN &&
        !(node->tells_depth && answer->kind == STRATA_ANSWER_ZERO))
        return "encoding flags on bytes that it does not deliver";
    return NULL;
}

/* Asks the driver, and lets through only the answers that keep its contract. */
static gsize
ask(StrataNode *node, const StrataRange *ranges, gsize n_ranges, StrataAnswer *answers,
    GError **error)
{
    guint64 left = ranges[0].length;
    gsize range = 0;
    gsize n;

    if (!changes_check_node(node, error))
        return 0;
    n = node->driver->map(node, ranges, n_ranges, answers, ANSWERS_PER_CALL, error);
    for (gsize i = 0; i < n; i++) {
        const char *broken = i < ANSWERS_PER_CALL && range < n_ranges
                                 ? broken_promise(node, &answers[i], left)
                                 : "more than it was asked for";

        if (broken) {
            if (i == 0)
                strata_throw(error, node, STRATA_ERROR_INTERNAL,
                             "driver '%s' broke its contract at 0x%" G_GINT64_MODIFIER
                             "x by answering %s; please report this bug of strata",
                             node->driver->name, ranges[0].offset, broken);
            return i;
        }
        left -= answers[i].length;
        if (left == 0 && ++range < n_ranges)
            left = ranges[range].length;
    }
    return n;
}

/* The ranges of the pieces that wait first at a node, as far as they lie before the cut. (A cut
 * falls between pieces, never into one: pieces do not overlap, and it is made at the border of one
 * of them.) */
static gsize
collect_ranges(StrataWalk *walk, const Queue *queue, StrataRange *ranges)
{
    gsize n = 0;

    for (guint32 index = queue->head; index != NO_PIECE && n < RANGES_PER_CALL;
         index = walk->pieces[index].next_waiting) {
        const Piece *piece = &walk->pieces[index];

        if (piece->run.offset >= walk->cut)
            break;
        ranges[n].offset = piece->node_offset;
        ranges[n++].length = piece->run.length;
    }
    return n;
}

/* Takes the first waiting piece, or the front of it that @length covers, from its queue. */
static guint32
take_front(StrataWalk *walk, Queue *queue, guint64 length)
{
    guint32 index = queue->head;

    /* The rest is a copy, so it is linked already to those that wait behind it. When there is no
     * room for one, the range was cut, and those behind lie past the cut. */
    if (length < walk->pieces[index].run.length)
        queue->head = split(walk, index, length);
    else
        queue->head = walk->pieces[index].next_waiting;
    return index;
}

/* One node's turn: every piece that waits at it is settled or sent on. Each turn of the loop takes
 * at least one byte from the queue, or makes the cut. */
static void
ask_node(StrataWalk *walk, StrataNode *node)
{
    Queue *queue = queue_of(walk, node);
    StrataRange ranges[RANGES_PER_CALL];
    StrataAnswer answers[ANSWERS_PER_CALL];
    gsize n_ranges;

    while ((n_ranges = collect_ranges(walk, queue, ranges)) > 0) {
        g_autoptr(GError) fault = NULL;
        gsize n = ask(node, ranges, n_ranges, answers, &fault);

        if (n == 0) {
            cut_at(walk, walk->pieces[queue->head].run.offset);
            walk->is_full = FALSE;
            g_clear_error(&walk->fault);
            walk->fault = g_steal_pointer(&fault);
            break;
        }
        for (gsize i = 0; i < n && queue->head != NO_PIECE; i++)
            apply(walk, node, take_front(walk, queue, answers[i].length), &answers[i]);
        if (table_cache_count_work() >= walk->last_work && queue->head != NO_PIECE)
            cut_at(walk, walk->pieces[queue->head].run.offset);
    }
    *queue = (Queue){ NO_PIECE, NO_PIECE };
}

static gboolean
continues(const StrataRun *left, const StrataRun *right)
{
    return left->claimant == right->claimant && left->depth == right->depth &&
           left->flags == right->flags && left->leaf == right->leaf &&
           (!left->leaf || left->leaf_offset + left->length == right->leaf_offset);
}

/* The settled pieces before the cut, in order, coalesced. */
static gsize
collect_runs(StrataWalk *walk)
{
    gsize n = 0;

    for (guint32 index = 0; index != NO_PIECE; index = walk->pieces[index].next) {
        const StrataRun *run = &walk->pieces[index].run;

        if (run->offset >= walk->cut)
            break;
        if (n > 0 && continues(&walk->runs[n - 1], run))
            walk->runs[n - 1].length += run->length;
        else
            walk->runs[n++] = *run;
    }
    return n;
}

/* A window that overflowed was asked of the upper layers in vain: take on less the next time, and
 * more again as long as all goes well. */
static void
learn_window(StrataWalk *walk, guint64 resolved)
{
    if (walk->is_full)
        walk->window = MAX(resolved, MIN_WINDOW);
    else if (walk->window <= G_MAXUINT64 / 2)
        walk->window *= 2;
}

static void
begin(StrataWalk *walk, guint64 offset, guint64 length)
{
    walk->pieces[0] = (Piece){ .run = { .offset = offset, .length = length }, .next = NO_PIECE };
    walk->n_pieces = 1;
    walk->cut = offset + length;
    walk->is_full = FALSE;
    walk->last_work = table_cache_count_work() + WORK_PER_RESOLVE;
    g_clear_error(&walk->fault);
    if (walk->steps)
        g_array_set_size(walk->steps, 0);
    wait_at(walk, walk->from, 0, offset);
}

static void
walk_once(StrataWalk *walk, guint64 offset, guint64 length)
{
    begin(walk, offset, length);
    for (guint i = walk->from->index; i < walk->from->subtree_end; i++)
        ask_node(walk, walk->from->graph->nodes->pdata[i]);
}

/* Walks again where a file changed meanwhile, so that no answer is half of then and half of now.
 * (Runs point to no metadata: what they say stays what it was at that time.) */
static void
walk_unmixed(StrataWalk *walk, guint64 offset, guint64 length)
{
    Changes *changes = walk->graph->changes;

    for (guint i = 0; i < CHANGES_TRIES; i++) {
        guint generation = changes_begin(changes);

        walk_once(walk, offset, length);
        if (!changes_intervened(changes, generation))
            return;
    }
}

const StrataRun *
strata_walk_resolve(StrataWalk *walk, guint64 offset, guint64 length, gsize *out_n_runs,
                    GError **error)
{
    StrataNode *from = walk->from;

    *out_n_runs = 0;
    if (length == 0 || !range_within(offset, length, from->size)) {
        strata_throw(error, from, STRATA_ERROR_LIMIT,
                     "range 0x%" G_GINT64_MODIFIER "x+0x%" G_GINT64_MODIFIER
                     "x is empty or not within the size 0x%" G_GINT64_MODIFIER "x",
                     offset, length, from->size);
        return NULL;
    }
    if (walk->is_outermost)
        walk_unmixed(walk, offset, MIN(length, walk->window));
    else
        walk_once(walk, offset, MIN(length, walk->window));
    if (walk->cut == offset) {
        g_propagate_error(error, g_steal_pointer(&walk->fault));
        return NULL;
    }
    learn_window(walk, walk->cut - offset);
    *out_n_runs = collect_runs(walk);
    return walk->runs;
}

GArray *
strata_walk_explain(StrataWalk *walk, guint64 offset, StrataRun *out_run, GError **error)
{
    g_autoptr(GArray) steps = g_array_new(FALSE, FALSE, sizeof(StrataStep));
    guint64 length = offset < walk->from->size ? walk->from->size - offset : 0;
    const StrataRun *runs;
    gsize n_runs;

    walk->steps = steps;
    runs = strata_walk_resolve(walk, offset, length, &n_runs, error);
    walk->steps = NULL;
    if (!runs)
        return NULL;
    if (out_run)
        *out_run = runs[0];
    return g_steal_pointer(&steps);
}

StrataWalk *
walk_new_sized(StrataNode *from, guint max_pieces)
{
    StrataWalk *walk = g_new0(StrataWalk, 1);
    guint n_nodes = from->subtree_end - from->index;

    walk->graph = strata_graph_ref(from->graph);
    walk->from = from;
    walk->max_pieces = max_pieces;
    walk->pieces = g_new(Piece, max_pieces);
    walk->runs = g_new(StrataRun, max_pieces);
    walk->queues = g_new(Queue, n_nodes);
    memset(walk->queues, 0xff, n_nodes * sizeof(Queue)); /* all NO_PIECE */
    walk->window = G_MAXUINT64;
    return walk;
}

StrataWalk *
strata_walk_new(StrataNode *from)
{
    StrataWalk *walk = walk_new_sized(from, DEFAULT_PIECES);

    walk->is_outermost = TRUE;
    return walk;
}

void
strata_walk_free(StrataWalk *walk)
{
    if (!walk)
        return;
    g_clear_error(&walk->fault);
    g_free(walk->queues);
    g_free(walk->runs);
    g_free(walk->pieces);
    strata_graph_unref(walk->graph);
    g_free(walk);
}

StrataNode *
strata_walk_get_node(StrataWalk *walk)
{
    return walk->from;
}
