/* SPDX-License-Identifier: LGPL-2.1-or-later
 * pool.c - who carries out which request, and for how long a request without connection waits.
 *
 * A request goes to the live connection with the least to do. While there is none, requests are
 * stranded; each waits until it has been without connection for target.reconnect_usec. So does one
 * whose connections break one after the other. */
#include "nbd/pool.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "error.h"
#include "nbd/connection.h"
#include "node.h"
#include "wait.h"

/* A server that refused another connection is left alone with such wishes for so long. */
#define NO_MORE_USEC (10 * G_USEC_PER_SEC)

static void
wake(RemoteConnection *connection)
{
    const guint64 one = 1;

    /* It fails only when the counter is full, and then it wakes already. */
    if (write(connection->wake_fd, &one, sizeof one) < 0)
        return;
}

static void
finish(RemoteRequest *request, char *failure)
{
    request->failure = failure;
    request->batch->n_waiting--;
    g_cond_signal(&request->batch->changed);
}

static void
free_place(RemoteConnection *connection)
{
    int fd = connection->wake_fd;

    connection->wake_fd = -1; /* first: in a fork between the two it is not ours to close */
    if (fd >= 0)
        close(fd);
    connection->thread = NULL;
    connection->is_live = connection->has_ended = FALSE;
    connection->load = 0;
}

/* Starts the thread of a place that is free. FALSE with @error. */
static gboolean
start(RemotePool *pool, RemoteConnection *connection, GError **error)
{
    connection->pool = pool;
    connection->is_first = connection == pool->connections;
    connection->failures = 0;
    connection->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (connection->wake_fd < 0)
        return strata_throw_errno(error, pool->node, errno, "cannot make an eventfd");
    connection->thread = g_thread_try_new("remote", remote_connection_main, connection, error);
    if (!connection->thread)
        free_place(connection);
    return connection->thread != NULL;
}

/* Another connection, if the server is fit for it and there is a place. */
static void
start_another(RemotePool *pool)
{
    if (!pool->export->is_multi_conn || pool->is_stopping ||
        g_get_monotonic_time() < pool->no_more_until)
        return;
    for (guint i = 1; i < pool->n_connections; i++) {
        RemoteConnection *connection = &pool->connections[i];

        if (connection->has_ended) { /* it returns without taking the lock again */
            g_thread_join(connection->thread);
            free_place(connection);
        }
        if (!connection->thread) {
            start(pool, connection, NULL);
            return;
        }
        if (!connection->is_live)
            return; /* one is being made already */
    }
}

static RemoteConnection *
find_least_busy(RemotePool *pool)
{
    RemoteConnection *best = NULL;

    for (guint i = 0; i < pool->n_connections; i++) {
        RemoteConnection *connection = &pool->connections[i];

        if (connection->is_live && (!best || connection->load < best->load))
            best = connection;
    }
    return best;
}

static char *
describe_loss(const RemotePool *pool, const RemoteRequest *request)
{
    gint64 seconds = (g_get_monotonic_time() - request->lost_at) / G_USEC_PER_SEC;

    if (pool->is_changed)
        return g_strdup_printf("what the server exports has changed since it was opened: %s; open "
                               "it anew",
                               pool->reason);
    return g_strdup_printf("no connection to the server for %" G_GINT64_FORMAT
                           " seconds: %s (\"reconnect-delay\" says how long a request waits)",
                           seconds, pool->reason ? pool->reason : "it has not answered yet");
}

/* Until when a stranded request may wait. */
static gint64
find_deadline(const RemotePool *pool, const RemoteRequest *request)
{
    return pool->is_changed ? 0 : request->lost_at + pool->target->reconnect_usec;
}

static void
strand(RemotePool *pool, RemoteRequest *request)
{
    if (!request->lost_at)
        request->lost_at = pool->lost_at;
    if (find_deadline(pool, request) <= g_get_monotonic_time()) {
        finish(request, describe_loss(pool, request));
        return;
    }
    request->is_stranded = TRUE;
    g_queue_push_tail(&pool->stranded, request);
    g_cond_signal(&request->batch->changed); /* it has a deadline now */
}

static void
place(RemotePool *pool, RemoteRequest *request)
{
    RemoteConnection *connection = find_least_busy(pool);

    request->has_reply = FALSE;
    if (!connection) {
        strand(pool, request);
        return;
    }
    if (connection->load > 0)
        start_another(pool);
    g_queue_push_tail(&connection->inbox, request);
    connection->load++;
    wake(connection);
}

/* Every request that is stranded, to a connection or to its end. */
static void
place_stranded(RemotePool *pool)
{
    GQueue requests = pool->stranded;
    RemoteRequest *request;

    g_queue_init(&pool->stranded);
    while ((request = g_queue_pop_head(&requests))) {
        request->is_stranded = FALSE;
        place(pool, request);
    }
}

static void
set_reason(RemotePool *pool, char *reason)
{
    g_free(pool->reason);
    pool->reason = reason;
}

/* What was met is what it was, or is met for the first time. */
static void
admit(RemotePool *pool, RemoteConnection *connection)
{
    connection->is_live = TRUE;
    pool->n_live++;
    pool->is_changed = FALSE;
    place_stranded(pool);
    g_cond_broadcast(&pool->met);
}

gboolean
remote_pool_note_live(RemotePool *pool, RemoteConnection *connection, RemoteExport *export)
{
    g_autoptr(RemoteExport) owned = export;
    g_autofree char *change = NULL;

    g_mutex_lock(&pool->lock);
    if (!pool->export)
        pool->export = g_steal_pointer(&owned);
    else
        change = remote_export_find_change(pool->export, owned);
    if (change)
        pool->no_more_until = g_get_monotonic_time() + NO_MORE_USEC;
    if (change && pool->n_live == 0) {
        set_reason(pool, g_steal_pointer(&change));
        pool->is_changed = TRUE;
        place_stranded(pool);
    } else if (!change && !pool->is_stopping) {
        admit(pool, connection);
    }
    g_mutex_unlock(&pool->lock);
    return connection->is_live;
}

void
remote_pool_note_failed(RemotePool *pool, RemoteConnection *connection, char *reason)
{
    g_mutex_lock(&pool->lock);
    pool->no_more_until = g_get_monotonic_time() + NO_MORE_USEC;
    if (pool->n_live == 0) {
        set_reason(pool, g_steal_pointer(&reason));
        pool->is_changed = FALSE;
        pool->n_failures++;
        g_cond_broadcast(&pool->met);
    }
    g_mutex_unlock(&pool->lock);
    g_free(reason);
}

/* One connection after the other broke with @request in flight, for as long as a request waits. */
static gboolean
has_lost_enough(const RemotePool *pool, const RemoteRequest *request, gint64 now)
{
    return request->sent_at && request->lost_at &&
           request->lost_at + pool->target->reconnect_usec <= now;
}

static void
place_again(RemotePool *pool, GQueue *requests, gint64 now)
{
    RemoteRequest *request;

    while ((request = g_queue_pop_head(requests))) {
        gboolean is_lost = has_lost_enough(pool, request, now);

        if (request->sent_at && !request->lost_at)
            request->lost_at = now;
        request->sent_at = 0;
        if (is_lost)
            finish(request, describe_loss(pool, request));
        else
            place(pool, request);
    }
}

void
remote_pool_note_lost(RemotePool *pool, RemoteConnection *connection, char *reason)
{
    gint64 now = g_get_monotonic_time();
    GQueue requests;

    g_mutex_lock(&pool->lock);
    connection->is_live = FALSE;
    connection->load = 0;
    if (--pool->n_live == 0)
        pool->lost_at = now;
    set_reason(pool, reason);
    requests = connection->inbox;
    g_queue_init(&connection->inbox);
    place_again(pool, &connection->in_flight, now);
    place_again(pool, &requests, now);
    g_mutex_unlock(&pool->lock);
}

void
remote_pool_note_ended(RemotePool *pool, RemoteConnection *connection)
{
    g_mutex_lock(&pool->lock);
    connection->has_ended = TRUE;
    g_mutex_unlock(&pool->lock);
}

gboolean
remote_pool_take_inbox(RemotePool *pool, RemoteConnection *connection, GQueue *requests)
{
    gboolean is_stopping;

    g_mutex_lock(&pool->lock);
    *requests = connection->inbox;
    g_queue_init(&connection->inbox);
    is_stopping = pool->is_stopping;
    g_mutex_unlock(&pool->lock);
    return !is_stopping;
}

void
remote_pool_finish(RemotePool *pool, RemoteConnection *connection, RemoteRequest *request,
                   char *failure)
{
    g_mutex_lock(&pool->lock);
    connection->load--;
    finish(request, failure);
    g_mutex_unlock(&pool->lock);
}

gboolean
remote_pool_is_stopping(RemotePool *pool)
{
    gboolean is_stopping;

    g_mutex_lock(&pool->lock);
    is_stopping = pool->is_stopping;
    g_mutex_unlock(&pool->lock);
    return is_stopping;
}

/* Frees @pool, whose threads have ended. In a process that was forked off the locks may be held for
 * ever: they are left alone. */
static void
pool_free_parts(RemotePool *pool)
{
    gboolean is_own = pool->pid == getpid();

    for (guint i = 0; is_own && i < pool->n_connections; i++)
        free_place(&pool->connections[i]);
    if (is_own) {
        g_mutex_clear(&pool->lock);
        g_cond_clear(&pool->met);
    }
    g_free(pool->connections);
    g_free(pool->bitmap);
    g_free(pool->reason);
    g_free(pool);
}

/* A pool without connections, for the same export as @like or, if it is NULL, for one that has not
 * been met. */
static RemotePool *
pool_new(StrataNode *node, const RemoteTarget *target, const char *bitmap, const RemotePool *like)
{
    RemotePool *pool = g_new0(RemotePool, 1);

    g_mutex_init(&pool->lock);
    g_cond_init(&pool->met);
    pool->node = node;
    pool->target = target;
    pool->bitmap = g_strdup(bitmap);
    pool->export = like ? like->export : NULL;
    pool->pid = getpid();
    pool->lost_at = g_get_monotonic_time();
    pool->n_connections = target->max_connections;
    pool->connections = g_new0(RemoteConnection, pool->n_connections);
    for (guint i = 0; i < pool->n_connections; i++)
        pool->connections[i].wake_fd = pool->connections[i].socket.fd = -1;
    return pool;
}

/* In a process that was forked off: closes what it inherited of @pool and has no use for. The locks
 * and the handles stay as they are, for good: at the moment of the fork the threads of the other
 * process may have held any of them, libnbd's own included, and nobody here would let them go. */
static void
abandon(RemotePool *pool)
{
    for (guint i = 0; i < pool->n_connections; i++) {
        RemoteConnection *connection = &pool->connections[i];

        if (remote_socket_is_open(&connection->socket))
            close(connection->socket.fd);
        if (connection->wake_fd >= 0)
            close(connection->wake_fd);
        connection->socket.fd = connection->wake_fd = -1;
    }
}

/* The pool of this process. In one that was forked off (nbdkit goes into the background so) no
 * connection has a thread any more, and the server would mix up what two processes say: it has an
 * heir there, which begins anew. Several threads may find that out at once. */
static RemotePool *
find_own(RemotePool *pool)
{
    pid_t pid = getpid();

    /* Moves on: the last heir, or the one made for it, is this process's. */
    while (pool->pid != pid) {
        RemotePool *heir = g_atomic_pointer_get(&pool->heir);

        if (!heir) {
            heir = pool_new(pool->node, pool->target, pool->bitmap, pool);
            if (g_atomic_pointer_compare_and_exchange(&pool->heir, NULL, heir))
                abandon(pool);
            else
                pool_free_parts(heir);
        }
        pool = g_atomic_pointer_get(&pool->heir);
    }
    return pool;
}

/* The first deadline among the requests that are stranded; G_MAXINT64 when none is. */
static gint64
find_next_deadline(const RemotePool *pool, const RemoteRequest *requests, guint n)
{
    gint64 next = G_MAXINT64;

    for (guint i = 0; i < n; i++)
        if (requests[i].is_stranded)
            next = MIN(next, find_deadline(pool, &requests[i]));
    return next;
}

static void
expire(RemotePool *pool, RemoteRequest *requests, guint n)
{
    gint64 now = g_get_monotonic_time();

    for (guint i = 0; i < n; i++) {
        RemoteRequest *request = &requests[i];

        if (!request->is_stranded || find_deadline(pool, request) > now)
            continue;
        request->is_stranded = FALSE;
        g_queue_remove(&pool->stranded, request);
        finish(request, describe_loss(pool, request));
    }
}

static void
wait_for(RemotePool *pool, RemoteBatch *batch, RemoteRequest *requests, guint n)
{
    while (batch->n_waiting > 0) {
        gint64 deadline = find_next_deadline(pool, requests, n);

        if (deadline == G_MAXINT64)
            g_cond_wait(&batch->changed, &pool->lock);
        else if (!g_cond_wait_until(&batch->changed, &pool->lock, deadline))
            expire(pool, requests, n);
    }
}

gboolean
remote_pool_run(RemotePool *first, RemoteRequest *requests, guint n, GError **error)
{
    RemotePool *pool = find_own(first);
    RemoteBatch batch = { .n_waiting = n };
    g_autofree char *failure = NULL;

    wait_announce();
    g_cond_init(&batch.changed);
    g_mutex_lock(&pool->lock);
    if (!pool->connections[0].thread) /* an heir's, at first */
        start(pool, pool->connections, NULL);
    for (guint i = 0; i < n; i++) {
        requests[i].batch = &batch;
        place(pool, &requests[i]);
    }
    wait_for(pool, &batch, requests, n);
    g_mutex_unlock(&pool->lock);
    g_cond_clear(&batch.changed);
    for (guint i = 0; i < n; i++) {
        if (!failure)
            failure = g_steal_pointer(&requests[i].failure);
        g_clear_pointer(&requests[i].failure, g_free);
        remote_cover_clear(&requests[i].cover);
    }
    return !failure || strata_throw(error, pool->node, STRATA_ERROR_REMOTE, "%s", failure);
}

const RemoteExport *
remote_pool_get_export(RemotePool *pool)
{
    return pool->export;
}

/* Waits for the first connection, and if that fails for another attempt as long as the user wants.
 */
static gboolean
wait_until_met(RemotePool *pool, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + pool->target->open_usec;
    g_autofree char *reason = NULL;

    g_mutex_lock(&pool->lock);
    while (!pool->export && !reason)
        if (pool->n_failures == 0)
            g_cond_wait(&pool->met, &pool->lock);
        else if (g_get_monotonic_time() >= deadline)
            reason = g_strdup(pool->reason);
        else
            g_cond_wait_until(&pool->met, &pool->lock, deadline);
    g_mutex_unlock(&pool->lock);
    return !reason ||
           strata_throw(error, pool->node, STRATA_ERROR_REMOTE, "cannot open it: %s", reason);
}

RemotePool *
remote_pool_new(StrataNode *node, const RemoteTarget *target, const char *bitmap, GError **error)
{
    g_autoptr(RemotePool) pool = pool_new(node, target, bitmap, NULL);

    if (!late_nbd_load(error) || !start(pool, pool->connections, error) ||
        !wait_until_met(pool, error))
        return NULL;
    return g_steal_pointer(&pool);
}

static void
stop(RemotePool *pool)
{
    g_mutex_lock(&pool->lock);
    pool->is_stopping = TRUE;
    for (guint i = 0; i < pool->n_connections; i++)
        if (pool->connections[i].thread)
            wake(&pool->connections[i]);
    g_mutex_unlock(&pool->lock);
    for (guint i = 0; i < pool->n_connections; i++)
        if (pool->connections[i].thread)
            g_thread_join(pool->connections[i].thread);
}

void
remote_pool_free(RemotePool *pool)
{
    RemoteExport *export = pool ? pool->export : NULL;

    /* Moves on: each is the next one's heir, and is freed. */
    while (pool) {
        RemotePool *heir = pool->heir;

        if (pool->pid == getpid()) /* else the threads are another process's */
            stop(pool);
        else
            abandon(pool);
        pool_free_parts(pool);
        pool = heir;
    }
    remote_export_free(export);
}
