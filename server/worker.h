/* SPDX-License-Identifier: LGPL-2.1-or-later
 * worker.h - one thread of a connection and the scratch memory that it keeps between requests. */
#ifndef STRATA_WORKER_H
#define STRATA_WORKER_H

#include "request.h"

#define WORKER_BUFFER_SIZE (1024 * 1024)

typedef struct {
    Connection *connection;
    StrataWalk *walk; /* made when first needed, dropped when the connection is idle */
    guint8 *buffer;   /* the same, WORKER_BUFFER_SIZE bytes */
} Worker;

StrataWalk *worker_get_walk(Worker *worker);
guint8 *worker_get_buffer(Worker *worker);
gboolean worker_has_scratch(const Worker *worker);
void worker_drop_scratch(Worker *worker);

#endif
