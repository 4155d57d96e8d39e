/* SPDX-License-Identifier: LGPL-2.1-or-later
 * engine.c - starting and stopping: listeners, the thread that accepts, the connections. */
#include "engine.h"

#include "acceptor.h"
#include "connection.h"
#include "crowd.h"
#include "listen/listen.h"
#include "watch.h"

#include <sys/resource.h>
#include <unistd.h>

/* What is still in flight when its time is over (stop_seconds) has this long to notice that its
 * connection is closed. */
#define STOP_CUT_USEC (2 * G_USEC_PER_SEC)

/* Descriptors that clients leave to others: images that are opened on demand, metrics, logs. */
#define DESCRIPTORS_KEPT 256

struct _StrataEngine {
    StrataExports *exports; /* owned */
    StrataEngineLimits limits;
    StrataEngineIdleFunc idle_func;
    gpointer idle_data;

    GPtrArray *listeners; /* Listener; constant while the engine runs */
    Log log;
    StrataCounters counters;
    ThreadSet threads; /* of connections */
    Lounge lounge;     /* of connections without a thread */
    gboolean is_short; /* of threads for them, and that is told; of who looks into it */
    ConnectionOwner owner;
    Turnstile turnstile; /* for heavy work of all connections */
    Processors processors;

    /* Held for the whole of strata_engine_start() and _stop(), so that a second caller of stop
     * returns when all has stopped. No thread of the engine takes it. */
    GMutex life_lock;
    Acceptor *acceptor;
    gint turns_seen; /* of the acceptor, by strata_engine_is_alive() */

    GMutex lock;             /* guards what follows */
    GHashTable *connections; /* Connection; each frees itself when it has left */
    Crowd crowd;             /* the same, counted */
    gint64 next_look;        /* at their deadlines, monotonic; the acceptor sleeps no longer */
    gboolean single;         /* the one client was handed over */
    guint64 n_accepted;
    guint n_transmitting;
};

/* Has the connections looked at when @connection is due, if not before. Called with the lock held
 * whenever something begins that a deadline is for. */
static void
schedule_look(StrataEngine *engine, Connection *connection)
{
    gint64 due = watch_next_look(&engine->limits, connection, g_get_monotonic_time());

    if (due >= engine->next_look)
        return;
    engine->next_look = due;
    acceptor_wake(engine->acceptor);
}

static void
connection_entered(Connection *connection, gpointer data)
{
    StrataEngine *engine = data;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&engine->lock);

    engine->n_transmitting++;
    schedule_look(engine, connection);
    crowd_serve(&engine->crowd, &connection->peer);
    if (connection->door != NULL)
        door_give_back(connection->door);
}

static void
connection_left(Connection *connection, gboolean had_entered, gpointer data)
{
    StrataEngine *engine = data;
    gboolean idle;

    g_mutex_lock(&engine->lock);
    g_hash_table_remove(engine->connections, connection);
    crowd_leave(&engine->crowd, &connection->peer);
    engine->n_transmitting -= had_entered ? 1 : 0;
    idle = (had_entered || engine->single) && engine->n_transmitting == 0;
    g_mutex_unlock(&engine->lock);

    connection_free(connection);
    counters_add(&engine->counters.closed, 1);
    if (engine->limits.shared != 0)
        acceptor_wake(engine->acceptor);
    if (idle && engine->idle_func != NULL)
        engine->idle_func(engine->idle_data);
}

void
strata_engine_limits_init(StrataEngineLimits *limits)
{
    *limits = (StrataEngineLimits){
        .max_connections = 2048,
        .max_connections_per_peer = 64,
        .handshake_seconds = 30,
        .max_requests = 8,
        .max_bytes = 32 * 1024 * 1024,
        .stop_seconds = 5,
        .busy_poll_usec = BUSY_POLL_USEC,
    };
}

static gboolean
may_accept(gpointer data)
{
    StrataEngine *engine = data;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&engine->lock);

    return engine->limits.shared == 0 ||
           g_hash_table_size(engine->connections) < engine->limits.shared;
}

/* Whether there may be one connection more of @peer, which is counted then, or turned away. */
static gboolean
admit(StrataEngine *engine, const Peer *peer, guint64 *out_number)
{
    LogFields fields = { .event = "refused", .peer = peer->address };
    g_autofree char *sentence = NULL;
    RefusedReason reason;

    g_mutex_lock(&engine->lock);
    *out_number = fields.connection = ++engine->n_accepted;
    reason = crowd_enter(&engine->crowd, peer, g_get_monotonic_time(), &sentence);
    g_mutex_unlock(&engine->lock);
    if (reason == REFUSED_NONE)
        return TRUE;
    counters_add(&engine->counters.refused[reason], 1);
    log_failure_with(&engine->log, &fields, "turned away: %s", sentence);
    return FALSE;
}

static void
let_in(StrataEngine *engine, Connection *connection)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&engine->lock);

    g_hash_table_add(engine->connections, connection);
    schedule_look(engine, connection);
}

/* Who is turned away costs no thread, and next to nothing. Returns: (nullable): NULL: that */
static Connection *
add_connection(StrataEngine *engine, int fd, Door *door)
{
    Connection *connection;
    guint64 number;
    Peer peer;

    peer_init(&peer, fd);
    if (!admit(engine, &peer, &number)) {
        peer_clear(&peer);
        close(fd);
        return NULL;
    }
    connection = connection_new(&engine->owner, number, fd, &peer);
    connection->door = door;
    let_in(engine, connection);
    counters_add(&engine->counters.accepted, 1);
    connection_log_event(connection, "accepted", "accepted from %s", connection->peer.address);
    connection_greet(connection);
    return connection;
}

static gboolean
start_connection(StrataEngine *engine, Connection *connection)
{
    g_autoptr(GError) error = NULL;

    if (connection_start(connection, &error))
        return TRUE;
    connection_log_failure(connection, "closed: %s", error->message);
    connection_left(connection, FALSE, engine);
    return FALSE;
}

static gpointer
add_client(int fd, Door *door, gpointer data)
{
    return add_connection(data, fd, door);
}

static void
serve_client(gpointer client, gpointer data)
{
    start_connection(data, client);
}

static void
do_nothing(gpointer data)
{
}

/* A thread with nothing to do seeks a client. If there is none, the acceptor does as well. */
static void
start_seeker(gpointer data)
{
    StrataEngine *engine = data;

    thread_set_start(&engine->threads, do_nothing, NULL, NULL);
}

static gboolean
see_on(gpointer connection, gpointer data)
{
    StrataEngine *engine = data;
    g_autoptr(GError) error = NULL;

    if (thread_set_start(&engine->threads, connection_work, connection, &error)) {
        engine->is_short = FALSE;
        return TRUE;
    }
    /* Once, however often it is tried again: other failures want to be logged, too. */
    if (!engine->is_short)
        connection_log_failure(connection, "has to wait for a thread (ulimit -u, ulimit -v): %s",
                               error->message);
    engine->is_short = TRUE;
    return FALSE;
}

static gboolean
seek_client(ThreadSetFunc *out_func, gpointer *out_data, gpointer data)
{
    StrataEngine *engine = data;

    *out_func = connection_serve;
    *out_data = acceptor_wait_for_client(engine->acceptor);
    return *out_data != NULL;
}

static gint64
look_at_deadlines(gpointer data)
{
    StrataEngine *engine = data;
    GHashTableIter iter;
    gpointer connection;
    gint64 next;
    Watch watch;

    watch_begin(&watch, &engine->limits);
    g_mutex_lock(&engine->lock);
    if (engine->next_look <= watch.now) {
        g_hash_table_iter_init(&iter, engine->connections);
        engine->next_look = G_MAXINT64;
        while (g_hash_table_iter_next(&iter, &connection, NULL))
            engine->next_look = MIN(engine->next_look, watch_look(&watch, connection));
    }
    next = engine->next_look;
    g_mutex_unlock(&engine->lock);
    watch_end(&watch, &engine->log);
    return next;
}

/* An accept() that fails for want of a descriptor would leave clients waiting. */
static void
leave_descriptors(StrataEngineLimits *limits)
{
    struct rlimit limit;
    guint most;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > G_MAXINT)
        return;
    most = (guint)(limit.rlim_cur - MIN(limit.rlim_cur / 4, DESCRIPTORS_KEPT));
    if (limits->max_connections != 0 && limits->max_connections <= most)
        return;
    if (limits->max_connections != 0)
        log_notice("limits",
                   "at most %u connections in place of %u: there may be %" G_GUINT64_FORMAT
                   " open files (ulimit -n)",
                   most, limits->max_connections, (guint64)limit.rlim_cur);
    limits->max_connections = most;
}

StrataEngine *
strata_engine_new(StrataExports *exports, const StrataEngineLimits *limits)
{
    StrataEngine *engine = g_new0(StrataEngine, 1);
    AcceptorOwner acceptor_owner = {
        .may_accept = may_accept,
        .came = add_client,
        .serve = serve_client,
        .be_short = start_seeker,
        .look = look_at_deadlines,
        .lounge = &engine->lounge,
        .see_on = see_on,
        .data = engine,
    };

    engine->exports = exports;
    strata_engine_limits_init(&engine->limits);
    if (limits != NULL)
        engine->limits = *limits;
    leave_descriptors(&engine->limits);
    engine->listeners = g_ptr_array_new_with_free_func((GDestroyNotify)listener_free);
    engine->connections = g_hash_table_new(NULL, NULL);
    engine->next_look = G_MAXINT64;
    crowd_init(&engine->crowd, &engine->limits);
    log_init(&engine->log);
    engine->acceptor = acceptor_new(&acceptor_owner, &engine->log);
    counters_init(&engine->counters, &engine->log);
    thread_set_init(&engine->threads);
    lounge_init(&engine->lounge);
    if (engine->limits.shared == 0) { /* else may_accept() has to be asked, by one alone */
        engine->threads.seek = seek_client;
        engine->threads.seek_data = engine;
    }
    turnstile_init(&engine->turnstile, 0);
    processors_init(&engine->processors);
    g_mutex_init(&engine->life_lock);
    g_mutex_init(&engine->lock);
    engine->owner = (ConnectionOwner){
        .exports = exports,
        .limits = &engine->limits,
        .alone = engine->limits.shared == 1,
        .threads = &engine->threads,
        .lounge = &engine->lounge,
        .log = &engine->log,
        .counters = &engine->counters,
        .turnstile = &engine->turnstile,
        .processors = &engine->processors,
        .entered = connection_entered,
        .left = connection_left,
        .data = engine,
    };
    return engine;
}

void
strata_engine_set_tls(StrataEngine *engine, StrataTls *tls)
{
    engine->owner.tls = tls;
}

gboolean
strata_engine_listen(StrataEngine *engine, const StrataAddress *address,
                     const StrataSocketRights *rights, GError **error)
{
    return listener_add(engine->listeners, address, rights, error);
}

gboolean
strata_engine_take_listener(StrataEngine *engine, int fd, GError **error)
{
    Listener *listener = listener_new_from_fd(fd, error);

    if (listener == NULL)
        return FALSE;
    g_ptr_array_add(engine->listeners, listener);
    return TRUE;
}

static char *
get_uri(StrataEngine *engine, const Listener *listener, const char *export_name)
{
    return tls_take_uri(engine->owner.tls, listener_get_uri(listener, export_name));
}

char *
strata_engine_get_uri(StrataEngine *engine, const char *export_name)
{
    g_return_val_if_fail(engine->listeners->len > 0, NULL);
    return get_uri(engine, g_ptr_array_index(engine->listeners, 0), export_name);
}

typedef char *(*ListenerTextFunc)(StrataEngine *engine, const Listener *listener,
                                  const char *export_name);

/* What @func says of each listener, nothing twice. */
static char **
list_listeners(StrataEngine *engine, const char *export_name, ListenerTextFunc func)
{
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < engine->listeners->len; i++) {
        g_autofree char *text = func(engine, g_ptr_array_index(engine->listeners, i), export_name);

        if (!g_ptr_array_find_with_equal_func(texts, text, g_str_equal, NULL))
            g_ptr_array_add(texts, g_steal_pointer(&text));
    }
    g_ptr_array_add(texts, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&texts), FALSE);
}

char **
strata_engine_list_uris(StrataEngine *engine, const char *export_name)
{
    return list_listeners(engine, export_name, get_uri);
}

static char *
get_place(StrataEngine *engine, const Listener *listener, const char *export_name)
{
    g_autofree char *uri = get_uri(engine, listener, export_name);

    return g_strconcat(
        uri, listener_get_reach(listener) == REACH_EVERY_INTERFACE ? " (on every interface)" : "",
        NULL);
}

char **
strata_engine_list_places(StrataEngine *engine, const char *export_name)
{
    return list_listeners(engine, export_name, get_place);
}

gboolean
strata_engine_is_on_network(StrataEngine *engine)
{
    for (guint i = 0; i < engine->listeners->len; i++)
        if (listener_get_reach(g_ptr_array_index(engine->listeners, i)) != REACH_MACHINE)
            return TRUE;
    return FALSE;
}

gboolean
strata_engine_has_chosen_port(StrataEngine *engine)
{
    for (guint i = 0; i < engine->listeners->len; i++) {
        const Listener *listener = g_ptr_array_index(engine->listeners, i);

        if (listener->is_chosen)
            return TRUE;
    }
    return FALSE;
}

char *
strata_engine_get_socket(StrataEngine *engine)
{
    for (guint i = 0; i < engine->listeners->len; i++) {
        const Listener *listener = g_ptr_array_index(engine->listeners, i);

        if (listener->path != NULL)
            return g_strdup(listener->path);
    }
    return NULL;
}

StrataCounters *
strata_engine_get_counters(StrataEngine *engine)
{
    return &engine->counters;
}

void
strata_engine_set_idle_func(StrataEngine *engine, StrataEngineIdleFunc func, gpointer user_data)
{
    engine->idle_func = func;
    engine->idle_data = user_data;
}

gboolean
strata_engine_start(StrataEngine *engine, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&engine->life_lock);

    return acceptor_start(engine->acceptor, engine->listeners, error);
}

gboolean
strata_engine_serve(StrataEngine *engine, int fd, GError **error)
{
    Connection *connection;

    g_mutex_lock(&engine->lock);
    engine->single = TRUE;
    g_mutex_unlock(&engine->lock);
    if (!strata_engine_start(engine, error)) {
        close(fd);
        return FALSE;
    }
    connection = add_connection(engine, fd, NULL);
    if (connection != NULL && start_connection(engine, connection))
        return TRUE;
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO,
                "cannot serve the client that was handed over: the log says why");
    return FALSE;
}

gboolean
strata_engine_is_alive(StrataEngine *engine)
{
    gint seen = engine->turns_seen;

    engine->turns_seen = acceptor_get_turns(engine->acceptor);
    acceptor_wake(engine->acceptor);
    return engine->turns_seen != seen;
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

/* Without a thread, what it has still asked for is not answered. */
static gboolean
see_off(gpointer connection, gpointer data)
{
    if (see_on(connection, data))
        return TRUE;
    connection_cut(connection);
    connection_work(connection);
    return TRUE;
}

/* Those who rest find the end of their stream. */
static void
empty_lounge(StrataEngine *engine)
{
    while (!lounge_is_empty(&engine->lounge))
        lounge_look(&engine->lounge, -1, see_off, engine);
}

gboolean
strata_engine_stop(StrataEngine *engine)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&engine->life_lock);

    acceptor_stop(engine->acceptor);
    lounge_close(&engine->lounge);
    for_each_connection(engine, connection_stop);
    /* Now: who finds the socket gone knows that all connections have been told. */
    g_ptr_array_set_size(engine->listeners, 0);
    empty_lounge(engine);
    if (thread_set_wait(&engine->threads, g_get_monotonic_time() +
                                              (gint64)engine->limits.stop_seconds * G_USEC_PER_SEC))
        return TRUE;
    for_each_connection(engine, connection_cut);
    return thread_set_wait(&engine->threads, g_get_monotonic_time() + STOP_CUT_USEC);
}

void
strata_engine_hurry(StrataEngine *engine)
{
    for_each_connection(engine, connection_cut);
    thread_set_hurry(&engine->threads);
}

void
strata_engine_free(StrataEngine *engine)
{
    strata_engine_stop(engine);
    thread_set_wait(&engine->threads, -1);
    thread_set_clear(&engine->threads);
    lounge_clear(&engine->lounge);
    acceptor_free(engine->acceptor);
    g_ptr_array_unref(engine->listeners);
    g_hash_table_unref(engine->connections);
    strata_exports_free(engine->exports);
    crowd_clear(&engine->crowd);
    counters_clear(&engine->counters);
    log_clear(&engine->log);
    turnstile_clear(&engine->turnstile);
    g_mutex_clear(&engine->life_lock);
    g_mutex_clear(&engine->lock);
    g_free(engine);
}
