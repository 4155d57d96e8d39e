/* SPDX-License-Identifier: LGPL-2.1-or-later
 * signals.h - whose signals are whose. */
#ifndef STRATA_SIGNALS_H
#define STRATA_SIGNALS_H

#include <glib.h>
#include <signal.h>

/* Called by a thread when it begins: what somebody sends to the process is not for it, but for the
 * main thread, which waits for that. */
static inline void
signals_leave_to_main(void)
{
    static const int numbers[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
    sigset_t set;

    sigemptyset(&set);
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++)
        sigaddset(&set, numbers[i]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

#endif
