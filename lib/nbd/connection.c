/* SPDX-License-Identifier: LGPL-2.1-or-later
 * connection.c - the thread of one connection: connects, sends, receives, and begins again.
 *
 * It alone touches its libnbd handle, and never waits in libnbd: it polls, and looks up when there
 * is something in its inbox, when it is time to end, or when the server has been silent for too
 * long. */
#include "nbd/connection.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "error.h"

/* The time between two attempts doubles from the first to the last of these, give or take a
 * quarter: the clients of a server that comes back shall not all come at the same moment. */
#define FIRST_BACK_OFF_MSEC 100
#define LAST_BACK_OFF_MSEC  5000

static void
forget_wakes(RemoteConnection *connection)
{
    guint64 count;

    /* Not there is as good. */
    if (read(connection->wake_fd, &count, sizeof count) < 0)
        return;
}

static void
back_off(RemoteConnection *connection)
{
    struct pollfd fd = { .fd = connection->wake_fd, .events = POLLIN };
    guint doublings = MIN(connection->failures, 6);
    gint msec = MIN(FIRST_BACK_OFF_MSEC << doublings, LAST_BACK_OFF_MSEC);

    connection->failures++;
    poll(&fd, 1, g_random_int_range(msec * 3 / 4, msec * 5 / 4));
}

static int
on_reply(void *user_data, int *error)
{
    RemoteRequest *request = user_data;

    /* libnbd says ENOTCONN, which no server can, of what a broken connection leaves behind; and
     * ESHUTDOWN is a server that wants no more requests. Both are asked elsewhere. */
    request->errnum = *error;
    request->has_reply = *error != ENOTCONN && *error != ESHUTDOWN;
    return 1;
}

static int
on_chunk(void *user_data, const void *bytes, size_t length, uint64_t offset, unsigned status,
         int *error)
{
    RemoteRequest *request = user_data;

    if (status != LIBNBD_READ_ERROR)
        remote_cover_add(&request->cover, offset, length);
    return 0;
}

static int
on_extents(void *user_data, const char *context, uint64_t offset, uint32_t *entries,
           size_t n_entries, int *error)
{
    RemoteRequest *request = user_data;
    const GPtrArray *contexts = request->contexts;

    for (guint i = 0; i < contexts->len; i++)
        if (g_str_equal(contexts->pdata[i], context))
            remote_status_add(request->status, i, entries, n_entries);
    return 0;
}

static gboolean
is_usable(RemoteConnection *connection)
{
    return nbd_aio_is_ready(connection->nbd) > 0 || nbd_aio_is_processing(connection->nbd) > 0;
}

static void
send_request(RemoteConnection *connection, RemoteRequest *request)
{
    nbd_completion_callback completion = { .callback = on_reply, .user_data = request };
    nbd_extent_callback extents = { .callback = on_extents, .user_data = request };
    nbd_chunk_callback chunk = { .callback = on_chunk, .user_data = request };
    int64_t cookie;

    request->sent_at = g_get_monotonic_time();
    request->errnum = 0;
    request->contexts = remote_pool_get_export(connection->pool)->contexts;
    if (request->status)
        remote_status_reset(request->status);
    remote_cover_clear(&request->cover);
    if (request->buffer)
        cookie = nbd_aio_pread_structured(connection->nbd, request->buffer, request->length,
                                          request->offset, chunk, completion, 0);
    else
        cookie = nbd_aio_block_status(connection->nbd, request->length, request->offset, extents,
                                      completion, 0);
    if (cookie < 0 && is_usable(connection))
        remote_pool_finish(connection->pool, connection, request, remote_handle_explain());
    else
        g_queue_push_tail(&connection->in_flight, request);
}

static char *
explain_refusal(const RemoteRequest *request)
{
    return g_strdup_printf("the server answers a request for %s of 0x%" G_GINT64_MODIFIER
                           "x bytes at 0x%" G_GINT64_MODIFIER "x with an error: %s",
                           request->buffer ? "the content" : "the status", request->length,
                           request->offset, g_strerror(request->errnum));
}

/* Why a request that the server has answered is none the better for it; NULL if it is. A block
 * status is looked at by who asked for it. */
static char *
find_failure(const RemoteRequest *request)
{
    const char *wrong = NULL;

    if (request->errnum)
        return explain_refusal(request);
    if (request->buffer)
        wrong = remote_cover_find_fault(&request->cover, request->offset, request->length);
    return wrong ? g_strdup_printf("the server's answer about the content of the range at "
                                   "0x%" G_GINT64_MODIFIER "x cannot be used: %s",
                                   request->offset, wrong)
                 : NULL;
}

/* Hands back what has been answered. */
static void
deliver(RemoteConnection *connection)
{
    for (GList *link = connection->in_flight.head, *next; link; link = next) {
        RemoteRequest *request = link->data;

        next = link->next;
        if (!request->has_reply)
            continue;
        if (link == connection->in_flight.head)
            connection->oldest_since = g_get_monotonic_time();
        g_queue_delete_link(&connection->in_flight, link);
        connection->failures = 0;
        remote_pool_finish(connection->pool, connection, request, find_failure(request));
    }
}

/* When the server, which owes us answers, will have been silent for too long. A slow one answers
 * what waits longest, and the time begins anew for the next; that it answers what came later helps
 * none that it has forgotten. */
static gint64
find_silence_end(const RemoteConnection *connection)
{
    const RemoteRequest *oldest = g_queue_peek_head((GQueue *)&connection->in_flight);

    return oldest ? MAX(oldest->sent_at, connection->oldest_since) +
                        connection->pool->target->answer_usec
                  : G_MAXINT64;
}

/* Ends what was sent too long ago. No reply may come to it any more: the handle is closed. */
static void
fail_unanswered(RemoteConnection *connection)
{
    gint64 answer_usec = connection->pool->target->answer_usec;
    gint64 oldest = g_get_monotonic_time() - answer_usec;
    RemoteRequest *request;

    while ((request = g_queue_peek_head(&connection->in_flight)) && request->sent_at <= oldest) {
        g_queue_pop_head(&connection->in_flight);
        remote_pool_finish(
            connection->pool, connection, request,
            g_strdup_printf("the server has not answered for %" G_GINT64_FORMAT
                            " seconds (\"answer-timeout\" says how long it may take)",
                            answer_usec / G_USEC_PER_SEC));
    }
}

static gboolean
wants_no_more(RemoteConnection *connection)
{
    for (GList *link = connection->in_flight.head; link; link = link->next)
        if (((const RemoteRequest *)link->data)->errnum == ESHUTDOWN)
            return TRUE;
    return FALSE;
}

/* Sends and receives until the connection breaks or is to end. Returns why; the handle is closed.
 */
static char *
serve(RemoteConnection *connection)
{
    char *reason = NULL;

    connection->oldest_since = 0;
    while (!reason) {
        GQueue requests;
        RemoteRequest *request;

        forget_wakes(connection);
        if (!remote_pool_take_inbox(connection->pool, connection, &requests))
            reason = g_strdup("it is being closed");
        while ((request = g_queue_pop_head(&requests)))
            send_request(connection, request);
        /* Sending may have broken it: then there is nothing that could be waited for. */
        if (!reason && is_usable(connection))
            remote_handle_poll(connection->nbd, connection->wake_fd, find_silence_end(connection));
        if (!is_usable(connection))
            reason = remote_handle_explain();
        deliver(connection);
        if (!reason && wants_no_more(connection))
            reason = g_strdup("the server is shutting down");
        else if (!reason && find_silence_end(connection) <= g_get_monotonic_time())
            reason = g_strdup("the server does not answer");
    }
    remote_handle_close(g_steal_pointer(&connection->nbd));
    fail_unanswered(connection);
    return reason;
}

static void
connect_and_serve(RemoteConnection *connection)
{
    RemotePool *pool = connection->pool;
    gint64 deadline = g_get_monotonic_time() + pool->target->answer_usec;
    RemoteExport *export = NULL;
    char *reason = NULL;

    connection->nbd = remote_handle_open(pool->target, pool->bitmap, connection->wake_fd, deadline,
                                         &connection->socket, &export, &reason);
    if (!connection->nbd)
        remote_pool_note_failed(pool, connection, reason);
    else if (remote_pool_note_live(pool, connection, export))
        remote_pool_note_lost(pool, connection, serve(connection));
    else
        remote_handle_close(g_steal_pointer(&connection->nbd));
}

gpointer
remote_connection_main(gpointer data)
{
    RemoteConnection *connection = data;

    /* A wake that is forgotten here was meant for what is looked at next. */
    forget_wakes(connection);
    while (!remote_pool_is_stopping(connection->pool)) {
        connect_and_serve(connection);
        /* Who is to end has no use for waiting, and the wake that said so may be forgotten. */
        if (!connection->is_first || remote_pool_is_stopping(connection->pool))
            break;
        back_off(connection);
        forget_wakes(connection);
    }
    remote_pool_note_ended(connection->pool, connection);
    return NULL;
}
