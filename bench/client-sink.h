/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-sink.h - drops what a socket holds without copying it: its pages go through a pipe to
 * /dev/null.
 *
 * A client that copies what it reads takes longer for that than a server that does not copy takes
 * to send it, and then measures itself. */
#ifndef STRATA_CLIENT_SINK_H
#define STRATA_CLIENT_SINK_H

#include <glib.h>

typedef struct {
    int pipe_in, pipe_out, null;
} Sink;

Sink *sink_new(void);
void sink_free(Sink *sink);

/* Waits until @fd has something, and drops at most @most bytes of it. Returns how many, 0 at the
 * end of the stream, -1 with errno. */
gssize sink_drop(Sink *sink, int fd, gsize most);

#endif
