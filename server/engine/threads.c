/* SPDX-License-Identifier: LGPL-2.1-or-later
 * threads.c - a set of threads that come and go.
 *
 * A thread that has done its work looks for more by itself, if there is a way. Otherwise it parks
 * for a while, and takes the next work that is started. Who starts work sets it before the thread
 * is woken, so that no work is lost between a parked thread's last look and its end: it unlinks
 * itself, under the lock, only while it has none.
 *
 * An ended thread keeps its stack until somebody joins it. Here each joins the one that ended
 * before it, so that at most one waits to be joined, however many there have been. GLib still
 * writes to a new thread's record after the thread runs, so a thread may only be joined once
 * g_thread_try_new() has returned to its creator: until then it does not offer itself. Nor does it
 * where nobody waits for those that are left. */
#include "threads.h"

#include "signals.h"

#define PARK_USEC (500 * G_TIME_SPAN_MILLISECOND)

typedef struct {
    ThreadSet *set;
    GCond wake; /* signalled when there is work, and when the set ends */
    GList link; /* in set->parked */

    /* Guarded by set->lock, but for the work of a thread that is not parked, which is its own. */
    ThreadSetFunc func; /* NULL: none */
    gpointer data;
    gboolean returned; /* the creator has what g_thread_try_new() returns */
} Member;

static Member *
member_new(ThreadSet *set, ThreadSetFunc func, gpointer data)
{
    Member *member = g_new0(Member, 1);

    member->set = set;
    member->func = func;
    member->data = data;
    member->link.data = member;
    g_cond_init(&member->wake);
    return member;
}

static void
member_free(Member *member)
{
    g_cond_clear(&member->wake);
    g_free(member);
}

void
thread_set_init(ThreadSet *set)
{
    *set = (ThreadSet){ .n_threads = 0 };
    g_mutex_init(&set->lock);
    g_cond_init(&set->empty);
    g_cond_init(&set->returned);
    g_queue_init(&set->parked);
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

/* Waits for more work. Returns FALSE if the thread is not needed any more. */
static gboolean
park(Member *member)
{
    ThreadSet *set = member->set;
    gint64 deadline = g_get_monotonic_time() + PARK_USEC;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&set->lock);

    member->func = NULL;
    if (set->ending || set->parked.length >= THREAD_SET_PARKED_MAX)
        return FALSE;
    g_queue_push_head_link(&set->parked, &member->link);
    while (member->func == NULL && !set->ending)
        if (!g_cond_wait_until(&member->wake, &set->lock, deadline))
            break;
    if (member->func == NULL)
        g_queue_unlink(&set->parked, &member->link);
    return member->func != NULL;
}

static gboolean
seek(Member *member)
{
    ThreadSet *set = member->set;

    return set->seek != NULL && set->seek(&member->func, &member->data, set->seek_data);
}

/* The last thing that a thread does; it must not touch the set after the lock is open. */
static void
leave(const Member *member)
{
    ThreadSet *set = member->set;
    GThread *previous;

    g_mutex_lock(&set->lock);
    while (!member->returned)
        g_cond_wait(&set->returned, &set->lock);
    previous = set->finished;
    set->finished = set->is_left ? NULL : g_thread_self();
    if (set->is_left)
        g_thread_unref(g_thread_self()); /* the reference of who would have joined it */
    if (--set->n_threads == 0)
        g_cond_broadcast(&set->empty);
    g_mutex_unlock(&set->lock);
    if (previous != NULL)
        g_thread_join(previous);
}

static gpointer
run(gpointer data)
{
    Member *member = data;

    signals_leave_to_main();
    do
        member->func(member->data);
    while (seek(member) || park(member));
    leave(member);
    member_free(member);
    return NULL;
}

/* Gives the work to the thread that parked last, if any. */
static gboolean
start_parked(ThreadSet *set, ThreadSetFunc func, gpointer data)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&set->lock);
    GList *link = g_queue_pop_head_link(&set->parked);
    Member *member = link != NULL ? link->data : NULL;

    if (member == NULL)
        return FALSE;
    member->data = data;
    member->func = func;
    g_cond_signal(&member->wake);
    return TRUE;
}

static void
count_one(ThreadSet *set, gint change)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&set->lock);

    set->n_threads += (guint)change;
    if (set->n_threads == 0)
        g_cond_broadcast(&set->empty);
}

/* The thread frees @member at its end, which it can come to from here on. */
static void
let_end(Member *member)
{
    ThreadSet *set = member->set;

    g_mutex_lock(&set->lock);
    member->returned = TRUE;
    g_cond_broadcast(&set->returned);
    g_mutex_unlock(&set->lock);
}

gboolean
thread_set_start(ThreadSet *set, ThreadSetFunc func, gpointer data, GError **error)
{
    Member *member;

    if (start_parked(set, func, data))
        return TRUE;
    member = member_new(set, func, data);
    count_one(set, 1);
    if (g_thread_try_new("client", run, member, error) == NULL) {
        count_one(set, -1);
        member_free(member);
        return FALSE;
    }
    let_end(member);
    return TRUE;
}

/* Those who are parked leave at once, and whether there are others is all that a wait is about.
 * With the lock held. */
static void
send_home(ThreadSet *set)
{
    set->ending = TRUE;
    for (const GList *link = set->parked.head; link != NULL; link = link->next)
        g_cond_signal(&((Member *)link->data)->wake);
}

gboolean
thread_set_wait(ThreadSet *set, gint64 deadline)
{
    GThread *finished;
    gboolean is_empty;

    g_mutex_lock(&set->lock);
    send_home(set);
    set->is_left = FALSE;
    while (set->n_threads > 0)
        if (deadline < 0 || set->n_threads == set->parked.length)
            g_cond_wait(&set->empty, &set->lock);
        else if (set->hurried || !g_cond_wait_until(&set->empty, &set->lock, deadline))
            break;
    set->hurried = FALSE;
    is_empty = set->n_threads == 0;
    set->is_left = !is_empty;
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
