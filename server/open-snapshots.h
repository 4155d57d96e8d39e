/* SPDX-License-Identifier: LGPL-2.1-or-later
 * open-snapshots.h - graphs of internal snapshots: opened when the first client asks for one,
 * shared by all who do, closed when the last has left. */
#ifndef STRATA_OPEN_SNAPSHOTS_H
#define STRATA_OPEN_SNAPSHOTS_H

#include <strata/strata.h>

typedef struct _OpenSnapshot OpenSnapshot;

typedef struct {
    GMutex lock;       /* guards the table and all of its entries; never held while opening,
                          closing or reading */
    GCond settled;     /* signalled when an entry has a graph or an error */
    GHashTable *table; /* StrataSnapshot -> OpenSnapshot, not owned: users own it */
} OpenSnapshots;

void open_snapshots_init(OpenSnapshots *snapshots);

/* None may be in use. */
void open_snapshots_clear(OpenSnapshots *snapshots);

/* Opens @snapshot of @node, or joins those who have it open or are about to. @node outlives all
 * use. Blocks on disk, and nobody but those who want the same snapshot. Returns NULL with @error of
 * strata_node_open_snapshot(). */
OpenSnapshot *open_snapshots_acquire(OpenSnapshots *snapshots, StrataNode *node,
                                     const StrataSnapshot *snapshot, GError **error);

void open_snapshot_release(OpenSnapshot *open);

/* Returns: (transfer none): valid until it is released */
StrataGraph *open_snapshot_get_graph(OpenSnapshot *open);

#endif
