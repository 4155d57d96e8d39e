/* SPDX-License-Identifier: LGPL-2.1-or-later
 * crowd.h - how many connections there are, in all and of each peer, and how fast a peer may come
 * anew.
 *
 * Each connection costs its peer a token, which it gives back when it reaches the transmission
 * phase: a peer whose connections come to nothing is turned away for a while, others are not. There
 * are always as many kinds of tokens, whoever comes, so that a client with many addresses takes no
 * memory: peers whose keys have the same hash share, and which do is not the same in the next
 * server. */
#ifndef STRATA_CROWD_H
#define STRATA_CROWD_H

#include "engine.h"
#include "observe/counters.h"
#include "peer.h"
#include "tokens.h"

#define CROWD_TOKENS_MAX        1000
#define CROWD_TOKENS_PER_SECOND 500
#define CROWD_KINDS             4096

/* Not locked: who owns it does that. */
typedef struct {
    const StrataEngineLimits *limits;
    guint n_connections;
    GHashTable *peers; /* key of the peer (owned) to the number of its connections */
    guint32 seed;      /* of the hash that finds a peer's tokens */
    Tokens tokens[CROWD_KINDS];
} Crowd;

/* Returns: (transfer full): what counts as one peer, for people too */
char *crowd_make_key(const Peer *peer);

void crowd_init(Crowd *crowd, const StrataEngineLimits *limits);
void crowd_clear(Crowd *crowd);

/* Counts one connection more of @peer and returns REFUSED_NONE; or why there cannot be one more,
 * with a sentence (transfer full) that tells which option says so. @now: monotonic */
RefusedReason crowd_enter(Crowd *crowd, const Peer *peer, gint64 now, char **out_sentence);

/* It has chosen an export: what it cost its peer is given back. */
void crowd_serve(Crowd *crowd, const Peer *peer);

void crowd_leave(Crowd *crowd, const Peer *peer);

#endif
