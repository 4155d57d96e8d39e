/* SPDX-License-Identifier: LGPL-2.1-or-later
 * watch.h - the deadlines of connections: one that is past its deadline is cut, whatever its
 * threads wait for. */
#ifndef STRATA_WATCH_H
#define STRATA_WATCH_H

#include "connection.h"

/* One look at all connections. Times are monotonic, in microseconds. */
typedef struct {
    const StrataEngineLimits *limits;
    gint64 now;
    GArray *cut; /* of what was cut; told by watch_end() */
} Watch;

void watch_begin(Watch *watch, const StrataEngineLimits *limits);

/* Cuts @connection if it is past a deadline. It does not block, and does not log. Returns when it
 * is to be looked at again, G_MAXINT64 for never. */
gint64 watch_look(Watch *watch, Connection *connection);

/* Logs what was cut; no lock needs to be held. */
void watch_end(Watch *watch, Log *log);

/* When @connection is to be looked at, as it is @now: in the handshake, or in transmission. */
gint64 watch_next_look(const StrataEngineLimits *limits, Connection *connection, gint64 now);

/* Has the kernel find out that the host at the other end is gone. For TCP; others know at once. */
void watch_for_dead_host(int fd);

#endif
