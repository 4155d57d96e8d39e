/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-limits.h - what clients may cost, from the command line. */
#ifndef STRATA_CLIENT_LIMITS_H
#define STRATA_CLIENT_LIMITS_H

#include "engine.h"

/* As the options have them; -1: not given. */
typedef struct {
    int max_connections;
    int max_connections_per_peer;
    int handshake_timeout; /* seconds, as are the other timeouts */
    int idle_timeout;
    int max_requests;
    gint64 max_bytes;
    int stop_timeout;
    int busy_poll; /* microseconds */
} LimitOptions;

#define LIMIT_OPTIONS_INIT                           \
    ((LimitOptions){ .max_connections = -1,          \
                     .max_connections_per_peer = -1, \
                     .handshake_timeout = -1,        \
                     .idle_timeout = -1,             \
                     .max_requests = -1,             \
                     .max_bytes = -1,                \
                     .stop_timeout = -1,             \
                     .busy_poll = -1 })

/* The most that --max-requests takes: each request in flight has a thread. */
#define LIMITS_MAX_REQUESTS 1024

/* ... and --busy-poll: microseconds, a tenth of a second. */
#define LIMITS_MAX_BUSY_POLL 100000

/* "64M": a number of bytes, or of KiB, MiB, GiB. */
gboolean limits_parse_size(const char *text, gint64 *out_size);

/* @shared: of --shared; below 1: no limit */
void limits_from_options(const LimitOptions *options, int shared, StrataEngineLimits *out_limits);

/* Threads that are started from here on have small stacks, and large buffers do not stay with the
 * process. Before there are threads. */
void limits_bound_process(void);

#endif
