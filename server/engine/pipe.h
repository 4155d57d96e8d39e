/* SPDX-License-Identifier: LGPL-2.1-or-later
 * pipe.h - a pipe through which pages go from files to a socket without being copied. */
#ifndef STRATA_PIPE_H
#define STRATA_PIPE_H

#include <glib.h>

/* What a pipe holds are pages of the system's cache, which are nobody's memory; but they stay there
 * while it does, and so a request that has one takes as much from the account as for a buffer. */
typedef struct {
    int in, out; /* owned: for writing, for reading */
    gsize size;  /* bytes that it can hold, if they begin where a page does */
} Pipe;

/* NULL where there are many already, or the system does not give one that is worth it. */
Pipe *pipe_new(void);
void pipe_free(Pipe *pipe);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pipe, pipe_free)

#endif
