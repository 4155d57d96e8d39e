/* SPDX-License-Identifier: LGPL-2.1-or-later
 * worker.h - one thread of a connection and the scratch memory that it keeps between requests. */
#ifndef STRATA_WORKER_H
#define STRATA_WORKER_H

#include "request.h"

#define WORKER_BUFFER_SIZE ACCOUNT_BUFFER_SIZE

/* What a walk takes, with a margin; each request that needs one takes it from the connection's
 * account. */
#define WORKER_WALK_SIZE ((guint64)512 * 1024)

typedef struct {
    Connection *connection;
    StrataWalk *walk; /* made when first needed, dropped when the connection is idle */
    guint8 *buffer;   /* of WORKER_BUFFER_SIZE bytes; NULL between requests */
} Worker;

StrataWalk *worker_get_walk(Worker *worker);

/* NULL if there is no memory for it; one that a request has, it keeps. */
guint8 *worker_get_buffer(Worker *worker);

/* Ends a request: the buffer is given back. The walk is kept for the next one, unless the
 * connection has many. */
void worker_put_scratch(Worker *worker);
gboolean worker_has_scratch(const Worker *worker);
void worker_drop_scratch(Worker *worker);

#endif
