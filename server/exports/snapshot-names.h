/* SPDX-License-Identifier: LGPL-2.1-or-later
 * snapshot-names.h - by which word a snapshot is listed: its name, or its ID. */
#ifndef STRATA_SNAPSHOT_NAMES_H
#define STRATA_SNAPSHOT_NAMES_H

#include <strata/strata.h>

/* What the snapshots of one node call themselves. */
typedef struct {
    GTree *ids;   /* ID -> StrataSnapshot: the first of that ID */
    GTree *names; /* name -> StrataSnapshot; NULL for a name that several have */
} SnapshotNames;

void snapshot_names_init(SnapshotNames *names, StrataNode *node);
void snapshot_names_clear(SnapshotNames *names);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SnapshotNames, snapshot_names_clear)

/* Returns: (transfer none) (nullable): the name where it leads to this snapshot and to no other,
 * and can be printed; else the ID, under the same conditions; else NULL */
const char *snapshot_names_choose(const SnapshotNames *names, const StrataSnapshot *snapshot);

#endif
