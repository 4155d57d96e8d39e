/* SPDX-License-Identifier: LGPL-2.1-or-later
 * pipe.c - a pipe through which pages go from files to a socket without being copied. */
#include "pipe.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#define LARGEST_PIPE  (1024 * 1024)
#define SMALLEST_PIPE (64 * 1024) /* what a pipe has unless its user has too many */

/* Of all connections together. A user may have 64 of the largest before the system makes them tiny
 * (/proc/sys/fs/pipe-user-pages-soft), and most of the descriptors are for clients and images. */
#define MAX_PIPES             32
#define DESCRIPTORS_FOR_PIPES 16 /* one in so many */

static gint n_pipes; /* atomic: how many there are */

static guint
find_most_pipes(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    return (guint)MIN(limit.rlim_cur / DESCRIPTORS_FOR_PIPES / 2, MAX_PIPES);
}

static gboolean
count_one(void)
{
    static gsize most; /* and one more, since 0 is not known yet */

    if (g_once_init_enter(&most))
        g_once_init_leave(&most, (gsize)find_most_pipes() + 1);
    if (g_atomic_int_add(&n_pipes, 1) < (gint)most - 1)
        return TRUE;
    g_atomic_int_add(&n_pipes, -1);
    return FALSE;
}

/* As large as the system lets it be (/proc/sys/fs/pipe-max-size); where it does not even tell,
 * nothing is taken for granted. */
static gsize
enlarge(int fd)
{
    int size = -1;

    for (int wanted = LARGEST_PIPE; size < 0 && wanted > SMALLEST_PIPE; wanted /= 2)
        size = fcntl(fd, F_SETPIPE_SZ, wanted);
    if (size < 0)
        size = fcntl(fd, F_GETPIPE_SZ);
    return size > 0 ? (gsize)size : 0;
}

Pipe *
pipe_new(void)
{
    g_autoptr(Pipe) pipe = NULL;
    int ends[2];

    if (!count_one())
        return NULL;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        g_atomic_int_add(&n_pipes, -1);
        return NULL;
    }
    pipe = g_new(Pipe, 1);
    *pipe = (Pipe){ .out = ends[0], .in = ends[1], .size = enlarge(ends[1]) };
    return pipe->size >= SMALLEST_PIPE ? g_steal_pointer(&pipe) : NULL;
}

void
pipe_free(Pipe *pipe)
{
    close(pipe->in);
    close(pipe->out);
    g_free(pipe);
    g_atomic_int_add(&n_pipes, -1);
}
