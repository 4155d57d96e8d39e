/* SPDX-License-Identifier: LGPL-2.1-or-later
 * reloader.c - one thread that works when it is asked to, and is waited for at the end. */
#include "reloader.h"

#define STOP_SECONDS 2

struct _Reloader {
    void (*work)(gpointer data);
    gpointer work_data;

    GMutex lock; /* guards what follows; never held while the work is done */
    GCond ended; /* signalled when .thread is about to end */
    GThread *thread;
    gboolean is_busy;
    gboolean again; /* it was asked for once more meanwhile */
    void (*done)(gpointer data);
    gpointer done_data;
};

Reloader *
reloader_new(void (*work)(gpointer data), gpointer data)
{
    Reloader *reloader = g_new0(Reloader, 1);

    reloader->work = work;
    reloader->work_data = data;
    g_mutex_init(&reloader->lock);
    g_cond_init(&reloader->ended);
    return reloader;
}

static gboolean
tell_done(gpointer data)
{
    Reloader *reloader = data;

    if (reloader->done != NULL)
        reloader->done(reloader->done_data);
    return G_SOURCE_REMOVE;
}

static gboolean
is_asked_again(Reloader *reloader)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&reloader->lock);
    gboolean again = reloader->again;

    reloader->again = FALSE;
    reloader->is_busy = again;
    if (!again)
        g_cond_signal(&reloader->ended);
    return again;
}

static gpointer
run(gpointer data)
{
    Reloader *reloader = data;

    do {
        reloader->work(reloader->work_data);
    } while (is_asked_again(reloader));
    g_idle_add(tell_done, reloader);
    return NULL;
}

gboolean
reloader_start(Reloader *reloader, void (*done)(gpointer data), gpointer data, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&reloader->lock);

    reloader->again = reloader->is_busy;
    if (reloader->is_busy)
        return TRUE;
    g_clear_pointer(&reloader->thread, g_thread_join);
    reloader->done = done;
    reloader->done_data = data;
    reloader->thread = g_thread_try_new("reload", run, reloader, error);
    reloader->is_busy = reloader->thread != NULL;
    if (!reloader->is_busy)
        g_idle_add(tell_done, reloader);
    return reloader->is_busy;
}

gboolean
reloader_stop(Reloader *reloader)
{
    gint64 end = g_get_monotonic_time() + STOP_SECONDS * G_USEC_PER_SEC;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&reloader->lock);

    reloader->again = FALSE;
    while (reloader->is_busy)
        if (!g_cond_wait_until(&reloader->ended, &reloader->lock, end))
            return FALSE;
    return TRUE;
}

void
reloader_free(Reloader *reloader)
{
    g_clear_pointer(&reloader->thread, g_thread_join);
    g_idle_remove_by_data(reloader);
    g_cond_clear(&reloader->ended);
    g_mutex_clear(&reloader->lock);
    g_free(reloader);
}
