/* SPDX-License-Identifier: LGPL-2.1-or-later
 * threads.h - a set of threads that come and go, and can be waited for all together. */
#ifndef STRATA_THREADS_H
#define STRATA_THREADS_H

#include <glib.h>

/* So many threads stay for a while when they have nothing to do: starting one costs as much as all
 * else that a short connection needs. */
#define THREAD_SET_PARKED_MAX 8

typedef void (*ThreadSetFunc)(gpointer data);

/* Work that a thread finds for itself when it has none; it may wait for it. Returns FALSE if there
 * is none, and the thread parks. */
typedef gboolean (*ThreadSetSeekFunc)(ThreadSetFunc *out_func, gpointer *out_data,
                                      gpointer seek_data);

typedef struct {
    ThreadSetSeekFunc seek; /* constant once there are threads; NULL: none */
    gpointer seek_data;

    GMutex lock;       /* guards what follows */
    GCond empty;       /* signalled when n_threads falls to 0 */
    GCond returned;    /* signalled when a creator has its new thread */
    gboolean hurried;  /* who waits for a while shall wait no longer */
    gboolean ending;   /* nobody parks any more */
    gboolean is_left;  /* who waited has given up, and joins nobody unless it waits again */
    guint n_threads;   /* started and not yet at their end */
    GQueue parked;     /* of these (threads.c), the last that parked first: its stack is warm */
    GThread *finished; /* the last that ended; it joins the one before it */
} ThreadSet;

void thread_set_init(ThreadSet *set);

/* Joins the last thread; none may be left. */
void thread_set_clear(ThreadSet *set);

/* Runs @func on a thread that is parked, or else on a new one: whatever @func changes of its thread
 * it has to put back, but for signals that it blocks. */
gboolean thread_set_start(ThreadSet *set, ThreadSetFunc func, gpointer data, GError **error);

/* Waits until all have returned from what they were started for or found for themselves, or until
 * @deadline (monotonic time; -1 for none), and joins the last that ended. From then on no thread
 * parks. Returns whether none is left. */
gboolean thread_set_wait(ThreadSet *set, gint64 deadline);

/* Ends a wait that has a deadline, or the next such one. Any thread. */
void thread_set_hurry(ThreadSet *set);

#endif
