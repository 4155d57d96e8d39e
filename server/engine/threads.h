/* SPDX-License-Identifier: LGPL-2.1-or-later
 * threads.h - a set of threads that come and go, and can be waited for all together. */
#ifndef STRATA_THREADS_H
#define STRATA_THREADS_H

#include <glib.h>

typedef struct {
    GMutex lock;       /* guards what follows */
    GCond empty;       /* signalled when running falls to 0 */
    GCond returned;    /* signalled when a creator has its new thread */
    gboolean hurried;  /* who waits for a while shall wait no longer */
    guint running;     /* threads started and not yet at their end */
    GThread *finished; /* the last that ended; it joins the one before it */
} ThreadSet;

typedef void (*ThreadSetFunc)(gpointer data);

void thread_set_init(ThreadSet *set);

/* Joins the last thread; none may be running. */
void thread_set_clear(ThreadSet *set);

gboolean thread_set_start(ThreadSet *set, const char *name, ThreadSetFunc func, gpointer data,
                          GError **error);

/* Waits until no thread is running, or until @deadline (monotonic time; -1 for none), and joins the
 * last that ended. Returns whether none is running. */
gboolean thread_set_wait(ThreadSet *set, gint64 deadline);

/* Ends a wait that has a deadline, or the next such one. Any thread. */
void thread_set_hurry(ThreadSet *set);

#endif
