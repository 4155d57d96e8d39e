/* SPDX-License-Identifier: LGPL-2.1-or-later
 * worker.c - the scratch memory of one thread of a connection. */
#include "worker.h"

/* How many walks the workers of a connection keep between requests. */
#define WALKS_KEPT 8

StrataWalk *
worker_get_walk(Worker *worker)
{
    if (worker->walk == NULL) {
        worker->walk = strata_walk_new(worker->connection->negotiation.view->node);
        g_atomic_int_inc(&worker->connection->n_walks);
    }
    return worker->walk;
}

guint8 *
worker_get_buffer(Worker *worker)
{
    if (worker->buffer == NULL)
        worker->buffer = account_get_buffer(&worker->connection->account);
    return worker->buffer;
}

void
worker_put_scratch(Worker *worker)
{
    if (worker->buffer != NULL)
        account_put_buffer(&worker->connection->account, g_steal_pointer(&worker->buffer));
    if (g_atomic_int_get(&worker->connection->n_walks) > WALKS_KEPT)
        worker_drop_scratch(worker);
}

gboolean
worker_has_scratch(const Worker *worker)
{
    return worker->walk != NULL;
}

void
worker_drop_scratch(Worker *worker)
{
    if (worker->walk == NULL)
        return;
    g_clear_pointer(&worker->walk, strata_walk_free);
    g_atomic_int_add(&worker->connection->n_walks, -1);
}
