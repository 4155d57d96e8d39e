/* SPDX-License-Identifier: LGPL-2.1-or-later
 * busy-poll.h - looking out for the next request for some microseconds before falling asleep.
 *
 * A worker that sleeps has to be woken, for which its client pays, and if the processor has fallen
 * asleep with it, both do: in a virtual machine that costs more than a dozen small requests. A
 * client that waits for its answers sends again within microseconds of having them. So a worker
 * that has sent answers looks for a while whether more comes, as long as a processor is to spare:
 * for the client, and for the workers of others that have begun since this one last looked out and
 * will again. These may have been woken already, and wait for the processor that a look-out would
 * keep.
 *
 * Where that was in vain, it is not done the next time, and after each further time in vain not for
 * twice as many times: a client that asks now and then costs next to nothing. */
#ifndef STRATA_BUSY_POLL_H
#define STRATA_BUSY_POLL_H

#include "processors.h"

/* About what it costs to sleep: between two processes that sleep, a byte takes 60 us there and back
 * (docs/performance.md). */
#define BUSY_POLL_USEC 50

/* How many times it is left out at most. */
#define BUSY_POLL_MOST_SKIPPED 63

/* Of one connection, for who has the turn to read. All zero at first. */
typedef struct {
    guint to_skip; /* it is left out so many times from here on */
    guint in_vain; /* what .to_skip was set to the last time, halved whenever something came */
    guint n_begun; /* of the processors the last time, and how often this one has begun since */
} BusyPoll;

/* Its worker becomes busy. */
static inline void
busy_poll_enter(BusyPoll *poll, Processors *processors)
{
    poll->n_begun++;
    processors_enter(processors);
}

/* Whether something has come; takes it in. */
typedef gboolean (*BusyPollFunc)(gpointer data);

/* Calls @look until it returns TRUE, for up to @usec. Returns whether it did. */
gboolean busy_poll(BusyPoll *poll, const Processors *processors, guint usec, BusyPollFunc look,
                   gpointer data);

#endif
