/* SPDX-License-Identifier: LGPL-2.1-or-later
 * stop.c - the end of serving, and a signal that comes meanwhile. */
#include "stop.h"

#include <glib-unix.h>
#include <signal.h>

typedef struct {
    StrataEngine *engine;
    gint done;        /* atomic */
    gboolean stopped; /* the thread's until it is joined */
} Stop;

static gpointer
stop_in_thread(gpointer data)
{
    Stop *stop = data;

    stop->stopped = strata_engine_stop(stop->engine);
    g_atomic_int_set(&stop->done, TRUE);
    g_main_context_wakeup(NULL);
    return NULL;
}

static gboolean
hurry(gpointer engine)
{
    strata_engine_hurry(engine);
    return G_SOURCE_CONTINUE;
}

gboolean
stop_engine(StrataEngine *engine)
{
    Stop stop = { .engine = engine };
    guint on_term = g_unix_signal_add(SIGTERM, hurry, engine);
    guint on_int = g_unix_signal_add(SIGINT, hurry, engine);
    GThread *thread = g_thread_try_new("stop", stop_in_thread, &stop, NULL);

    if (thread != NULL) {
        while (!g_atomic_int_get(&stop.done))
            g_main_context_iteration(NULL, TRUE);
        g_thread_join(thread);
    } else {
        stop.stopped = strata_engine_stop(engine);
    }
    g_source_remove(on_term);
    g_source_remove(on_int);
    return stop.stopped;
}
