/* SPDX-License-Identifier: LGPL-2.1-or-later
 * worker.c - one thread of a connection, and the requests that it has begun. */
#include "worker.h"

#include "turns.h"

static void
take_processor(Worker *worker)
{
    Connection *connection = worker->connection;

    if (!worker->has_processor)
        busy_poll_enter(&connection->busy_poll, connection->owner->processors);
    worker->has_processor = TRUE;
}

static void
leave_processor(Worker *worker)
{
    if (worker->has_processor)
        processors_leave(worker->connection->owner->processors);
    worker->has_processor = FALSE;
}

static void
before_waiting(gpointer data)
{
    Worker *worker = data;

    leave_processor(worker);
    turns_pass(worker);
}

void
worker_init(Worker *worker, Connection *connection)
{
    *worker = (Worker){
        .connection = connection,
        .wait = { .func = before_waiting, .data = worker },
    };
}

void
worker_clear(Worker *worker)
{
    outbox_clear(&worker->outbox);
}

/* A worker has one at a time, which is what its requests have taken memory for. */
static void
put_walks_but(Worker *worker, WalkKind kept)
{
    Scratch *scratch = &worker->connection->scratch;

    for (WalkKind kind = 0; kind < WALK_KINDS; kind++)
        if (kind != kept && worker->walks[kind] != NULL)
            scratch_put_walk(scratch, kind, g_steal_pointer(&worker->walks[kind]));
}

static StrataWalk *
get_walk(Worker *worker, WalkKind kind, StrataDetails details)
{
    Connection *connection = worker->connection;

    put_walks_but(worker, kind);
    if (worker->walks[kind] == NULL)
        worker->walks[kind] =
            scratch_take_walk(&connection->scratch, kind, connection->negotiation.view->node);
    strata_walk_set_details(worker->walks[kind], details);
    return worker->walks[kind];
}

StrataWalk *
worker_get_walk_for(Worker *worker, StrataDetails details)
{
    return get_walk(worker, WALK_FOR_STATUS, details);
}

StrataWalk *
worker_get_reading_walk(Worker *worker)
{
    return get_walk(worker, WALK_FOR_READS, STRATA_DETAIL_ZERO | STRATA_DETAIL_PLACE);
}

guint8 *
worker_get_buffer(Worker *worker)
{
    if (worker->buffer == NULL)
        worker->buffer = account_get_buffer(&worker->connection->account);
    return worker->buffer;
}

Pipe *
worker_get_pipe(Worker *worker)
{
    if (worker->pipe == NULL)
        worker->pipe = scratch_take_pipe(&worker->connection->scratch);
    return worker->pipe;
}

void
worker_drop_pipe(Worker *worker)
{
    g_clear_pointer(&worker->pipe, pipe_free);
}

/* What has gathered has gone out, or was left to another: these requests wait for nothing more. */
static void
settle_counters(Worker *worker)
{
    guint64 now = counters_clock();

    for (guint i = 0; i < worker->n_answered; i++)
        counters_end(&worker->connection->counters, worker->answered[i].type,
                     now - worker->answered[i].came);
    worker->n_answered = 0;
}

gboolean
worker_flush(Worker *worker, const StreamWait *wait)
{
    struct iovec gathered = outbox_get_piece(&worker->outbox);
    Message message = { .pieces = &gathered, .n_pieces = gathered.iov_len > 0 ? 1 : 0 };
    gboolean sent = TRUE;

    if (message.n_pieces > 0 || connection_has_left_over(worker->connection))
        sent = connection_send(worker->connection, &message, wait);
    outbox_mark_sent(&worker->outbox);
    settle_counters(worker);
    return sent;
}

/* What has gathered goes before it, in the same call. */
static gboolean
send_now(Worker *worker, const Message *message)
{
    struct iovec pieces[MESSAGE_MAX_PIECES];
    Message whole = *message;
    gboolean sent;

    pieces[0] = outbox_get_piece(&worker->outbox);
    for (gsize i = 0; i < message->n_pieces; i++)
        pieces[1 + i] = message->pieces[i];
    whole.pieces = pieces;
    whole.n_pieces++;
    sent = connection_send(worker->connection, &whole, &worker->wait);
    outbox_mark_sent(&worker->outbox);
    return sent;
}

gboolean
worker_send_left_over(Worker *worker)
{
    return !connection_has_left_over(worker->connection) || worker_flush(worker, &worker->wait);
}

gboolean
worker_send(Worker *worker, const Message *message)
{
    if (!worker_send_left_over(worker))
        return FALSE;
    if (message->n_spliced == 0 && message->tail.iov_len == 0 &&
        outbox_add(&worker->outbox, message->pieces, message->n_pieces))
        return TRUE;
    return send_now(worker, message);
}

/* Counted as busy under the lock, so that who stops the connection knows whether anybody is. */
gboolean
worker_begin(Worker *worker)
{
    Connection *connection = worker->connection;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = NULL;

    if (worker->is_busy)
        return !connection_is_stopping(connection);
    locker = g_mutex_locker_new(&connection->lock);
    if (connection_is_stopping(connection))
        return FALSE;
    connection->n_busy++;
    worker->is_busy = TRUE;
    take_processor(worker);
    return TRUE;
}

/* Of three requests or more, and once in a batch; without the turn there is no batch. Where all
 * processors are busy nobody falls asleep, and fewer calls are better. */
static gboolean
is_half_done(const Worker *worker)
{
    gsize n_left;

    if (!worker->has_turn || worker->is_halved || worker->n_answered < 2)
        return FALSE;
    n_left = request_count(worker->connection);
    return n_left > 0 && n_left <= worker->n_answered &&
           processors_has_spare(worker->connection->owner->processors);
}

static gboolean
has_enough(const Worker *worker)
{
    return outbox_get_length(&worker->outbox) >= OUTBOX_ENOUGH ||
           worker->n_answered == WORKER_MAX_ANSWERED;
}

void
worker_answered(Worker *worker, const Request *request)
{
    gboolean is_half;

    worker->answered[worker->n_answered++] =
        (Answered){ .came = request->came, .type = request->type };
    is_half = is_half_done(worker);
    worker->is_halved |= is_half;
    if (is_half || has_enough(worker))
        worker_flush(worker, &worker->wait);
}

static void
give_memory_back(Worker *worker)
{
    Account *account = &worker->connection->account;

    if (worker->buffer != NULL)
        account_put_buffer(account, g_steal_pointer(&worker->buffer));
    if (worker->memory > 0)
        account_give_back(account, worker->memory);
    worker->memory = 0;
}

/* While it waits nothing more is read: it keeps its turn. */
void
worker_take_memory(Worker *worker, guint64 bytes)
{
    Connection *connection = worker->connection;

    if (bytes <= worker->memory)
        return;
    leave_processor(worker);
    worker_flush(worker, NULL);
    give_memory_back(worker);
    g_atomic_int_inc(&connection->n_blocked);
    account_take(&connection->account, bytes);
    g_atomic_int_add(&connection->n_blocked, -1);
    take_processor(worker);
    worker->memory = bytes;
}

static void
put_scratch(Worker *worker)
{
    Scratch *scratch = &worker->connection->scratch;

    put_walks_but(worker, WALK_KINDS);
    if (worker->pipe != NULL)
        scratch_put_pipe(scratch, g_steal_pointer(&worker->pipe));
}

/* The last worker of a server that stops ends the reader's wait. */
static void
count_out(Worker *worker)
{
    Connection *connection = worker->connection;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&connection->lock);

    worker->is_busy = FALSE;
    leave_processor(worker);
    if (--connection->n_busy == 0 && connection_is_stopping(connection))
        stream_shut_in(&connection->stream);
}

void
worker_end_batch(Worker *worker)
{
    worker_flush(worker, &worker->wait);
    worker->is_halved = FALSE;
}

void
worker_finish(Worker *worker)
{
    worker_end_batch(worker);
    put_scratch(worker);
    give_memory_back(worker);
    if (worker->is_busy)
        count_out(worker);
}

void
worker_before_long_work(Worker *worker)
{
    worker_flush(worker, &worker->wait);
    turns_pass(worker);
}

void
worker_before_storage(gpointer data)
{
    Worker *worker = data;
    struct iovec gathered = outbox_get_piece(&worker->outbox);

    if (gathered.iov_len > 0)
        connection_send_or_leave(worker->connection, gathered.iov_base, gathered.iov_len);
    outbox_mark_sent(&worker->outbox);
    settle_counters(worker);
    before_waiting(worker);
}
