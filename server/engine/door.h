/* SPDX-License-Identifier: LGPL-2.1-or-later
 * door.h - how fast a listener lets in clients that come to nothing, whoever they are.
 *
 * Each connection costs a token, which it gives back when it reaches the transmission phase: who
 * comes to be served is not slowed. While there is no token the listener rests, and the system's
 * queue of connections makes its clients wait, good ones too; so this is for floods that would take
 * the processor from those that are served. One client alone is held off before (crowd.h). */
#ifndef STRATA_DOOR_H
#define STRATA_DOOR_H

#include "tokens.h"

#define DOOR_TOKENS_MAX        8000
#define DOOR_TOKENS_PER_SECOND 32000

typedef struct {
    GMutex lock; /* guards what follows */
    Tokens tokens;
    gint64 rests_until; /* monotonic, in microseconds */
} Door;

void door_init(Door *door);
void door_clear(Door *door);

/* When a client may come in: @now or earlier if one may come at once. */
gint64 door_opens_at(Door *door, gint64 now);

void door_take_token(Door *door);
void door_give_back(Door *door);

#endif
