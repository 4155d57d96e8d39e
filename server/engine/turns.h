/* SPDX-License-Identifier: LGPL-2.1-or-later
 * turns.h - the requests of one client, carried out by the threads of its connection. */
#ifndef STRATA_TURNS_H
#define STRATA_TURNS_H

#include "worker.h"

/* How long a worker waits for its turn before it leaves, and how long memory and the last thread
 * are kept while no request comes; stream_expect_idleness(). */
#define TURNS_IDLE_MS 500

/* Carries out requests in this thread, and in others that it starts, until there are no more of
 * them or other threads do. Returns TRUE if none has come for a while, and no other thread is
 * there: when something comes, one has to run this again. */
gboolean turns_run(Connection *connection);

/* Lets another worker read requests, if this one is who does. It goes on with what it has begun. */
void turns_pass(Worker *worker);

#endif
