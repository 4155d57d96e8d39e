/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-reader.h - one connection that reads with a number of requests in flight.
 *
 * A reader is one thread's; what it was given may be shared. */
#ifndef STRATA_CLIENT_READER_H
#define STRATA_CLIENT_READER_H

#include "client-clock.h"
#include "client-content.h"
#include "client-latency.h"
#include "client-session.h"

#define READER_MAX_DEPTH WIRE_REQUESTS

/* What all readers have in common. */
typedef struct {
    guint64 bytes; /* of a request */
    guint depth;
    gboolean is_random, dont_fragment, has_digest;
    const ContentFile *file; /* to compare with; NULL: none */
    const Clock *clock;
} ReaderPlan;

/* A request in flight, or a place for one. */
typedef struct {
    guint64 cookie, offset, length;
    gint64 sent_at;
    GArray *told; /* ReaderPiece, by offset: what has been told so far, neighbours put together */
    guint n_chunks;
    gboolean is_used;
} ReaderSlot;

typedef struct {
    Session session;
    const ReaderPlan *plan;
    guint64 begin, end; /* the part of the export that is read */
    guint64 next;       /* offset of the next sequential request */
    guint64 state;      /* of the random numbers */
    guint64 n_wanted;   /* requests; 0: until the clock says so */
    guint64 n_sent, n_done;
    guint64 n_bytes, n_hole_bytes, n_chunks;
    ContentDigest digest;
    Latency latency;
    ReaderSlot slots[READER_MAX_DEPTH];
} Reader;

/* Runs a connected reader until it has done what it wants. */
void reader_run(Reader *reader);

#endif
