/* SPDX-License-Identifier: LGPL-2.1-or-later
 * snapshot-query.h - which snapshot --load-snapshot means. */
#ifndef STRATA_SNAPSHOT_QUERY_H
#define STRATA_SNAPSHOT_QUERY_H

#include <strata/strata.h>

/* Either the first, or one or both of the others. */
typedef struct {
    char *id_or_name;
    char *id;
    char *name;
} SnapshotQuery;

void snapshot_query_clear(SnapshotQuery *query);

/* @text: in the words of qemu-nbd, "ID-OR-NAME" or "snapshot.id=ID,snapshot.name=NAME" with one of
 * the two or both (",," is a comma). FALSE with @error: SPEC. */
gboolean snapshot_query_parse(SnapshotQuery *query, const char *text, GError **error);

/* Returns: (nullable): the first snapshot of @node that is meant */
const StrataSnapshot *snapshot_query_find(const SnapshotQuery *query, StrataNode *node);

#endif
