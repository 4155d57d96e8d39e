/* SPDX-License-Identifier: LGPL-2.1-or-later
 * worker.c - the scratch memory of one thread of a connection. */
#include "worker.h"

StrataWalk *
worker_get_walk(Worker *worker)
{
    if (worker->walk == NULL)
        worker->walk = strata_walk_new(worker->connection->negotiation.view->node);
    return worker->walk;
}

guint8 *
worker_get_buffer(Worker *worker)
{
    if (worker->buffer == NULL)
        worker->buffer = g_malloc(WORKER_BUFFER_SIZE);
    return worker->buffer;
}

gboolean
worker_has_scratch(const Worker *worker)
{
    return worker->walk != NULL || worker->buffer != NULL;
}

void
worker_drop_scratch(Worker *worker)
{
    g_clear_pointer(&worker->walk, strata_walk_free);
    g_clear_pointer(&worker->buffer, g_free);
}
