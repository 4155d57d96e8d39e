/* SPDX-License-Identifier: LGPL-2.1-or-later
 * threads.c - a set of threads that come and go.
 *
 * An ended thread keeps its stack until somebody joins it. Here each joins the one that ended
 * before it, so that at most one waits to be joined, however many there have been. GLib still
 * writes to a new thread's record after the thread runs, so a thread may only be joined once
 * g_thread_try_new() has returned to its creator: until then it does not offer itself. */
#include "threads.h"

typedef struct {
    ThreadSet *set;
    ThreadSetFunc func;
    gpointer data;
    gboolean returned; /* guarded by set->lock: the creator has what g_thread_try_new() returns */
} Start;

void
thread_set_init(ThreadSet *set)
{
    g_mutex_init(&set->lock);
    g_cond_init(&set->empty);
    g_cond_init(&set->returned);
    set->hurried = FALSE;
    set->running = 0;
    set->finished = NULL;
}

void
thread_set_clear(ThreadSet *set)
{
    if (set->finished != NULL)
        g_thread_join(g_steal_pointer(&set->finished));
    g_mutex_clear(&set->lock);
    g_cond_clear(&set->empty);
    g_cond_clear(&set->returned);
}

/* The last thing that a thread does; it must not touch the set after the lock is open. */
static void
leave(const Start *start)
{
    ThreadSet *set = start->set;
    GThread *previous;

    g_mutex_lock(&set->lock);
    while (!start->returned)
        g_cond_wait(&set->returned, &set->lock);
    previous = set->finished;
    set->finished = g_thread_self();
    if (--set->running == 0)
        g_cond_broadcast(&set->empty);
    g_mutex_unlock(&set->lock);
    if (previous != NULL)
        g_thread_join(previous);
}

static gpointer
run(gpointer data)
{
    g_autofree Start *start = data;

    start->func(start->data);
    leave(start);
    return NULL;
}

static void
count_one(ThreadSet *set, gint change)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&set->lock);

    set->running += (guint)change;
    if (set->running == 0)
        g_cond_broadcast(&set->empty);
}

/* The thread frees @start at its end, which it can come to from here on. */
static void
let_end(Start *start)
{
    ThreadSet *set = start->set;

    g_mutex_lock(&set->lock);
    start->returned = TRUE;
    g_cond_broadcast(&set->returned);
    g_mutex_unlock(&set->lock);
}

gboolean
thread_set_start(ThreadSet *set, const char *name, ThreadSetFunc func, gpointer data,
                 GError **error)
{
    g_autofree Start *start = g_new(Start, 1);
    GThread *thread;

    *start = (Start){ .set = set, .func = func, .data = data };
    count_one(set, 1);
    thread = g_thread_try_new(name, run, start, error);
    if (thread == NULL) {
        count_one(set, -1);
        return FALSE;
    }
    let_end(g_steal_pointer(&start));
    return TRUE;
}

gboolean
thread_set_wait(ThreadSet *set, gint64 deadline)
{
    GThread *finished;
    gboolean is_empty;

    g_mutex_lock(&set->lock);
    while (set->running > 0)
        if (deadline < 0)
            g_cond_wait(&set->empty, &set->lock);
        else if (set->hurried || !g_cond_wait_until(&set->empty, &set->lock, deadline))
            break;
    set->hurried = FALSE;
    is_empty = set->running == 0;
    finished = g_steal_pointer(&set->finished);
    g_mutex_unlock(&set->lock);
    if (finished != NULL)
        g_thread_join(finished);
    return is_empty;
}

void
thread_set_hurry(ThreadSet *set)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&set->lock);

    set->hurried = TRUE;
    g_cond_broadcast(&set->empty);
}
