/* SPDX-License-Identifier: LGPL-2.1-or-later
 * serve-read.c - NBD_CMD_READ: runs to chunks of data and of holes, or to one piece. */
#include "commands.h"

#define NO_MEMORY "there is no memory for the reply"

typedef struct {
    Worker *worker;
    const Request *request;
    guint64 end; /* of the request's range */
} Reader;

/* What failed is told at its offset; what was sent before it stays good. Returns FALSE. */
static gboolean
fail_at(const Reader *reader, guint64 offset, const GError *error)
{
    command_log(reader->worker, reader->request, NBD_EIO, error->message);
    reply_error_at(reader->worker->connection, reader->request, NBD_EIO, offset,
                   command_client_message(reader->worker, error->message));
    return FALSE;
}

static gboolean
send_buffer(const Reader *reader, guint64 offset, gsize filled)
{
    if (filled == 0)
        return TRUE;
    return reply_data(reader->worker->connection, reader->request, offset,
                      worker_get_buffer(reader->worker), (guint32)filled,
                      offset + filled == reader->end);
}

/* @runs follow one another, so their bytes share chunks, as many as the buffer holds. */
static gboolean
send_data(const Reader *reader, const StrataRun *runs, gsize n_runs)
{
    guint8 *buffer = worker_get_buffer(reader->worker);
    guint64 start = runs[0].offset;
    gsize filled = 0;

    for (gsize i = 0; i < n_runs; i++) {
        guint64 skip = 0;

        while (skip < runs[i].length) {
            g_autoptr(GError) error = NULL;
            gsize piece = MIN(runs[i].length - skip, WORKER_BUFFER_SIZE - filled);

            if (!strata_run_read(&runs[i], skip, piece, buffer + filled, &error))
                return send_buffer(reader, start, filled) &&
                       fail_at(reader, runs[i].offset + skip, error);
            skip += piece;
            filled += piece;
            if (filled < WORKER_BUFFER_SIZE)
                continue;
            if (!send_buffer(reader, start, filled))
                return FALSE;
            start += filled;
            filled = 0;
        }
    }
    return send_buffer(reader, start, filled);
}

static gboolean
is_zero(const StrataRun *run)
{
    return (run->flags & STRATA_RUN_ZERO) != 0;
}

/* How many of @runs, from the first, are zeros or data alike. */
static gsize
count_alike(const StrataRun *runs, gsize n_runs)
{
    gsize n = 1;

    while (n < n_runs && is_zero(&runs[n]) == is_zero(&runs[0]))
        n++;
    return n;
}

static gboolean
send_hole(const Reader *reader, guint64 start, guint64 end)
{
    return reply_hole(reader->worker->connection, reader->request, start, (guint32)(end - start),
                      end == reader->end);
}

static gboolean
send_runs(const Reader *reader, const StrataRun *runs, gsize n_runs)
{
    while (n_runs > 0) {
        gsize n = count_alike(runs, n_runs);
        gboolean sent = is_zero(&runs[0]) ? send_hole(reader, runs[0].offset,
                                                      runs[n - 1].offset + runs[n - 1].length)
                                          : send_data(reader, runs, n);

        if (!sent)
            return FALSE;
        runs += n;
        n_runs -= n;
    }
    return TRUE;
}

/* The buffer is had before the first chunk is sent: a want of memory fails the request whole. */
static void
read_in_chunks(const Reader *reader)
{
    StrataWalk *walk = worker_get_walk(reader->worker);
    guint64 offset = reader->request->offset;

    if (worker_get_buffer(reader->worker) == NULL) {
        command_fail(reader->worker, reader->request, NBD_ENOMEM, NO_MEMORY);
        return;
    }
    while (offset < reader->end) {
        g_autoptr(GError) error = NULL;
        gsize n_runs;
        const StrataRun *runs;

        runs = strata_walk_resolve(walk, offset, reader->end - offset, &n_runs, &error);
        if (runs == NULL) {
            fail_at(reader, offset, error);
            return;
        }
        offset = runs[n_runs - 1].offset + runs[n_runs - 1].length;
        if (!send_runs(reader, runs, n_runs))
            return;
    }
}

/* For clients who want one piece: those without structured replies, and NBD_CMD_FLAG_DF. Nothing
 * may be sent before all is read, since an error could not be told any more. */
static void
read_in_one(const Reader *reader, guint8 *buffer)
{
    Worker *worker = reader->worker;
    const Request *request = reader->request;
    g_autoptr(GError) error = NULL;

    if (buffer == NULL)
        command_fail(worker, request, NBD_ENOMEM, NO_MEMORY);
    else if (!strata_walk_read(worker_get_walk(worker), request->offset, request->length, buffer,
                               &error))
        command_fail(worker, request, NBD_EIO, error->message);
    else if (worker->connection->negotiation.mode != MODE_SIMPLE)
        reply_data(worker->connection, request, request->offset, buffer, (guint32)request->length,
                   TRUE);
    else
        reply_simple_data(worker->connection, request, buffer);
}

static void
read_large_in_one(const Reader *reader)
{
    g_autofree guint8 *buffer = g_try_malloc(reader->request->length);

    read_in_one(reader, buffer);
}

/* Whether the answer is to be one piece. */
static gboolean
is_in_one(const Negotiation *negotiation, const Request *request)
{
    return negotiation->mode == MODE_SIMPLE || (request->flags & NBD_CMD_FLAG_DF) != 0;
}

guint64
command_read_memory(const Negotiation *negotiation, const Request *request)
{
    return WORKER_WALK_SIZE +
           (is_in_one(negotiation, request) && request->length > WORKER_BUFFER_SIZE
                ? MIN(request->length, NBD_MAX_BLOCK)
                : WORKER_BUFFER_SIZE);
}

void
command_read(Worker *worker, const Request *request)
{
    Reader reader = {
        .worker = worker,
        .request = request,
        .end = request->offset + request->length,
    };

    if (!is_in_one(&worker->connection->negotiation, request))
        read_in_chunks(&reader);
    else if (request->length > WORKER_BUFFER_SIZE)
        read_large_in_one(&reader);
    else
        read_in_one(&reader, worker_get_buffer(worker));
}
