/* SPDX-License-Identifier: LGPL-2.1-or-later
 * open-graphs.c - a table of the graphs that are opened on demand.
 *
 * An entry stands in the table for as long as others may join it. It is withdrawn when it could not
 * be opened, when its files were replaced, or when it is closed; those who have joined keep it. */
#include "open-graphs.h"

/* How often a graph is opened anew because its files are not those that the names lead to now. Who
 * replaces files faster than that gets one of them. */
#define MAX_TRIES 3

struct _OpenGraph {
    OpenGraphs *owner;
    char *key;
    guint64 number;
    OpenGraph *below; /* (nullable) owned */
    guint linger_seconds;
    guint users;       /* those who wait for it too */
    gint64 close_time; /* while idle: monotonic, in microseconds */

    /* Set once, by the one who opens it; until then both are NULL. */
    StrataGraph *graph;
    GError *error;
};

guint64
open_graphs_make_number(void)
{
    static GMutex lock; /* guards last */
    static guint64 last;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&lock);

    return ++last;
}

void
open_graphs_init(OpenGraphs *graphs)
{
    *graphs = (OpenGraphs){ .table = g_hash_table_new(g_str_hash, g_str_equal) };
    g_mutex_init(&graphs->lock);
    g_cond_init(&graphs->settled);
    g_cond_init(&graphs->changed);
}

/* Called with the lock held. Who comes later makes a new entry. */
static void
withdraw(OpenGraph *open)
{
    if (g_hash_table_lookup(open->owner->table, open->key) == open)
        g_hash_table_remove(open->owner->table, open->key);
}

/* Called without the lock, for an entry without users that stands nowhere. */
static void
close_graph(OpenGraph *open)
{
    OpenGraphs *graphs = open->owner;

    g_clear_pointer(&open->graph, strata_graph_unref);
    g_clear_pointer(&open->below, open_graph_release);
    g_clear_error(&open->error);
    g_free(open->key);
    g_free(open);
    g_mutex_lock(&graphs->lock);
    graphs->n_open--;
    g_mutex_unlock(&graphs->lock);
}

/* Called with the lock held. Returns: (transfer full) (nullable): the one that has been idle for
 * longest */
static OpenGraph *
take_idle(OpenGraphs *graphs)
{
    OpenGraph *open = g_queue_pop_head(&graphs->idle);

    if (open != NULL)
        withdraw(open);
    return open;
}

/* Returns: (transfer full): an idle graph whose time has come; NULL when the thread is to end */
static OpenGraph *
wait_for_idle(OpenGraphs *graphs)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&graphs->lock);

    while (!graphs->stopping) {
        const OpenGraph *first = g_queue_peek_head(&graphs->idle);

        if (first == NULL)
            g_cond_wait(&graphs->changed, &graphs->lock);
        else if (first->close_time <= g_get_monotonic_time())
            return take_idle(graphs);
        else
            g_cond_wait_until(&graphs->changed, &graphs->lock, first->close_time);
    }
    return NULL;
}

static gpointer
close_idle(gpointer data)
{
    OpenGraph *open;

    while ((open = wait_for_idle(data)) != NULL)
        close_graph(open);
    return NULL;
}

void
open_graphs_clear(OpenGraphs *graphs)
{
    OpenGraph *open;

    g_mutex_lock(&graphs->lock);
    graphs->stopping = TRUE;
    g_cond_signal(&graphs->changed);
    g_mutex_unlock(&graphs->lock);
    if (graphs->closer != NULL)
        g_thread_join(graphs->closer);
    while ((open = take_idle(graphs)) != NULL)
        close_graph(open);
    g_hash_table_unref(graphs->table);
    g_cond_clear(&graphs->changed);
    g_cond_clear(&graphs->settled);
    g_mutex_clear(&graphs->lock);
}

/* Called with the lock held. */
static OpenGraph *
add_entry(OpenGraphs *graphs, const GraphSource *source)
{
    OpenGraph *open = g_new0(OpenGraph, 1);

    open->owner = graphs;
    open->key = g_strdup(source->key);
    open->linger_seconds = source->linger_seconds;
    if (source->below != NULL) {
        source->below->users++;
        open->below = source->below;
    }
    graphs->n_open++;
    g_hash_table_insert(graphs->table, open->key, open);
    return open;
}

/* Called with the lock held. Returns: (transfer full): a share in the entry of @source; NULL when
 * too many are open. @out_is_new: the caller is to open it; @out_evicted (nullable): to close */
static OpenGraph *
join(OpenGraphs *graphs, const GraphSource *source, gboolean *out_is_new, OpenGraph **out_evicted)
{
    OpenGraph *open = g_hash_table_lookup(graphs->table, source->key);

    *out_evicted = NULL;
    *out_is_new = open == NULL;
    if (open == NULL) {
        if (graphs->n_open >= OPEN_GRAPHS_MAX)
            *out_evicted = take_idle(graphs);
        if (graphs->n_open >= OPEN_GRAPHS_MAX && *out_evicted == NULL)
            return NULL;
        open = add_entry(graphs, source);
    } else if (open->users == 0) {
        g_queue_remove(&graphs->idle, open);
    }
    open->users++;
    return open;
}

static void
open_for_all(OpenGraph *open, const GraphSource *source)
{
    GError *error = NULL;
    StrataGraph *graph = source->open(source->data, &error);
    guint64 number = open_graphs_make_number();
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&open->owner->lock);

    open->number = number;
    open->graph = graph;
    open->error = error;
    if (graph == NULL)
        withdraw(open);
    g_cond_broadcast(&open->owner->settled);
}

static void
wait_until_settled(OpenGraph *open)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&open->owner->lock);

    while (open->graph == NULL && open->error == NULL)
        g_cond_wait(&open->owner->settled, &open->owner->lock);
}

/* Opens or joins. @out_is_new: nobody had it open before */
static OpenGraph *
acquire_any(OpenGraphs *graphs, const GraphSource *source, gboolean *out_is_new, GError **error)
{
    OpenGraph *open, *evicted;

    g_mutex_lock(&graphs->lock);
    open = join(graphs, source, out_is_new, &evicted);
    g_mutex_unlock(&graphs->lock);

    if (evicted != NULL)
        close_graph(evicted);
    if (open == NULL) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT,
                    "%d images that are opened on demand are in use, which is the limit; try again "
                    "when a client has left",
                    OPEN_GRAPHS_MAX);
        return NULL;
    }
    if (*out_is_new)
        open_for_all(open, source);
    else
        wait_until_settled(open);
    if (open->graph != NULL)
        return open;
    g_propagate_error(error, g_error_copy(open->error));
    open_graph_release(open);
    return NULL;
}

/* Leaves an entry to those who have it, for its files were replaced. */
static void
leave_behind(OpenGraph *open)
{
    g_mutex_lock(&open->owner->lock);
    withdraw(open);
    g_mutex_unlock(&open->owner->lock);
    open_graph_release(open);
}

OpenGraph *
open_graphs_acquire(OpenGraphs *graphs, const GraphSource *source, GError **error)
{
    for (guint i = 1;; i++) {
        gboolean is_new;
        OpenGraph *open = acquire_any(graphs, source, &is_new, error);

        if (open == NULL || is_new || !source->is_by_name || i == MAX_TRIES ||
            strata_graph_is_current(open->graph))
            return open;
        leave_behind(open);
    }
}

/* Called with the lock held. Returns whether there is somebody who closes it later. */
static gboolean
make_idle(OpenGraph *open)
{
    OpenGraphs *graphs = open->owner;

    if (open->graph == NULL || open->linger_seconds == 0 || graphs->stopping ||
        g_hash_table_lookup(graphs->table, open->key) != open)
        return FALSE;
    if (graphs->closer == NULL)
        graphs->closer = g_thread_try_new("close-idle", close_idle, graphs, NULL);
    if (graphs->closer == NULL)
        return FALSE;
    open->close_time = g_get_monotonic_time() + open->linger_seconds * G_USEC_PER_SEC;
    g_queue_push_tail(&graphs->idle, open);
    g_cond_signal(&graphs->changed);
    return TRUE;
}

void
open_graph_release(OpenGraph *open)
{
    OpenGraphs *graphs = open->owner;
    gboolean is_last;

    g_mutex_lock(&graphs->lock);
    is_last = --open->users == 0 && !make_idle(open);
    if (is_last)
        withdraw(open);
    g_mutex_unlock(&graphs->lock);
    if (is_last)
        close_graph(open);
}

StrataGraph *
open_graph_get_graph(OpenGraph *open)
{
    return open->graph;
}

guint64
open_graph_get_number(OpenGraph *open)
{
    return open->number;
}
