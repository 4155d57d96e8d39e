/* SPDX-License-Identifier: LGPL-2.1-or-later
 * processors.h - how many of the machine's processors a server's workers keep busy. */
#ifndef STRATA_PROCESSORS_H
#define STRATA_PROCESSORS_H

#include <glib.h>

/* Of a server, for its workers in any thread. */
typedef struct {
    gint n;       /* that the process may use; constant */
    gint n_busy;  /* atomic: workers that carry out requests, or look out for one */
    gint n_begun; /* atomic: how often one has become busy; this wraps */
} Processors;

void processors_init(Processors *processors);

static inline void
processors_enter(Processors *processors)
{
    g_atomic_int_inc(&processors->n_begun);
    g_atomic_int_inc(&processors->n_busy);
}

static inline void
processors_leave(Processors *processors)
{
    g_atomic_int_add(&processors->n_busy, -1);
}

/* Whether a client of this machine may have a processor for itself while the busy workers have
 * theirs. */
static inline gboolean
processors_has_spare(const Processors *processors)
{
    return g_atomic_int_get(&processors->n_busy) < processors->n;
}

#endif
