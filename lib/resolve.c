/* SPDX-License-Identifier: LGPL-2.1-or-later
 * resolve.c - the walk (docs/resolving.md). It and segment.c alone know chains.
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
 * A stretch of a chain whose nodes have tables is one step of the walk, not one for each node
 * (segment.h): what its layers hold is found for a window of clusters at a time.
 */
#include <strata/resolve.h>

#include "ask.h"
#include "checked.h"
#include "error.h"
#include "node.h"
#include "resolve-segment.h"
#include "walk.h"

/* How many answers a driver is asked for in one call: enough to make a call's cost vanish, little
 * enough for the stack (24 bytes each). */
#define ANSWERS_PER_CALL 256
#define RANGES_PER_CALL  64

/* How many pieces a walk holds. Large enough that a window of a fragmented chain is worth the trip
 * over its layers, small enough to stay in a processor's cache. */
#define DEFAULT_PIECES (WINDOW_GRANULES + 64)

/* No window is made smaller than this by cuts: less than a cluster of the smallest kind. */
#define MIN_WINDOW 512

/* After so much work for tables that were not in the cache (table_cache_count_work(): 256 MiB of
 * them), a call to strata_walk_resolve() returns what it has, so that a server can look up from its
 * work: some hundred milliseconds at the worst. */
#define WORK_PER_RESOLVE 65536

/* What the last call found, for one that goes on within it: a caller that had no use for all. */
typedef struct {
    StrataRun *runs; /* not owned */
    gsize n;
    guint64 begin, end; /* bytes */
    guint generation;   /* of the files, as changes_begin() has it */
    gint64 time;        /* monotonic, in microseconds */
} Kept;

struct _StrataWalk {
    StrataGraph *graph; /* a reference, if this is the outermost walk */
    StrataNode *from;
    Pieces pieces;
    StrataRun *sorted;     /* (nullable) pieces.max runs: where the result is put in order */
    Window *window;        /* (nullable) scratch memory of segments */
    Segment **segments;    /* by the place of their head among from's subtree; NULL: not met yet */
    guint64 asked_end;     /* bytes: of all that the caller asked for */
    guint64 last_work;     /* table_cache_count_work() when this call has done enough */
    gboolean is_outermost; /* not a driver's, which reads its metadata by a walk of its own */
    guint64 span;          /* how many bytes to take on at once, learnt from earlier cuts */
    guint details;         /* StrataDetails that tell two runs apart */
    GError *fault;         /* why nothing can be told from the cut on, or NULL */
    GArray *steps;         /* what strata_walk_explain() collects, else NULL */
    Kept kept;
};

/* @beyond: the backing edges that its server crossed on the way to a remote claimant. */
static void
claim(StrataRun *piece, StrataNode *claimant, guint beyond)
{
    if (piece_is_claimed(piece))
        return;
    piece->claimant = claimant;
    piece->depth += 1 + beyond;
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

/* Sends a piece on, and takes note of it if it is settled so. */
static void
send_to(StrataWalk *walk, guint32 index, StrataNode *child, guint64 child_offset)
{
    Pieces *pieces = &walk->pieces;

    if (child->role == STRATA_ROLE_BACKING && child_offset >= child->size)
        note_step(
            walk, index,
            (StrataStep){ .node = child,
                          .offset = child_offset,
                          .length = pieces->runs[index].length,
                          .answer = "past-end",
                          .claimant = piece_is_claimed(&pieces->runs[index]) ? NULL : child });
    pieces_send(pieces, index, child, child_offset);
}

/* Where nothing that is of interest depends on it, nobody asks where data lies. */
static gboolean
looks_into_data(const StrataWalk *walk)
{
    return (walk->details & (STRATA_DETAIL_ZERO | STRATA_DETAIL_FLAGS | STRATA_DETAIL_PLACE)) != 0;
}

/* What one answer means for the piece that it was given for. */
static void
apply(StrataWalk *walk, StrataNode *node, guint32 index, const StrataAnswer *answer)
{
    StrataRun *piece = &walk->pieces.runs[index];
    guint64 node_offset = walk->pieces.links[index].node_offset;
    StrataNode *child = answer_names_child(answer->kind) ? node->children[answer->role] : NULL;
    gboolean mine = answer_is_mine(answer->kind);
    gboolean claims = mine && !piece_is_claimed(piece);
    guint flags =
        piece_is_claimed(piece) ? answer->flags & ~(guint)STRATA_RUN_PAST_END : answer->flags;

    note_step(walk, index,
              (StrataStep){ .node = node,
                            .offset = node_offset,
                            .length = piece->length,
                            .answer = answer_names[answer->kind],
                            .child = child,
                            .child_offset = answer->child_offset,
                            .claimant = claims ? answer_claimant(node, answer) : NULL });
    if (mine)
        claim(piece, answer_claimant(node, answer), answer->depth);
    switch (answer->kind) {
    case STRATA_ANSWER_OWN:
        piece->flags |= flags;
        piece->leaf = node;
        piece->leaf_offset = node_offset;
        break;
    case STRATA_ANSWER_ZERO:
        piece->flags |= STRATA_RUN_ZERO | flags;
        break;
    case STRATA_ANSWER_ABSENT:
        piece->flags |= STRATA_RUN_ZERO;
        if (!piece_is_claimed(piece))
            piece->depth = 0;
        break;
    default:
        if (piece_is_claimed(piece) && !looks_into_data(walk))
            break;
        if (child->role == STRATA_ROLE_BACKING && !piece_is_claimed(piece))
            piece->depth++;
        send_to(walk, index, child, answer->child_offset);
    }
}

/* The ranges of the pieces that wait first at a node, as far as they lie before the cut. (A cut
 * falls between pieces, never into one: pieces do not overlap, and it is made at the border of one
 * of them.) */
static gsize
collect_ranges(const Pieces *pieces, const PieceQueue *queue, StrataRange *ranges)
{
    gsize n = 0;

    for (guint32 index = queue->head; index != NO_PIECE && n < RANGES_PER_CALL;
         index = pieces->links[index].next_waiting) {
        if (pieces->runs[index].offset >= pieces->cut)
            break;
        ranges[n].offset = pieces->links[index].node_offset;
        ranges[n++].length = pieces->runs[index].length;
    }
    return n;
}

/* Takes the first waiting piece, or the front of it that @length covers, from its queue. */
static guint32
take_front(Pieces *pieces, PieceQueue *queue, guint64 length)
{
    guint32 index = queue->head;

    /* The rest is a copy, so it is linked already to those that wait behind it. When there is no
     * room for one, the range was cut, and those behind lie past the cut. */
    if (length < pieces->runs[index].length)
        queue->head = pieces_split(pieces, index, length);
    else
        queue->head = pieces->links[index].next_waiting;
    return index;
}

static void
set_fault(StrataWalk *walk, GError *fault)
{
    g_clear_error(&walk->fault);
    walk->fault = fault;
}

/* One node's turn: every piece that waits at it is settled or sent on. Each turn of the loop takes
 * at least one byte from the queue, or makes the cut. */
static void
ask_node(StrataWalk *walk, StrataNode *node, PieceQueue *queue)
{
    Pieces *pieces = &walk->pieces;
    StrataRange ranges[RANGES_PER_CALL];
    StrataAnswer answers[ANSWERS_PER_CALL];
    gsize n_ranges;

    pieces->is_loose = TRUE;
    while ((n_ranges = collect_ranges(pieces, queue, ranges)) > 0) {
        GError *fault = NULL;
        gsize n = ask_node_for(node, ranges, n_ranges, answers, ANSWERS_PER_CALL, &fault);

        if (n == 0) {
            pieces_cut(pieces, pieces->runs[queue->head].offset);
            pieces->is_full = FALSE;
            set_fault(walk, fault);
            return;
        }
        for (gsize i = 0; i < n && queue->head != NO_PIECE; i++)
            apply(walk, node, take_front(pieces, queue, answers[i].length), &answers[i]);
        if (table_cache_count_work() >= walk->last_work && queue->head != NO_PIECE)
            pieces_cut(pieces, pieces->runs[queue->head].offset);
    }
}

static Segment *
find_segment(StrataWalk *walk, StrataNode *head)
{
    Segment **segment = &walk->segments[head->index - walk->from->index];

    if (*segment == NULL)
        *segment = segment_new(head);
    segment_set_details(*segment, walk->details, walk->steps == NULL);
    return *segment;
}

/* The same for the head of a segment, for all of its layers. */
static void
ask_segment(StrataWalk *walk, StrataNode *head, const PieceQueue *queue)
{
    Pieces *pieces = &walk->pieces;
    Segment *segment = find_segment(walk, head);
    guint32 next;

    if (walk->window == NULL)
        walk->window = g_new0(Window, 1);
    for (guint32 index = queue->head; index != NO_PIECE && pieces->runs[index].offset < pieces->cut;
         index = next) {
        const StrataRun *run = &pieces->runs[index];

        next = pieces->links[index].next_waiting; /* it may wait somewhere else soon */
        if (walk->steps && index == 0)
            segment_explain(segment, pieces->links[index].node_offset, run->length,
                            piece_is_claimed(run), walk->steps);
        resolve_segment(pieces, segment, walk->window, index, walk->asked_end, walk->last_work,
                        &walk->fault);
    }
    segment_close(segment);
}

static void
take_turn(StrataWalk *walk, StrataNode *node)
{
    PieceQueue *queue = pieces_queue(&walk->pieces, node);

    if (queue->head == NO_PIECE)
        return;
    if (node->driver->seek_slice)
        ask_segment(walk, node, queue);
    else
        ask_node(walk, node, queue);
    *queue = (PieceQueue){ NO_PIECE, NO_PIECE };
}

static gboolean
differ(const StrataRun *left, const StrataRun *right, guint details)
{
    guint flags = left->flags ^ right->flags;

    if (details & STRATA_DETAIL_ZERO && flags & STRATA_RUN_ZERO)
        return TRUE;
    if (details & STRATA_DETAIL_FLAGS && flags & ~(guint)STRATA_RUN_ZERO)
        return TRUE;
    if (details & STRATA_DETAIL_DEPTH && left->depth != right->depth)
        return TRUE;
    if (details & STRATA_DETAIL_CLAIMANT && left->claimant != right->claimant)
        return TRUE;
    return details & STRATA_DETAIL_PLACE &&
           (left->leaf != right->leaf ||
            (left->leaf && left->leaf_offset + left->length != right->leaf_offset));
}

/* The pieces before the cut, in order and coalesced, in @runs: which may be the array of the pieces
 * itself if they are in order there. Returns how many. */
static gsize
collect_runs(StrataWalk *walk, StrataRun *runs)
{
    const Pieces *pieces = &walk->pieces;
    gsize n = 0;

    for (guint32 index = 0; index != NO_PIECE; index = pieces->links[index].next) {
        const StrataRun *run = &pieces->runs[index];

        if (run->offset >= pieces->cut)
            break;
        if (n > 0 && !differ(&runs[n - 1], run, walk->details))
            runs[n - 1].length += run->length;
        else
            runs[n++] = *run;
    }
    return n;
}

/* As collect_runs(), for pieces that are in order, none like the one before. */
static gsize
count_runs(const Pieces *pieces)
{
    gsize n = pieces->n;

    while (n > 0 && pieces->runs[n - 1].offset >= pieces->cut)
        n--;
    return n;
}

static const StrataRun *
take_result(StrataWalk *walk, gsize *out_n)
{
    Pieces *pieces = &walk->pieces;

    if (pieces->is_in_order) {
        walk->kept.runs = pieces->runs;
        *out_n = pieces->is_loose ? collect_runs(walk, pieces->runs) : count_runs(pieces);
    } else {
        if (!walk->sorted)
            walk->sorted = g_new(StrataRun, pieces->max);
        walk->kept.runs = walk->sorted;
        *out_n = collect_runs(walk, walk->sorted);
    }
    walk->kept.n = *out_n;
    return walk->kept.runs;
}

/* A span that overflowed was asked of the upper layers in vain: take on less the next time, and
 * more again as long as all goes well. */
static void
learn_span(StrataWalk *walk, guint64 resolved)
{
    if (walk->pieces.is_full)
        walk->span = MAX(resolved, MIN_WINDOW);
    else if (walk->span <= G_MAXUINT64 / 2)
        walk->span *= 2;
}

static void
walk_once(StrataWalk *walk, guint64 offset, guint64 length)
{
    pieces_begin(&walk->pieces, offset, length);
    walk->last_work = table_cache_count_work() + WORK_PER_RESOLVE;
    g_clear_error(&walk->fault);
    if (walk->steps)
        g_array_set_size(walk->steps, 0);
    pieces_wait_at(&walk->pieces, walk->from, 0, offset);
    for (guint i = walk->from->index; i < walk->from->subtree_end; i++)
        take_turn(walk, walk->from->graph->nodes->pdata[i]);
}

/* So many nodes take as long as a table of 4 KiB. */
#define NODES_PER_WORK 32

/* For a table of an image in an image: a small one takes less than the way through a long chain. */
static void
walk_inner(StrataWalk *walk, guint64 offset, guint64 length)
{
    table_cache_add_work((walk->from->subtree_end - walk->from->index) / NODES_PER_WORK);
    walk_once(walk, offset, length);
}

/* Walks again where a file changed meanwhile, so that no answer is half of then and half of now.
 * (Runs point to no metadata: what they say stays what it was at that time.) */
static void
walk_unmixed(StrataWalk *walk, guint64 offset, guint64 length)
{
    Changes *changes = walk->graph->changes;

    for (guint i = 0; i < CHANGES_TRIES; i++) {
        walk->kept.generation = changes_begin(changes);
        walk_once(walk, offset, length);
        if (!changes_intervened(changes, walk->kept.generation))
            return;
    }
}

/* -- What was found beyond what was needed -- */

/* As long as a change of a file may go unnoticed, too. */
#define KEPT_USEC (50 * 1000)

/* The kept run that holds @offset. */
static gsize
search_kept(const Kept *kept, guint64 offset)
{
    gsize low = 0, high = kept->n - 1;

    while (low < high) {
        gsize middle = low + (high - low) / 2;

        if (kept->runs[middle].offset + kept->runs[middle].length > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void
drop_kept_before(Kept *kept, guint64 offset)
{
    gsize first = search_kept(kept, offset);
    StrataRun *run = &kept->runs[first];
    guint64 skipped = offset - run->offset;

    run->offset += skipped;
    run->length -= skipped;
    run->leaf_offset += run->leaf ? skipped : 0;
    kept->runs = run;
    kept->n -= first;
    kept->begin = offset;
}

static void
drop_kept_from(Kept *kept, guint64 offset)
{
    gsize last;

    if (offset >= kept->end)
        return;
    last = search_kept(kept, offset - 1);
    kept->runs[last].length = offset - kept->runs[last].offset;
    kept->n = last + 1;
    kept->end = offset;
}

/* Whether what is kept answers for @offset: somebody goes on where he stopped, soon, and no file
 * has changed: by now, since what is kept may be holes (driver-file.c). Who asks for the same again
 * gets a new answer. */
static gboolean
has_kept(StrataWalk *walk, guint64 offset)
{
    const Kept *kept = &walk->kept;

    return kept->n > 0 && offset > kept->begin && offset < kept->end && !walk->steps &&
           g_get_monotonic_time() - kept->time < KEPT_USEC &&
           changes_begin(walk->graph->changes) == kept->generation &&
           changes_are_still(walk->graph->changes, walk->from);
}

static const StrataRun *
take_kept(StrataWalk *walk, guint64 offset, guint64 length, gsize *out_n)
{
    drop_kept_before(&walk->kept, offset);
    drop_kept_from(&walk->kept, offset + length);
    *out_n = walk->kept.n;
    return walk->kept.runs;
}

/* -- Walks -- */

static gboolean
check_range(StrataNode *node, guint64 offset, guint64 length, GError **error)
{
    if (length > 0 && range_within(offset, length, node->size))
        return TRUE;
    return strata_throw(error, node, STRATA_ERROR_LIMIT,
                        "range 0x%" G_GINT64_MODIFIER "x+0x%" G_GINT64_MODIFIER
                        "x is empty or not within the size 0x%" G_GINT64_MODIFIER "x",
                        offset, length, node->size);
}

static void
keep_result(StrataWalk *walk, guint64 offset)
{
    walk->kept.begin = offset;
    walk->kept.end = walk->pieces.cut;
    walk->kept.time = walk->is_outermost ? g_get_monotonic_time() : 0;
}

const StrataRun *
strata_walk_resolve(StrataWalk *walk, guint64 offset, guint64 length, gsize *out_n_runs,
                    GError **error)
{
    const StrataRun *runs;

    *out_n_runs = 0;
    if (!check_range(walk->from, offset, length, error))
        return NULL;
    if (walk->is_outermost && has_kept(walk, offset))
        return take_kept(walk, offset, length, out_n_runs);
    walk->kept.n = 0;
    walk->asked_end = offset + length;
    if (walk->is_outermost)
        walk_unmixed(walk, offset, MIN(length, walk->span));
    else
        walk_inner(walk, offset, MIN(length, walk->span));
    if (walk->pieces.cut == offset) {
        g_propagate_error(error, g_steal_pointer(&walk->fault));
        return NULL;
    }
    learn_span(walk, walk->pieces.cut - offset);
    runs = take_result(walk, out_n_runs);
    keep_result(walk, offset);
    return runs;
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

    walk->graph = from->graph;
    walk->from = from;
    pieces_init(&walk->pieces, from, max_pieces);
    walk->segments = g_new0(Segment *, from->subtree_end - from->index);
    walk->span = G_MAXUINT64;
    walk->details = STRATA_DETAIL_ALL;
    return walk;
}

StrataWalk *
strata_walk_new(StrataNode *from)
{
    StrataWalk *walk = walk_new_sized(from, DEFAULT_PIECES);

    walk->is_outermost = TRUE;
    strata_graph_ref(walk->graph);
    return walk;
}

void
strata_walk_free(StrataWalk *walk)
{
    if (!walk)
        return;
    g_clear_error(&walk->fault);
    for (guint i = 0; i < walk->from->subtree_end - walk->from->index; i++)
        g_clear_pointer(&walk->segments[i], segment_free);
    g_free(walk->segments);
    g_free(walk->window);
    g_free(walk->sorted);
    pieces_clear(&walk->pieces);
    if (walk->is_outermost) {
        table_cache_trim(walk->graph->tables);
        strata_graph_unref(walk->graph);
    }
    g_free(walk);
}

void
strata_walk_set_details(StrataWalk *walk, StrataDetails details)
{
    if (walk->details != details)
        walk->kept.n = 0;
    walk->details = details;
}

StrataNode *
strata_walk_get_node(StrataWalk *walk)
{
    return walk->from;
}
