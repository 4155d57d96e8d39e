/* SPDX-License-Identifier: LGPL-2.1-or-later
 * connection.c - the life, threads and locks of one client.
 *
 * One worker at a time has the turn to read a request. When it has read one it passes the turn on
 * and carries the request out: to a worker that waits, or to a new one. So requests are carried
 * out side by side, and a client that asks for one thing at a time costs two threads, an idle one
 * a single thread. */
#include "connection.h"

#include "commands.h"

#define MAX_WORKERS 8

/* How long a worker waits for its turn before it leaves, and how long it keeps its scratch memory
 * while no request comes. */
#define IDLE_MS 500

Connection *
connection_new(const ConnectionOwner *owner, guint64 number, int fd)
{
    Connection *connection = g_new0(Connection, 1);

    connection->owner = owner;
    connection->number = number;
    stream_init(&connection->stream, fd);
    negotiation_init(&connection->negotiation, owner->exports, owner->alone);
    g_mutex_init(&connection->lock);
    g_cond_init(&connection->turn);
    g_mutex_init(&connection->large_lock);
    g_mutex_init(&connection->send_lock);
    return connection;
}

void
connection_free(Connection *connection)
{
    stream_close(&connection->stream);
    negotiation_clear(&connection->negotiation);
    g_mutex_clear(&connection->lock);
    g_cond_clear(&connection->turn);
    g_mutex_clear(&connection->large_lock);
    g_mutex_clear(&connection->send_lock);
    g_free(connection);
}

gboolean
connection_is_stopping(Connection *connection)
{
    return g_atomic_int_get(&connection->stopping);
}

gboolean
connection_is_gone(Connection *connection)
{
    if (stream_is_open(&connection->stream))
        return FALSE;
    connection_cut(connection);
    return TRUE;
}

void
connection_stop(Connection *connection)
{
    g_atomic_int_set(&connection->stopping, TRUE);
    stream_shut_in(&connection->stream);
}

void
connection_cut(Connection *connection)
{
    g_atomic_int_set(&connection->stopping, TRUE);
    stream_shut(&connection->stream);
}

gboolean
connection_send(Connection *connection, struct iovec *pieces, gsize n_pieces)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&connection->send_lock);

    if (stream_send(&connection->stream, pieces, n_pieces))
        return TRUE;
    /* A message may have gone out in part: nothing that follows could be understood. */
    connection_cut(connection);
    return FALSE;
}

/* Waits for the turn to read. Returns FALSE if the worker is not needed any more. */
static gboolean
take_turn(Connection *connection)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&connection->lock);
    gint64 deadline = g_get_monotonic_time() + IDLE_MS * G_TIME_SPAN_MILLISECOND;

    connection->n_waiting++;
    while (connection->reading && !connection->ended)
        if (!g_cond_wait_until(&connection->turn, &connection->lock, deadline))
            break;
    connection->n_waiting--;
    if (connection->reading || connection->ended)
        return FALSE;
    connection->reading = TRUE;
    return TRUE;
}

static void start_worker(Connection *connection);

/* Ends this worker's turn, and sees to it that another worker can take it. */
static void
pass_turn(Connection *connection, gboolean ended)
{
    gboolean wants_worker;

    g_mutex_lock(&connection->lock);
    connection->reading = FALSE;
    connection->ended |= ended;
    if (connection->ended)
        g_cond_broadcast(&connection->turn);
    else
        g_cond_signal(&connection->turn);
    wants_worker =
        !connection->ended && connection->n_waiting == 0 && connection->n_workers < MAX_WORKERS;
    connection->n_workers += wants_worker; /* before the next turn can want one too */
    g_mutex_unlock(&connection->lock);

    if (wants_worker)
        start_worker(connection);
}

static gboolean
receive(Worker *worker, Request *out_request)
{
    Connection *connection = worker->connection;
    RequestResult result;

    if (worker_has_scratch(worker) && !stream_wait(&connection->stream, IDLE_MS))
        worker_drop_scratch(worker);
    if (connection_is_stopping(connection))
        return FALSE;
    result = request_receive(connection, out_request);
    if (result == REQUEST_DISCONNECT)
        log_event(connection->number, "NBD_CMD_DISC");
    return result == REQUEST_CAME;
}

static gboolean
next_request(Worker *worker, Request *out_request)
{
    gboolean came;

    if (!take_turn(worker->connection))
        return FALSE;
    came = receive(worker, out_request);
    pass_turn(worker->connection, !came);
    return came;
}

/* The last worker takes the connection with it. */
static void
leave(Connection *connection)
{
    gboolean last;

    g_mutex_lock(&connection->lock);
    last = --connection->n_workers == 0;
    g_mutex_unlock(&connection->lock);
    if (!last)
        return;
    log_event(connection->number, "closed");
    connection->owner->left(connection, connection->entered, connection->owner->data);
}

static void
work(gpointer data)
{
    Worker worker = { .connection = data };
    Request request;

    while (next_request(&worker, &request))
        command_run(&worker, &request);
    worker_drop_scratch(&worker);
    leave(worker.connection);
}

/* Starts a thread of its own for a worker that is counted already, or discounts it. */
static gboolean
start_thread(Connection *connection, ThreadSetFunc func, GError **error)
{
    if (thread_set_start(connection->owner->threads, "nbd", func, connection, error))
        return TRUE;
    g_mutex_lock(&connection->lock);
    connection->n_workers--;
    g_mutex_unlock(&connection->lock);
    return FALSE;
}

/* Without a further thread the requests wait for those that there are. */
static void
start_worker(Connection *connection)
{
    start_thread(connection, work, NULL);
}

static void
begin(gpointer data)
{
    Connection *connection = data;
    g_autofree char *name = NULL;

    if (!handshake_run(connection)) {
        leave(connection);
        return;
    }
    connection->entered = TRUE;
    connection->owner->entered(connection->owner->data);
    name = strata_escape(connection->negotiation.view->name);
    log_event(connection->number, "serves \"%s\"", name);
    work(connection);
}

gboolean
connection_start(Connection *connection, GError **error)
{
    connection->n_workers = 1;
    return start_thread(connection, begin, error);
}
