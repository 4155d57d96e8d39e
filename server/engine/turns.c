/* SPDX-License-Identifier: LGPL-2.1-or-later
 * turns.c - the requests of one client, read one after the other and carried out side by side.
 *
 * One worker at a time has the turn to read a request. When it has read one it passes the turn on
 * and carries the request out: to a worker that waits, or to a new one. So requests are carried
 * out side by side, and a client that asks for one thing at a time costs two threads, an idle one
 * a single thread. */
#include "turns.h"

#include "protocol/commands.h"

/* How long a worker waits for its turn before it leaves, and how long scratch memory is kept while
 * no request comes. */
#define IDLE_MS 500

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

static void
work(gpointer data)
{
    turns_run(data);
    connection_leave(data);
}

/* Without a further thread the requests wait for those that there are. */
static void
start_worker(Connection *connection)
{
    connection_start_thread(connection, work, NULL);
}

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
    wants_worker = !connection->ended && connection->n_waiting == 0 &&
                   connection->n_workers < connection->owner->limits->max_requests;
    connection->n_workers += wants_worker; /* before the next turn can want one too */
    g_mutex_unlock(&connection->lock);

    if (wants_worker)
        start_worker(connection);
}

static void
drop_scratch_when_idle(Worker *worker)
{
    Connection *connection = worker->connection;

    if ((worker_has_scratch(worker) || account_has_spare(&connection->account)) &&
        !stream_wait(&connection->stream, IDLE_MS)) {
        worker_drop_scratch(worker);
        account_drop_spare(&connection->account);
    }
}

static gboolean
read_request(Worker *worker, Request *out_request)
{
    Connection *connection = worker->connection;
    RequestResult result;

    drop_scratch_when_idle(worker);
    if (connection_is_cut(connection))
        return FALSE;
    result = request_receive(connection, out_request);
    if (result == REQUEST_DISCONNECT)
        connection_log_event(connection, "disconnect", "NBD_CMD_DISC");
    return result == REQUEST_CAME;
}

/* Counts a request in flight, unless there shall be no more of them. */
static gboolean
count_request(Connection *connection)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&connection->lock);

    if (connection_is_stopping(connection))
        return FALSE;
    connection->n_in_flight++;
    return TRUE;
}

/* Reads until there is a request to carry out. Those that come while the server stops are answered
 * here and now (proto.md, "Terminating the transmission phase"): left unread, they would make the
 * system reset the connection, and the answers that are on their way with it. */
static gboolean
find_request(Worker *worker, Request *out_request)
{
    while (read_request(worker, out_request)) {
        if (count_request(worker->connection))
            return TRUE;
        if (!command_turn_down(worker, out_request, NBD_ESHUTDOWN, "the server is shutting down"))
            return FALSE;
    }
    return FALSE;
}

/* Whoever has the turn to read waits for memory with it, and so nothing more is read meanwhile. */
static void
take_memory(Connection *connection, guint64 bytes)
{
    g_atomic_int_inc(&connection->n_blocked);
    account_take(&connection->account, bytes);
    g_atomic_int_add(&connection->n_blocked, -1);
}

/* @out_memory: what it took from the account */
static gboolean
take_request(Worker *worker, Request *out_request, guint64 *out_memory)
{
    gboolean came;

    if (!take_turn(worker->connection))
        return FALSE;
    came = find_request(worker, out_request);
    if (came) {
        *out_memory = command_memory(&worker->connection->negotiation, out_request);
        take_memory(worker->connection, *out_memory);
    }
    pass_turn(worker->connection, !came);
    return came;
}

/* The last request of a server that stops ends the reader's wait. */
static void
end_request(Connection *connection)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&connection->lock);

    if (--connection->n_in_flight == 0 && connection_is_stopping(connection))
        stream_shut_in(&connection->stream);
}

void
turns_run(Connection *connection)
{
    Worker worker = { .connection = connection };
    Request request;
    guint64 memory;

    while (take_request(&worker, &request, &memory)) {
        command_run(&worker, &request);
        worker_put_scratch(&worker);
        account_give_back(&connection->account, memory);
        end_request(connection);
    }
    worker_drop_scratch(&worker);
    /* The reader may have begun to wait before the last of these was put aside. */
    account_drop_spare(&connection->account);
}
