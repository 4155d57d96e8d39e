/* SPDX-License-Identifier: LGPL-2.1-or-later
 * resolve.h - the walk: which layer supplies this range, and where do its bytes lie? */
#ifndef STRATA_RESOLVE_H
#define STRATA_RESOLVE_H

#include <strata/graph.h>

G_BEGIN_DECLS

/**
 * StrataRunFlags:
 *
 * @STRATA_RUN_ZERO: known to read as zeros; where it is not set the run may hold anything
 * @STRATA_RUN_COMPRESSED: kept compressed by the claimant or below it
 * @STRATA_RUN_ENCRYPTED: kept encrypted by the claimant or below it
 * @STRATA_RUN_PAST_END: past the end of a layer that is shorter than its overlay (and so zero)
 */
typedef enum {
    STRATA_RUN_ZERO = 1 << 0,
    STRATA_RUN_COMPRESSED = 1 << 1,
    STRATA_RUN_ENCRYPTED = 1 << 2,
    STRATA_RUN_PAST_END = 1 << 3,
} StrataRunFlags;

/**
 * StrataRun: a range of the resolved node that has one answer.
 *
 * @offset: in bytes, in the resolved node
 * @length: in bytes, never 0
 * @claimant: (nullable): the layer that supplies the range; %NULL where nobody claims it (it then
 *   reads as zeros)
 * @leaf: (nullable): the node that delivers the bytes: the protocol leaf in which they lie as they
 *   are or, for compressed and encrypted runs, the node that decodes them; %NULL where there are
 *   none (zeros that are in no file)
 * @leaf_offset: where in @leaf the run begins, in bytes
 * @depth: 0 without claimant, else 1 + the backing edges crossed on the way to it
 * @flags: #StrataRunFlags
 */
typedef struct {
    guint64 offset;
    guint64 length;
    StrataNode *claimant;
    StrataNode *leaf;
    guint64 leaf_offset;
    guint depth;
    guint flags;
} StrataRun;

/**
 * StrataDetails: what the runs of a walk are to tell.
 *
 * @STRATA_DETAIL_ZERO: %STRATA_RUN_ZERO
 * @STRATA_DETAIL_FLAGS: the other flags
 * @STRATA_DETAIL_DEPTH: the depth
 * @STRATA_DETAIL_CLAIMANT: the claimant
 * @STRATA_DETAIL_PLACE: the leaf and the offset there
 * @STRATA_DETAIL_ALL: all of them
 */
typedef enum {
    STRATA_DETAIL_ZERO = 1 << 0,
    STRATA_DETAIL_FLAGS = 1 << 1,
    STRATA_DETAIL_DEPTH = 1 << 2,
    STRATA_DETAIL_CLAIMANT = 1 << 3,
    STRATA_DETAIL_PLACE = 1 << 4,
    STRATA_DETAIL_ALL = (1 << 5) - 1,
} StrataDetails;

/**
 * StrataWalk:
 * The scratch memory of one walk at a time. Not thread-safe: each thread has its own; any number
 * of walks may go over the same graph at once. Holds a reference to the graph.
 */
typedef struct _StrataWalk StrataWalk;

/**
 * strata_walk_new:
 * @from: the node to resolve: the top of a graph, or any other node to see the image from there
 *   down
 *
 * Returns: (transfer full): a walk
 */
StrataWalk *strata_walk_new(StrataNode *from);

/** strata_walk_free: Frees @walk and what it returned. @walk: (nullable) */
void strata_walk_free(StrataWalk *walk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StrataWalk, strata_walk_free)

/**
 * strata_walk_set_details:
 * @walk: a walk
 * @details: what is of interest; all, unless this says otherwise
 *
 * Has strata_walk_resolve() find fewer and longer runs from its next call on: neighbours that
 * differ in nothing of @details are one. What else a run says is undefined.
 */
void strata_walk_set_details(StrataWalk *walk, StrataDetails details);

/**
 * strata_walk_get_node:
 * Returns: (transfer none): the node that @walk resolves
 */
StrataNode *strata_walk_get_node(StrataWalk *walk);

/**
 * strata_walk_resolve:
 * @walk: a walk
 * @offset: in bytes
 * @length: in bytes, at least 1; offset + length within the node's size
 * @out_n_runs: (out): how many runs, at least 1
 * @error: %STRATA_ERROR_DAMAGED, %STRATA_ERROR_IO, %STRATA_ERROR_LIMIT (range out of bounds) and
 *   what drivers set, when the range's first byte cannot be answered
 *
 * Resolves a part of the range that begins at @offset and is never empty; ask again from its end
 * for the rest, or from any offset where a run ends. Runs are consecutive, ascending, and end
 * within the range. Neighbours differ in some detail that is asked for: they are coalesced as far
 * as this call goes. What a byte is answered never depends on how the range was cut into calls.
 *
 * Where one range is damaged, the call ends before it, and the call that begins in it fails.
 *
 * Returns: (transfer none) (array length=out_n_runs): the runs, valid until the next call on
 *   @walk; or %NULL with @error set
 */
const StrataRun *strata_walk_resolve(StrataWalk *walk, guint64 offset, guint64 length,
                                     gsize *out_n_runs, GError **error);

/**
 * StrataStep: one answer on the way of a walk.
 *
 * @node: who was asked; an "nbd" leaf answers for the layers behind its server, too
 * @offset: for which offset of its own, in bytes
 * @length: for how many bytes the same answer holds from there, as far as was asked
 * @answer: "data", "zero", "forward", "absent" or "past-end"
 * @child: (nullable): where the walk goes on
 * @child_offset: at which offset of @child
 * @claimant: (nullable): %NULL but for the step at which the range found its claimant: @node, or
 *   the layer behind it for which it answers
 */
typedef struct {
    StrataNode *node;
    guint64 offset;
    guint64 length;
    const char *answer;
    StrataNode *child;
    guint64 child_offset;
    StrataNode *claimant;
} StrataStep;

/**
 * strata_walk_explain:
 * @walk: a walk
 * @offset: in bytes, below the node's size
 * @out_run: (out) (optional): what the walk found for the byte at @offset
 * @error: as for strata_walk_resolve()
 *
 * Resolves one byte and keeps every answer on its way; it is the same walk that
 * strata_walk_resolve() makes.
 *
 * Returns: (transfer full) (element-type StrataStep): the steps, top first; or %NULL with @error
 */
GArray *strata_walk_explain(StrataWalk *walk, guint64 offset, StrataRun *out_run, GError **error);

G_END_DECLS

#endif
