/* SPDX-License-Identifier: LGPL-2.1-or-later
 * engine.c - starting and stopping: listeners, the thread that accepts, the connections. */
#include "engine.h"

#include "connection.h"
#include "listen.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* What is in flight when the engine stops has this long to finish; and then this long to notice
 * that its connection is closed. */
#define STOP_GRACE_USEC (5 * G_USEC_PER_SEC)
#define STOP_CUT_USEC   (2 * G_USEC_PER_SEC)

/* How long accepting rests after a failure that time may mend, such as no free descriptor. */
#define ACCEPT_REST_MS 200

struct _StrataEngine {
    StrataExports *exports; /* owned */
    guint max_clients;      /* 0: no limit */
    StrataEngineIdleFunc idle_func;
    gpointer idle_data;

    GPtrArray *listeners; /* Listener; constant while the engine runs */
    int wake;             /* eventfd: the accepting thread looks around */
    Log log;
    ThreadSet threads; /* of connections */
    ConnectionOwner owner;

    /* Held for the whole of strata_engine_start() and _stop(), so that a second caller of stop
     * returns when all has stopped. No thread of the engine takes it. */
    GMutex life_lock;
    GThread *acceptor; /* NULL: not running */
    gint stopping;     /* atomic */

    GMutex lock;             /* guards what follows */
    GHashTable *connections; /* Connection; each frees itself when it has left */
    guint64 n_accepted;
    guint n_transmitting;
};

static void
wake_acceptor(StrataEngine *engine)
{
    guint64 one = 1;

    /* It fails only when the counter is full, and then the thread is awake. */
    if (write(engine->wake, &one, sizeof one) < 0)
        return;
}

static void
connection_entered(gpointer data)
{
    StrataEngine *engine = data;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&engine->lock);

    engine->n_transmitting++;
}

static void
connection_left(Connection *connection, gboolean had_entered, gpointer data)
{
    StrataEngine *engine = data;
    gboolean idle;

    g_mutex_lock(&engine->lock);
    g_hash_table_remove(engine->connections, connection);
    engine->n_transmitting -= had_entered ? 1 : 0;
    idle = had_entered && engine->n_transmitting == 0;
    g_mutex_unlock(&engine->lock);

    connection_free(connection);
    wake_acceptor(engine);
    if (idle && engine->idle_func != NULL)
        engine->idle_func(engine->idle_data);
}

StrataEngine *
strata_engine_new(StrataExports *exports, guint max_clients)
{
    StrataEngine *engine = g_new0(StrataEngine, 1);

    engine->exports = exports;
    engine->max_clients = max_clients;
    engine->listeners = g_ptr_array_new_with_free_func((GDestroyNotify)listener_free);
    engine->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    engine->connections = g_hash_table_new(NULL, NULL);
    log_init(&engine->log);
    thread_set_init(&engine->threads);
    g_mutex_init(&engine->life_lock);
    g_mutex_init(&engine->lock);
    engine->owner = (ConnectionOwner){
        .exports = exports,
        .alone = max_clients == 1,
        .threads = &engine->threads,
        .log = &engine->log,
        .entered = connection_entered,
        .left = connection_left,
        .data = engine,
    };
    return engine;
}

gboolean
strata_engine_listen_unix(StrataEngine *engine, const char *path, GError **error)
{
    Listener *listener = listener_new_unix(path, error);

    if (listener == NULL)
        return FALSE;
    g_ptr_array_add(engine->listeners, listener);
    return TRUE;
}

gboolean
strata_engine_listen_tcp(StrataEngine *engine, const char *host, const char *port, GError **error)
{
    return listener_add_tcp(engine->listeners, host, port, error);
}

char *
strata_engine_get_uri(StrataEngine *engine, const char *export_name)
{
    g_return_val_if_fail(engine->listeners->len > 0, NULL);
    return listener_get_uri(g_ptr_array_index(engine->listeners, 0), export_name);
}

void
strata_engine_set_idle_func(StrataEngine *engine, StrataEngineIdleFunc func, gpointer user_data)
{
    engine->idle_func = func;
    engine->idle_data = user_data;
}

static gboolean
may_accept(StrataEngine *engine)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&engine->lock);

    return engine->max_clients == 0 || g_hash_table_size(engine->connections) < engine->max_clients;
}

static void
add_connection(StrataEngine *engine, int fd)
{
    g_autoptr(GError) error = NULL;
    Connection *connection;
    guint64 number;

    g_mutex_lock(&engine->lock);
    number = ++engine->n_accepted;
    connection = connection_new(&engine->owner, number, fd);
    g_hash_table_add(engine->connections, connection);
    g_mutex_unlock(&engine->lock);

    log_event(number, "accepted");
    if (connection_start(connection, &error))
        return;
    log_failure(&engine->log, number, "closed: %s", error->message);
    connection_left(connection, FALSE, engine);
}

/* Returns FALSE if accepting should rest for a moment. */
static gboolean
accept_one(StrataEngine *engine, int listener_fd)
{
    int fd = accept4(listener_fd, NULL, NULL, SOCK_CLOEXEC);
    int saved_errno = errno;

    if (fd >= 0) {
        add_connection(engine, fd);
        return TRUE;
    }
    /* The client has gone already, or another thing that concerns it alone. */
    if (saved_errno == EAGAIN || saved_errno == EINTR || saved_errno == ECONNABORTED)
        return TRUE;
    log_failure(&engine->log, 0, "cannot accept a client: %s", g_strerror(saved_errno));
    return FALSE;
}

/* Sleeps until a client comes that may be accepted, or somebody wakes it. Returns how many of
 * @entries are to be looked at: the first is the wake-up. */
static guint
wait_for_clients(StrataEngine *engine, struct pollfd *entries)
{
    guint n_entries = may_accept(engine) ? engine->listeners->len + 1 : 1;
    guint64 count;

    entries[0] = (struct pollfd){ .fd = engine->wake, .events = POLLIN };
    for (guint i = 1; i < n_entries; i++) {
        Listener *listener = g_ptr_array_index(engine->listeners, i - 1);

        entries[i] = (struct pollfd){ .fd = listener->fd, .events = POLLIN };
    }
    if (poll(entries, n_entries, -1) < 0)
        return 0;
    if (entries[0].revents != 0 && read(engine->wake, &count, sizeof count) < 0)
        return 0;
    return n_entries;
}

static gpointer
accept_clients(gpointer data)
{
    StrataEngine *engine = data;
    g_autofree struct pollfd *entries = g_new0(struct pollfd, engine->listeners->len + 1);

    while (!g_atomic_int_get(&engine->stopping)) {
        guint n_entries = wait_for_clients(engine, entries);
        gboolean rest = FALSE;

        for (guint i = 1; i < n_entries; i++)
            if (entries[i].revents != 0 && may_accept(engine) &&
                !g_atomic_int_get(&engine->stopping))
                rest |= !accept_one(engine, entries[i].fd);
        if (rest)
            poll(entries, 1, ACCEPT_REST_MS);
    }
    return NULL;
}

gboolean
strata_engine_start(StrataEngine *engine, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&engine->life_lock);
    g_autoptr(GError) local_error = NULL;

    if (engine->wake < 0) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO,
                    "cannot start to serve: no eventfd could be had");
        return FALSE;
    }
    engine->acceptor = g_thread_try_new("accept", accept_clients, engine, &local_error);
    if (engine->acceptor == NULL) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO, "cannot start to serve: %s",
                    local_error->message);
        return FALSE;
    }
    return TRUE;
}

static void
for_each_connection(StrataEngine *engine, void (*func)(Connection *connection))
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&engine->lock);
    GHashTableIter iter;
    gpointer connection;

    g_hash_table_iter_init(&iter, engine->connections);
    while (g_hash_table_iter_next(&iter, &connection, NULL))
        func(connection);
}

gboolean
strata_engine_stop(StrataEngine *engine)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&engine->life_lock);

    g_atomic_int_set(&engine->stopping, TRUE);
    if (engine->acceptor != NULL) {
        wake_acceptor(engine);
        g_thread_join(g_steal_pointer(&engine->acceptor));
    }
    g_ptr_array_set_size(engine->listeners, 0);

    for_each_connection(engine, connection_stop);
    if (thread_set_wait(&engine->threads, g_get_monotonic_time() + STOP_GRACE_USEC))
        return TRUE;
    for_each_connection(engine, connection_cut);
    return thread_set_wait(&engine->threads, g_get_monotonic_time() + STOP_CUT_USEC);
}

void
strata_engine_free(StrataEngine *engine)
{
    strata_engine_stop(engine);
    thread_set_wait(&engine->threads, -1);
    thread_set_clear(&engine->threads);
    g_ptr_array_unref(engine->listeners);
    g_hash_table_unref(engine->connections);
    strata_exports_free(engine->exports);
    if (engine->wake >= 0)
        close(engine->wake);
    log_clear(&engine->log);
    g_mutex_clear(&engine->life_lock);
    g_mutex_clear(&engine->lock);
    g_free(engine);
}
