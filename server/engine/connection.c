/* SPDX-License-Identifier: LGPL-2.1-or-later
 * connection.c - the life of one client, and its bytes. What it asks for is carried out in turns.c.
 */
#include "connection.h"

#include "crowd.h"
#include "turns.h"
#include "watch.h"

/* With an idle timeout: how often progress is told of a message that takes its time, which is twice
 * as often as deadlines are looked at (watch.c), or more. */
#define PROGRESS_MS(seconds) (MIN((seconds), 40u) * (1000 / 8))

/* A TurnTaker's is_unwanted(). */
static gboolean
wants_no_turn(gpointer connection)
{
    return connection_is_stopping(connection);
}

static void
init_taker(Connection *connection)
{
    g_autofree char *peer = crowd_make_key(&connection->peer);

    turn_taker_init(&connection->taker, connection->owner->turnstile, peer, wants_no_turn,
                    connection);
    connection->negotiation.taker = &connection->taker;
}

Connection *
connection_new(const ConnectionOwner *owner, guint64 number, int fd, const Peer *peer)
{
    Connection *connection = g_new0(Connection, 1);

    connection->owner = owner;
    connection->number = number;
    connection->peer = *peer;
    stream_init(&connection->stream, fd);
    negotiation_init(&connection->negotiation, owner->exports, &connection->peer, owner->alone);
    connection->negotiation.tls_mode = tls_get_mode(owner->tls);
    account_init(&connection->account, owner->limits->max_bytes);
    scratch_init(&connection->scratch);
    g_queue_init(&connection->left_over);
    init_taker(connection);
    connection->guest = (Guest){ .fd = fd, .client = connection };
    g_mutex_init(&connection->lock);
    g_cond_init(&connection->turn);
    g_mutex_init(&connection->send_lock);
    connection->accepted_at = connection->still_since = g_get_monotonic_time();
    if (peer->kind != PEER_UNIX)
        watch_for_dead_host(fd);
    if (owner->limits->idle_seconds != 0)
        stream_show_progress(&connection->stream, PROGRESS_MS(owner->limits->idle_seconds));
    return connection;
}

void
connection_free(Connection *connection)
{
    stream_close(&connection->stream);
    negotiation_clear(&connection->negotiation);
    peer_clear(&connection->peer);
    account_clear(&connection->account);
    scratch_clear(&connection->scratch);
    inbox_clear(&connection->inbox);
    g_queue_clear_full(&connection->left_over, (GDestroyNotify)g_bytes_unref);
    turn_taker_clear(&connection->taker);
    g_mutex_clear(&connection->lock);
    g_cond_clear(&connection->turn);
    g_mutex_clear(&connection->send_lock);
    g_free(connection);
}

gboolean
connection_is_stopping(Connection *connection)
{
    return g_atomic_int_get(&connection->stopping);
}

gboolean
connection_is_cut(Connection *connection)
{
    return g_atomic_int_get(&connection->cut);
}

gboolean
connection_is_gone(Connection *connection)
{
    if (connection_is_cut(connection))
        return TRUE;
    if (stream_is_open(&connection->stream))
        return FALSE;
    connection_cut(connection);
    return TRUE;
}

gboolean
connection_has_entered(Connection *connection)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&connection->lock);

    return connection->entered;
}

gboolean
connection_has_moved(Connection *connection)
{
    gint moved = g_atomic_int_get(&connection->stream.moved);
    gboolean is_same = moved == connection->moved_seen;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&connection->lock);

    connection->moved_seen = moved;
    return !is_same || (gint)connection->n_busy > g_atomic_int_get(&connection->n_blocked);
}

/* A reader that waits for a request finds the end of the stream, behind what has come already. */
void
connection_stop(Connection *connection)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&connection->lock);

    g_atomic_int_set(&connection->stopping, TRUE);
    turn_taker_wake(&connection->taker);
    if (connection->n_busy == 0)
        stream_shut_in(&connection->stream);
}

void
connection_cut(Connection *connection)
{
    g_atomic_int_set(&connection->stopping, TRUE);
    g_atomic_int_set(&connection->cut, TRUE);
    turn_taker_wake(&connection->taker);
    stream_shut(&connection->stream);
}

void
connection_refuse(Connection *connection, RefusedReason reason)
{
    g_atomic_int_set(&connection->refusal, (gint)reason);
    connection_cut(connection);
}

gboolean
connection_receive(Connection *connection, gpointer buffer, gsize length)
{
    if (!inbox_take(&connection->inbox, &connection->stream, buffer, length))
        return FALSE;
    counters_add(&connection->counters.traffic.bytes_received, length);
    return TRUE;
}

gboolean
connection_drain(Connection *connection, guint64 length)
{
    return connection_receive(connection, NULL, length);
}

static GBytes *
pop_left_over(Connection *connection)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&connection->lock);
    GBytes *bytes = g_queue_pop_head(&connection->left_over);

    g_atomic_int_set(&connection->n_left_over, (gint)connection->left_over.length);
    return bytes;
}

/* @is_begun: it goes before the others. */
static void
push_left_over(Connection *connection, gconstpointer data, gsize length, gboolean is_begun)
{
    GBytes *bytes = g_bytes_new(data, length);
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&connection->lock);

    if (is_begun)
        g_queue_push_head(&connection->left_over, bytes);
    else
        g_queue_push_tail(&connection->left_over, bytes);
    g_atomic_int_set(&connection->n_left_over, (gint)connection->left_over.length);
}

gboolean
connection_has_left_over(Connection *connection)
{
    return g_atomic_int_get(&connection->n_left_over) > 0;
}

/* This and what follows with .send_lock held, up to where it is not. */
static gboolean
send_left_over(Connection *connection, const StreamWait *wait)
{
    while (connection_has_left_over(connection)) {
        g_autoptr(GBytes) bytes = pop_left_over(connection);
        struct iovec piece = { .iov_base = (gpointer)g_bytes_get_data(bytes, NULL),
                               .iov_len = g_bytes_get_size(bytes) };

        if (!stream_send(&connection->stream, &piece, 1, wait))
            return FALSE;
    }
    return TRUE;
}

static gboolean
send_pieces(Connection *connection, const Message *message, const StreamWait *wait)
{
    if (message->n_spliced > 0)
        return stream_send_spliced(&connection->stream, message->pieces, message->n_pieces,
                                   message->pipe_fd, message->n_spliced, wait);
    return message->n_pieces == 0 ||
           stream_send(&connection->stream, message->pieces, message->n_pieces, wait);
}

static gboolean
send_message(Connection *connection, const Message *message, const StreamWait *wait)
{
    struct iovec tail = message->tail;

    return send_left_over(connection, wait) && send_pieces(connection, message, wait) &&
           (tail.iov_len == 0 || stream_send(&connection->stream, &tail, 1, wait));
}

/* Where it is held no longer. */

static gsize
message_length(const Message *message)
{
    gsize length = message->n_spliced + message->tail.iov_len;

    for (gsize i = 0; i < message->n_pieces; i++)
        length += message->pieces[i].iov_len;
    return length;
}

/* Who has it may be waiting for the client. */
static void
take_send_lock(Connection *connection, const StreamWait *wait)
{
    if (g_mutex_trylock(&connection->send_lock))
        return;
    if (wait != NULL)
        wait->func(wait->data);
    g_mutex_lock(&connection->send_lock);
}

gboolean
connection_send(Connection *connection, const Message *message, const StreamWait *wait)
{
    gboolean sent;

    /* Before the client can know it. */
    counters_add(&connection->counters.traffic.bytes_sent, message_length(message));
    g_atomic_int_inc(&connection->n_blocked);
    take_send_lock(connection, wait);
    sent = send_message(connection, message, wait);
    g_mutex_unlock(&connection->send_lock);
    g_atomic_int_add(&connection->n_blocked, -1);
    /* A message may have gone out in part: nothing that follows could be understood. */
    if (!sent)
        connection_cut(connection);
    return sent;
}

void
connection_send_or_leave(Connection *connection, const guint8 *bytes, gsize length)
{
    gboolean may_send = g_mutex_trylock(&connection->send_lock);
    gsize sent = 0;

    counters_add(&connection->counters.traffic.bytes_sent, length);
    if (may_send && !connection_has_left_over(connection))
        sent = stream_try_send(&connection->stream, bytes, length);
    if (sent < length)
        push_left_over(connection, bytes + sent, length - sent, sent > 0);
    if (may_send)
        g_mutex_unlock(&connection->send_lock);
}

/* Why it was sent away, if it was: a deadline comes before what the handshake failed for. */
static RefusedReason
find_refusal(Connection *connection)
{
    RefusedReason reason = (RefusedReason)g_atomic_int_get(&connection->refusal);

    return reason != REFUSED_NONE || connection->entered ? reason : connection->negotiation.refusal;
}

/* The last worker takes the connection with it. Its good-bye may have to wait for the client, so it
 * comes while the connection can still be cut. */
void
connection_leave(Connection *connection)
{
    LogTotals totals = { 0 };
    gboolean last;

    g_mutex_lock(&connection->lock);
    last = --connection->n_workers == 0;
    g_mutex_unlock(&connection->lock);
    if (!last)
        return;
    stream_say_goodbye(&connection->stream);
    counters_add(&connection->owner->counters->refused[find_refusal(connection)], 1);
    counters_leave(connection->owner->counters, &connection->counters, &totals);
    connection_log_end(connection, &totals);
    connection->owner->left(connection, connection->entered, connection->owner->data);
}

gboolean
connection_start_thread(Connection *connection, ThreadSetFunc func, GError **error)
{
    if (thread_set_start(connection->owner->threads, func, connection, error))
        return TRUE;
    g_mutex_lock(&connection->lock);
    connection->n_workers--;
    g_mutex_unlock(&connection->lock);
    return FALSE;
}

void
connection_work(gpointer data)
{
    Connection *connection = data;

    while (turns_run(connection))
        if (lounge_enter(connection->owner->lounge, &connection->guest))
            return;
    connection_leave(connection);
}

static void
count_handshake(Connection *connection, gboolean may_enter)
{
    const Negotiation *negotiation = &connection->negotiation;
    StrataCounters *counters = connection->owner->counters;
    HandshakeResult result = may_enter              ? HANDSHAKE_ENTERED
                             : negotiation->aborted ? HANDSHAKE_ABORTED
                                                    : HANDSHAKE_FAILED;

    counters_add(&counters->handshakes[result], 1);
    counters_add(&counters->tls_sessions, connection->peer.is_encrypted ? 1 : 0);
}

/* Names of snapshots and nodes that clients may ask for are not told apart. */
static void
connection_count_entry(Connection *connection)
{
    const char *label = export_view_get_label(connection->negotiation.view);

    counters_enter(connection->owner->counters, &connection->counters, label, connection->number,
                   connection->peer.address);
}

static void
enter(Connection *connection)
{
    g_mutex_lock(&connection->lock);
    connection->entered = TRUE;
    g_mutex_unlock(&connection->lock);
    connection->owner->entered(connection, connection->owner->data);
}

void
connection_serve(gpointer data)
{
    Connection *connection = data;
    gboolean may_enter = handshake_run(connection);
    g_autofree char *name = NULL;

    count_handshake(connection, may_enter);
    if (!may_enter) {
        connection_leave(connection);
        return;
    }
    enter(connection);
    connection_count_entry(connection);
    name = strata_escape(connection->negotiation.view->name);
    connection_log_event(connection, "serves", "serves \"%s\"", name);
    stream_tune(&connection->stream);
    stream_expect_idleness(&connection->stream, TURNS_IDLE_MS);
    connection_work(connection);
}

void
connection_greet(Connection *connection)
{
    connection->n_workers = 1;
    handshake_greet(connection);
}

gboolean
connection_start(Connection *connection, GError **error)
{
    return connection_start_thread(connection, connection_serve, error);
}
