/* SPDX-License-Identifier: LGPL-2.1-or-later
 * scratch.h - what the workers of a connection have use for again and again, while no request has
 * it: walks, each of which remembers where it ended, and pipes. */
#ifndef STRATA_SCRATCH_H
#define STRATA_SCRATCH_H

#include "pipe.h"

#include <strata/strata.h>

/* A client that asks for the map and reads in between finds both walks where it left them. */
typedef enum {
    WALK_FOR_STATUS,
    WALK_FOR_READS,
    WALK_KINDS,
} WalkKind;

typedef struct {
    GMutex lock;                  /* guards what follows */
    GPtrArray *walks[WALK_KINDS]; /* StrataWalk, last used last */
    GPtrArray *pipes;             /* Pipe, empty, likewise */
} Scratch;

void scratch_init(Scratch *scratch);
void scratch_clear(Scratch *scratch);

/* Each of the last used ones that is there, or a new one; NULL where no pipe can be had. */
StrataWalk *scratch_take_walk(Scratch *scratch, WalkKind kind, StrataNode *node);
Pipe *scratch_take_pipe(Scratch *scratch);

/* Back, to be kept if there are few. */
void scratch_put_walk(Scratch *scratch, WalkKind kind, StrataWalk *walk);
void scratch_put_pipe(Scratch *scratch, Pipe *pipe);

/* Frees what is there: the connection is idle. */
void scratch_drop(Scratch *scratch);

#endif
