/* SPDX-License-Identifier: LGPL-2.1-or-later
 * walk.h - a walk with less scratch memory than strata_walk_new() gives. */
#ifndef STRATA_WALK_H
#define STRATA_WALK_H

#include <strata/resolve.h>

/* For what a driver reads of its own node while somebody else's walk asks it: it does not look for
 * files that changed, and has no reference to the graph: the walk outside does.
 * @max_pieces: how many runs one strata_walk_resolve() can find at most; at least 1 */
StrataWalk *walk_new_sized(StrataNode *from, guint max_pieces);

#endif
