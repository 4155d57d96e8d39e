/* SPDX-License-Identifier: LGPL-2.1-or-later
 * read-ahead.c - tables that will be needed soon, fetched into a graph's cache by a thread of their
 * own.
 *
 * It fetches as the one who needs a table would, through seek_slice(), so all that the cache
 * promises holds: who comes while a table is being fetched waits for that, and what is fetched
 * while the cache is cleared is not kept. Where the system has the files in its memory, the copying
 * goes on beside other work; where it has not, storage is told of all tables as soon as one has to
 * be waited for.
 *
 * The thread begins with the first tables that are asked for, and ends when nobody has asked for a
 * while. It has no reference to the graph, which waits for it before it is freed; and nothing that
 * it calls takes one (walk.h), or it might be the last to have one, and wait for itself. */
#include "read-ahead.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include <strata/read.h>

#include "node.h"

#define IDLE_USEC (1 * G_USEC_PER_SEC)

typedef struct {
    ReadAheadTable table;
    gboolean is_announced; /* to its storage */
} Wish;

struct _ReadAhead {
    GMutex lock;                 /* guards all of this; held for no fetch */
    GCond asked;                 /* there is something to do, or the end has come */
    Wish wishes[READ_AHEAD_MAX]; /* the next one first */
    guint n_wishes;
    GThread *thread;     /* (nullable) to be joined */
    gboolean is_running; /* it will look at .wishes again */
    gboolean is_ending;
};

ReadAhead *
read_ahead_new(void)
{
    ReadAhead *ahead = g_new0(ReadAhead, 1);

    g_mutex_init(&ahead->lock);
    g_cond_init(&ahead->asked);
    return ahead;
}

void
read_ahead_rest(ReadAhead *ahead)
{
    g_mutex_lock(&ahead->lock);
    ahead->is_ending = TRUE;
    ahead->n_wishes = 0;
    g_cond_signal(&ahead->asked);
    g_mutex_unlock(&ahead->lock);
    /* Nobody else has the graph: nobody starts another one. */
    g_clear_pointer(&ahead->thread, g_thread_join);
    ahead->is_ending = FALSE;
}

void
read_ahead_free(ReadAhead *ahead)
{
    read_ahead_rest(ahead);
    g_mutex_clear(&ahead->lock);
    g_cond_clear(&ahead->asked);
    g_free(ahead);
}

/* -- The thread -- */

/* With the lock held, which is free while there is nothing. FALSE: nobody has asked for long. */
static gboolean
wait_for_wish(ReadAhead *ahead)
{
    gint64 end = g_get_monotonic_time() + IDLE_USEC;

    while (ahead->n_wishes == 0 && !ahead->is_ending)
        if (!g_cond_wait_until(&ahead->asked, &ahead->lock, end))
            break;
    return ahead->n_wishes > 0;
}

/* With the lock held. */
static ReadAheadTable
take_wish(ReadAhead *ahead)
{
    ReadAheadTable table = ahead->wishes[0].table;

    ahead->n_wishes--;
    memmove(&ahead->wishes[0], &ahead->wishes[1], ahead->n_wishes * sizeof *ahead->wishes);
    return table;
}

/* A failure is left to who needs the table: he meets it again. */
static void
fetch(const ReadAheadTable *table)
{
    StrataNode *node = table->node;
    g_auto(StrataSlice) slice = { 0 };

    node->driver->seek_slice(node, &slice, table->offset, node->size, NULL);
}

static guint
take_unannounced(ReadAhead *ahead, ReadAheadTable *tables)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ahead->lock);
    guint n = 0;

    for (guint i = 0; i < ahead->n_wishes; i++) {
        if (ahead->wishes[i].is_announced)
            continue;
        ahead->wishes[i].is_announced = TRUE;
        tables[n++] = ahead->wishes[i].table;
    }
    return n;
}

/* StrataWaitHook: a table is not in the system's memory, and so will be those that follow. They are
 * read while the first is waited for, as many at a time as storage likes. */
static void
announce_wishes(gpointer data)
{
    ReadAheadTable tables[READ_AHEAD_MAX];
    guint n = take_unannounced(data, tables);

    for (guint i = 0; i < n; i++)
        if (tables[i].node->driver->prefetch_slice)
            tables[i].node->driver->prefetch_slice(tables[i].node, tables[i].offset);
}

static gpointer
run(gpointer data)
{
    ReadAhead *ahead = data;

    table_cache_fill_ahead();
    strata_set_wait_hook(announce_wishes, ahead);
    g_mutex_lock(&ahead->lock);
    while (wait_for_wish(ahead)) {
        ReadAheadTable table = take_wish(ahead);

        g_mutex_unlock(&ahead->lock);
        fetch(&table);
        g_mutex_lock(&ahead->lock);
    }
    ahead->is_running = FALSE;
    g_mutex_unlock(&ahead->lock);
    return NULL;
}

/* -- Those who ask. With the lock held -- */

/* The program's signals are for its own threads. */
static GThread *
new_thread(ReadAhead *ahead)
{
    sigset_t all, before;
    GThread *thread;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread = g_thread_try_new("read-ahead", run, ahead, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return thread;
}

static gboolean
make_run(ReadAhead *ahead)
{
    if (ahead->is_running)
        return TRUE;
    g_clear_pointer(&ahead->thread, g_thread_join); /* has given back the lock for good */
    ahead->thread = new_thread(ahead);
    ahead->is_running = ahead->thread != NULL;
    return ahead->is_running;
}

static void
drop_passed(ReadAhead *ahead, gconstpointer asker, guint64 passed)
{
    guint n = 0;

    for (guint i = 0; i < ahead->n_wishes; i++)
        if (ahead->wishes[i].table.asker != asker || ahead->wishes[i].table.at >= passed)
            ahead->wishes[n++] = ahead->wishes[i];
    ahead->n_wishes = n;
}

void
read_ahead_ask(ReadAhead *ahead, gconstpointer asker, guint64 passed, const ReadAheadTable *tables,
               gsize n_tables)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ahead->lock);

    drop_passed(ahead, asker, passed);
    if (n_tables == 0 || !make_run(ahead))
        return;
    for (gsize i = 0; i < n_tables && ahead->n_wishes < READ_AHEAD_MAX; i++)
        ahead->wishes[ahead->n_wishes++] = (Wish){ .table = tables[i] };
    g_cond_signal(&ahead->asked);
}
