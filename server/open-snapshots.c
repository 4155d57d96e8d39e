/* SPDX-License-Identifier: LGPL-2.1-or-later
 * open-snapshots.c - a table of the internal snapshots that are open. */
#include "open-snapshots.h"

struct _OpenSnapshot {
    OpenSnapshots *owner;
    const StrataSnapshot *snapshot;
    guint users; /* those who wait for it too */

    /* Set once, by the one who opens it; until then both are NULL. */
    StrataGraph *graph;
    GError *error;
};

void
open_snapshots_init(OpenSnapshots *snapshots)
{
    g_mutex_init(&snapshots->lock);
    g_cond_init(&snapshots->settled);
    snapshots->table = g_hash_table_new(NULL, NULL);
}

void
open_snapshots_clear(OpenSnapshots *snapshots)
{
    g_hash_table_unref(snapshots->table);
    g_cond_clear(&snapshots->settled);
    g_mutex_clear(&snapshots->lock);
}

/* Called with the lock held. Returns: (transfer full): a share in the entry of @snapshot;
 * @out_is_new: the caller is to open it */
static OpenSnapshot *
join(OpenSnapshots *snapshots, const StrataSnapshot *snapshot, gboolean *out_is_new)
{
    OpenSnapshot *open = g_hash_table_lookup(snapshots->table, snapshot);

    *out_is_new = open == NULL;
    if (open == NULL) {
        open = g_new0(OpenSnapshot, 1);
        open->owner = snapshots;
        open->snapshot = snapshot;
        g_hash_table_insert(snapshots->table, (gpointer)snapshot, open);
    }
    open->users++;
    return open;
}

/* Called with the lock held. An entry leaves the table when it is of no more use to anybody who has
 * not joined: who comes later makes a new one. */
static void
withdraw(OpenSnapshot *open)
{
    if (g_hash_table_lookup(open->owner->table, open->snapshot) == open)
        g_hash_table_remove(open->owner->table, open->snapshot);
}

static void
open_for_all(OpenSnapshot *open, StrataNode *node)
{
    GError *error = NULL;
    StrataGraph *graph = strata_node_open_snapshot(node, open->snapshot->id, &error);
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&open->owner->lock);

    open->graph = graph;
    open->error = error;
    if (graph == NULL)
        withdraw(open);
    g_cond_broadcast(&open->owner->settled);
}

static void
wait_until_settled(OpenSnapshot *open)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&open->owner->lock);

    while (open->graph == NULL && open->error == NULL)
        g_cond_wait(&open->owner->settled, &open->owner->lock);
}

OpenSnapshot *
open_snapshots_acquire(OpenSnapshots *snapshots, StrataNode *node, const StrataSnapshot *snapshot,
                       GError **error)
{
    OpenSnapshot *open;
    gboolean is_new;

    g_mutex_lock(&snapshots->lock);
    open = join(snapshots, snapshot, &is_new);
    g_mutex_unlock(&snapshots->lock);

    if (is_new)
        open_for_all(open, node);
    else
        wait_until_settled(open);
    if (open->graph != NULL)
        return open;
    g_propagate_error(error, g_error_copy(open->error));
    open_snapshot_release(open);
    return NULL;
}

void
open_snapshot_release(OpenSnapshot *open)
{
    gboolean last;

    g_mutex_lock(&open->owner->lock);
    last = --open->users == 0;
    if (last)
        withdraw(open);
    g_mutex_unlock(&open->owner->lock);
    if (!last)
        return;
    g_clear_pointer(&open->graph, strata_graph_unref);
    g_clear_error(&open->error);
    g_free(open);
}

StrataGraph *
open_snapshot_get_graph(OpenSnapshot *open)
{
    return open->graph;
}
