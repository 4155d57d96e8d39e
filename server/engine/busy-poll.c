/* SPDX-License-Identifier: LGPL-2.1-or-later
 * busy-poll.c - looking out for the next request before falling asleep. */
#include "busy-poll.h"

static gboolean
is_due(BusyPoll *poll)
{
    if (poll->to_skip == 0)
        return TRUE;
    poll->to_skip--;
    return FALSE;
}

/* Whether there is a processor for each of those who want one, and for a client. */
static gboolean
has_room(BusyPoll *poll, const Processors *processors)
{
    guint n_begun = (guint)g_atomic_int_get(&processors->n_begun);
    guint n_others = n_begun - poll->n_begun;
    gint n_free = processors->n - g_atomic_int_get(&processors->n_busy);

    poll->n_begun = n_begun;
    return n_free > 0 && n_others < (guint)n_free;
}

gboolean
busy_poll(BusyPoll *poll, const Processors *processors, guint usec, BusyPollFunc look,
          gpointer data)
{
    gint64 end;

    if (usec == 0 || !has_room(poll, processors) || !is_due(poll))
        return FALSE;
    end = g_get_monotonic_time() + usec;
    do {
        if (look(data)) {
            poll->in_vain /= 2;
            return TRUE;
        }
        if (!processors_has_spare(processors))
            return FALSE;
    } while (g_get_monotonic_time() < end);
    poll->in_vain = MIN(2 * poll->in_vain + 1, BUSY_POLL_MOST_SKIPPED);
    poll->to_skip = poll->in_vain;
    return FALSE;
}
