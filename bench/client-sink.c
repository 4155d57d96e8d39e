/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-sink.c - drops what a socket holds without copying it. */
#include "client-sink.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "client-fail.h"

#define PIPE_BYTES (1024 * 1024) /* in one piece; where the system allows less, in several */

Sink *
sink_new(void)
{
    Sink *sink = g_new0(Sink, 1);
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        fail("pipe: %s", g_strerror(errno));
    sink->pipe_out = ends[0];
    sink->pipe_in = ends[1];
    fcntl(sink->pipe_in, F_SETPIPE_SZ, PIPE_BYTES);
    sink->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (sink->null < 0)
        fail("/dev/null: %s", g_strerror(errno));
    return sink;
}

void
sink_free(Sink *sink)
{
    close(sink->pipe_in);
    close(sink->pipe_out);
    close(sink->null);
    g_free(sink);
}

gssize
sink_drop(Sink *sink, int fd, gsize most)
{
    gssize n = splice(fd, NULL, sink->pipe_in, NULL, most, SPLICE_F_MOVE);

    for (gssize left = n; left > 0;) {
        gssize gone = splice(sink->pipe_out, NULL, sink->null, NULL, (gsize)left, SPLICE_F_MOVE);

        if (gone <= 0 && errno != EINTR)
            fail("splice to /dev/null: %s", g_strerror(errno));
        left -= MAX(gone, 0);
    }
    return n;
}
