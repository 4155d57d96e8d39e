/* SPDX-License-Identifier: LGPL-2.1-or-later
 * turns.c - the requests of one client, carried out one after the other as long as nothing has to
 * be waited for, and side by side when something has.
 *
 * One worker at a time has the turn to read requests. It receives what there is, carries the
 * requests out itself, and sends their replies together (or, where a processor is to spare, half of
 * them ahead), and looks out for more before it sleeps (busy-poll.h):
 *
 *      receive   begin ... answered   begin ... answered   begin ... answered   send   receive
 *                                         |
 *                                         storage has to be waited for: what has been answered is
 *                                         sent, and the turn is passed on
 *
 * Before it waits, for anything but requests, and before work that takes long, it passes the turn
 * on (worker.c): to a worker that waits, or to a new one. That one goes on with the requests that
 * have been received, which are the connection's. So cached reads wake nobody up, slow ones are
 * carried out side by side, and a client costs as many threads as it has requests that wait; one
 * that asks for nothing costs none (lounge.h). */
#include "turns.h"

#include "protocol/commands.h"

#include <signal.h>

/* Waits for the turn to read. Returns FALSE if the worker is not needed any more. */
static gboolean
take_turn(Worker *worker)
{
    Connection *connection = worker->connection;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&connection->lock);
    gint64 deadline = g_get_monotonic_time() + TURNS_IDLE_MS * G_TIME_SPAN_MILLISECOND;

    connection->n_waiting++;
    while (connection->reading && !connection->ended)
        if (!g_cond_wait_until(&connection->turn, &connection->lock, deadline))
            break;
    connection->n_waiting--;
    if (connection->reading || connection->ended)
        return FALSE;
    connection->reading = worker->has_turn = TRUE;
    return TRUE;
}

/* Without a further thread the requests wait for those that there are. */
static void
start_worker(Connection *connection)
{
    connection_start_thread(connection, connection_work, NULL);
}

/* Ends this worker's turn, and sees to it that another worker can take it. */
static void
end_turn(Worker *worker, gboolean ended)
{
    Connection *connection = worker->connection;
    gboolean wants_worker;

    worker->has_turn = FALSE;
    g_mutex_lock(&connection->lock);
    connection->reading = FALSE;
    connection->ended |= ended;
    if (connection->ended && connection->n_waiting > 0)
        g_cond_broadcast(&connection->turn);
    else if (connection->n_waiting > 0)
        g_cond_signal(&connection->turn);
    wants_worker = !connection->ended && connection->n_waiting == 0 &&
                   connection->n_workers < connection->owner->limits->max_requests;
    connection->n_workers += wants_worker; /* before the next turn can want one too */
    g_mutex_unlock(&connection->lock);

    if (wants_worker)
        start_worker(connection);
}

void
turns_pass(Worker *worker)
{
    if (worker->has_turn)
        end_turn(worker, FALSE);
}

/* Frees what is kept for the next request. */
static void
drop_all(Worker *worker)
{
    Connection *connection = worker->connection;

    scratch_drop(&connection->scratch);
    account_drop_spare(&connection->account);
    outbox_clear(&worker->outbox);
    inbox_drop(&connection->inbox);
}

/* Ends the turn if no other worker is there that could take it: the connection needs no thread
 * then, and is left as a first worker finds it. */
static gboolean
leave_alone(Worker *worker)
{
    Connection *connection = worker->connection;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&connection->lock);

    if (connection->n_workers > 1)
        return FALSE;
    connection->reading = worker->has_turn = FALSE;
    worker->is_idle = TRUE;
    return TRUE;
}

/* An idle client has not even a place to receive into. */
static StreamResult
wait_for_bytes(Connection *connection)
{
    if (!inbox_has_place(&connection->inbox) && !stream_wait(&connection->stream, TURNS_IDLE_MS))
        return STREAM_IDLE;
    return inbox_fill(&connection->inbox, &connection->stream);
}

/* Waits for the next request, or a part of it, or the end; what it is shows when it is read. The
 * worker may be idle then, without the turn. */
static void
await_request(Worker *worker)
{
    Connection *connection = worker->connection;

    while (wait_for_bytes(connection) == STREAM_IDLE) {
        drop_all(worker);
        if (leave_alone(worker))
            return;
    }
    connection->last_received = counters_clock();
}

static gboolean
read_request(Worker *worker, Request *out_request)
{
    Connection *connection = worker->connection;
    RequestResult result;

    if (connection_is_cut(connection))
        return FALSE;
    result = request_receive(connection, out_request);
    if (result == REQUEST_DISCONNECT)
        connection_log_event(connection, "disconnect", "NBD_CMD_DISC");
    return result == REQUEST_CAME;
}

static gboolean
look_for_more(gpointer data)
{
    Connection *connection = data;
    StreamResult result = inbox_look(&connection->inbox, &connection->stream);

    if (result == STREAM_CAME)
        connection->last_received = counters_clock();
    return result != STREAM_IDLE;
}

/* Whether a further request has come from a client that has just been answered, soon enough not to
 * sleep. What the worker has for its requests it keeps meanwhile; so it does not look out for the
 * rest of one that has come in part, which a client may hold back, nor while the server stops: that
 * waits for a worker without requests. */
static gboolean
poll_request(Worker *worker)
{
    Connection *connection = worker->connection;

    return worker->is_busy && !connection_is_stopping(connection) &&
           busy_poll(&connection->busy_poll, connection->owner->processors,
                     connection->owner->limits->busy_poll_usec, look_for_more, connection) &&
           request_is_there(connection);
}

/* All replies have gone out before more is waited for. Returns FALSE if the turn has gone with
 * them, since that took a while. */
static gboolean
have_request(Worker *worker)
{
    if (request_is_there(worker->connection))
        return TRUE;
    worker_end_batch(worker);
    if (worker->has_turn && poll_request(worker))
        return TRUE;
    worker_finish(worker);
    if (worker->has_turn)
        await_request(worker);
    return worker->has_turn;
}

/* Reads until there is a request to carry out. Those that come while the server stops are answered
 * here and now (proto.md, "Terminating the transmission phase"): left unread, they would make the
 * system reset the connection, and the answers that are on their way with it. */
static gboolean
find_request(Worker *worker, Request *out_request)
{
    while (have_request(worker)) {
        if (!read_request(worker, out_request)) {
            end_turn(worker, TRUE);
            return FALSE;
        }
        if (worker_begin(worker))
            return TRUE;
        command_turn_down(worker, out_request, NBD_ESHUTDOWN, "the server is shutting down");
        if (!worker->has_turn)
            return FALSE;
    }
    return FALSE;
}

/* Requests, one after the other, as long as the worker has the turn. */
static void
serve(Worker *worker)
{
    Request request;

    while (worker->has_turn && find_request(worker, &request)) {
        worker_take_memory(worker, command_memory(&worker->connection->negotiation, &request));
        command_run(worker, &request);
    }
}

/* splice(2) to a socket that nobody reads from any more sends this signal, and has no flag against
 * it as sendmsg(2) has. */
static void
block_sigpipe(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

gboolean
turns_run(Connection *connection)
{
    Worker worker;

    block_sigpipe();
    worker_init(&worker, connection);
    strata_set_wait_hook(worker_before_storage, &worker);
    while (!worker.is_idle && take_turn(&worker)) {
        worker_flush(&worker, &worker.wait); /* what another left over */
        serve(&worker);
        worker_finish(&worker);
    }
    strata_set_wait_hook(NULL, NULL);
    worker_clear(&worker);
    /* The reader may have begun to wait before the last of these was put aside. */
    account_drop_spare(&connection->account);
    scratch_drop(&connection->scratch);
    return worker.is_idle;
}
