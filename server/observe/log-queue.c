/* SPDX-License-Identifier: LGPL-2.1-or-later
 * log-queue.c - lines of the log on their way out. */
#include "log-queue.h"

#include "engine/signals.h"

#define MAX_LINES 1000

#define PATIENCE_USEC (200 * G_TIME_SPAN_MILLISECOND)
#define STOP_USEC     (2 * G_TIME_SPAN_SECOND)

typedef enum {
    STATE_DIRECT,  /* who has a line writes it */
    STATE_RUNNING, /* the thread does */
    STATE_STOPPING,
    STATE_STUCK, /* the thread waits for a reader for ever: lines are dropped */
} State;

static struct {
    LogQueueWrite write; /* these are constant while there are threads */
    GDestroyNotify free_line;
    gpointer (*lost_line)(guint n);
    GThread *thread; /* of who starts and stops */

    GMutex lock; /* guards what follows; held while writing in STATE_DIRECT alone */
    GCond put;   /* signalled when there is a line, or nothing more to wait for */
    GCond gone;  /* signalled when a line is written */
    State state;
    GQueue lines;
    guint64 n_put, n_written;
    guint n_lost;     /* since the last line */
    gboolean is_slow; /* nobody reads fast enough to be waited for */
} queue;

void
log_queue_init(LogQueueWrite write, GDestroyNotify free_line, gpointer (*lost_line)(guint n))
{
    queue.write = write;
    queue.free_line = free_line;
    queue.lost_line = lost_line;
}

static void
write_line(gpointer line)
{
    queue.write(line);
    queue.free_line(line);
}

/* The next ones with the lock held. */
static void
push(gpointer line)
{
    g_queue_push_tail(&queue.lines, line);
    queue.n_put++;
    g_cond_signal(&queue.put);
}

static void
tell_of_lost(void)
{
    if (queue.n_lost > 0)
        push(queue.lost_line(queue.n_lost));
    queue.n_lost = 0;
}

static void
wait_for_line(guint64 number)
{
    gint64 deadline = g_get_monotonic_time() + PATIENCE_USEC;

    while (queue.n_written < number && !queue.is_slow)
        if (!g_cond_wait_until(&queue.gone, &queue.lock, deadline))
            queue.is_slow = TRUE;
}

static void
enqueue(gpointer line)
{
    if (queue.state == STATE_STUCK || queue.lines.length >= MAX_LINES) {
        queue.n_lost++;
        queue.free_line(line);
        return;
    }
    tell_of_lost();
    push(line);
    wait_for_line(queue.n_put);
}

void
log_queue_put(gpointer line)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&queue.lock);

    if (queue.state == STATE_DIRECT)
        write_line(line);
    else
        enqueue(line);
}

static gpointer
run(gpointer data)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = NULL;

    signals_leave_to_main();
    locker = g_mutex_locker_new(&queue.lock);
    while (queue.state == STATE_RUNNING || queue.state == STATE_STOPPING ||
           queue.lines.length > 0) {
        gpointer line = g_queue_pop_head(&queue.lines);

        if (line == NULL) {
            queue.is_slow = FALSE;
            g_cond_wait(&queue.put, &queue.lock);
            continue;
        }
        g_mutex_unlock(&queue.lock);
        write_line(line);
        g_mutex_lock(&queue.lock);
        queue.n_written++;
        g_cond_broadcast(&queue.gone);
    }
    return NULL;
}

void
log_queue_start(void)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&queue.lock);

    queue.state = STATE_RUNNING;
    queue.thread = g_thread_try_new("log", run, NULL, NULL);
    if (queue.thread == NULL)
        queue.state = STATE_DIRECT;
}

/* Returns whether all was written. */
static gboolean
finish(void)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&queue.lock);
    gint64 deadline = g_get_monotonic_time() + STOP_USEC;

    tell_of_lost();
    queue.state = STATE_STOPPING;
    g_cond_signal(&queue.put);
    while (queue.n_written < queue.n_put)
        if (!g_cond_wait_until(&queue.gone, &queue.lock, deadline))
            break;
    queue.state = queue.n_written < queue.n_put ? STATE_STUCK : STATE_DIRECT;
    g_cond_signal(&queue.put); /* the thread has no more to wait for */
    return queue.state == STATE_DIRECT;
}

void
log_queue_stop(void)
{
    GThread *thread = g_steal_pointer(&queue.thread);

    if (thread == NULL)
        return;
    if (finish())
        g_thread_join(thread);
    else
        g_thread_unref(thread);
}
