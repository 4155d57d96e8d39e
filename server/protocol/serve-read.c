/* SPDX-License-Identifier: LGPL-2.1-or-later
 * serve-read.c - NBD_CMD_READ: runs to chunks of data and of holes, or to one piece.
 *
 * A little data is read right behind its header in the outbox. Much data that lies in files of this
 * host as it is goes by way of a pipe, without being copied: the pipe is filled first, so that what
 * cannot be read is known before a header says how much comes. All else goes through a buffer. */
#include "commands.h"

#define NO_MEMORY "there is no memory for the reply"

/* What is read into the outbox, if there is room. */
#define MOST_GATHERED ((gsize)32 * 1024)

typedef struct {
    Worker *worker;
    const Request *request;
    guint64 end; /* of the request's range */
} Reader;

/* Runs that follow one another, and how far they have been read. */
typedef struct {
    const StrataRun *runs;
    gsize n_runs;
    guint64 skip; /* in the first */
} Rest;

static guint64
rest_offset(const Rest *rest)
{
    return rest->runs[0].offset + rest->skip;
}

static guint64
rest_length(const Rest *rest)
{
    const StrataRun *last;

    if (rest->n_runs == 0)
        return 0;
    last = &rest->runs[rest->n_runs - 1];
    return last->offset + last->length - rest_offset(rest);
}

static void
rest_step(Rest *rest, guint64 length)
{
    rest->skip += length;
    if (rest->skip < rest->runs[0].length)
        return;
    rest->skip = 0;
    rest->runs++;
    rest->n_runs--;
}

/* Up to @length bytes into @buffer. Returns how many; if they are fewer, @error is set. */
static gsize
read_rest(Rest *rest, gsize length, guint8 *buffer, GError **error)
{
    gsize filled = 0;

    while (filled < length && rest->n_runs > 0) {
        gsize piece = MIN(rest->runs[0].length - rest->skip, length - filled);

        if (!strata_run_read(&rest->runs[0], rest->skip, piece, buffer + filled, error))
            break;
        filled += piece;
        rest_step(rest, piece);
    }
    return filled;
}

/* As much as the pipe holds, up to what has to be read in another way. Returns how much that is; a
 * failure, with @error, is one of what follows. */
static gsize
splice_rest(Rest *rest, const Pipe *pipe, GError **error)
{
    gsize filled = 0;

    while (filled < pipe->size && rest->n_runs > 0) {
        gsize wanted = MIN(rest->runs[0].length - rest->skip, pipe->size - filled);
        gssize n = strata_run_splice(&rest->runs[0], rest->skip, wanted, pipe->in, error);

        if (n <= 0)
            break;
        filled += (gsize)n;
        rest_step(rest, (guint64)n);
    }
    return filled;
}

/* What failed is told at its offset; what was sent before it stays good. Returns FALSE. */
static gboolean
fail_at(const Reader *reader, guint64 offset, const GError *error)
{
    command_log(reader->worker, reader->request, NBD_EIO, error->message);
    reply_error_at(reader->worker, reader->request, NBD_EIO, offset,
                   command_client_message(reader->worker, error->message));
    return FALSE;
}

static gboolean
fail_for_memory(const Reader *reader, guint64 offset)
{
    command_log(reader->worker, reader->request, NBD_ENOMEM, NO_MEMORY);
    reply_error_at(reader->worker, reader->request, NBD_ENOMEM, offset, NO_MEMORY);
    return FALSE;
}

/* Ends in @data of the request, at its end or before it. */
static gboolean
send_data(const Reader *reader, guint64 offset, const ReplyData *data)
{
    gsize length = data->n_spliced + data->n_bytes;

    return length == 0 || reply_data(reader->worker, reader->request, offset, data,
                                     offset + length == reader->end);
}

/* A little: right into its place. Returns FALSE if there is none. */
static gboolean
gather(const Reader *reader, Rest *rest, gboolean *out_sent)
{
    g_autoptr(GError) error = NULL;
    guint64 offset = rest_offset(rest);
    gsize length = (gsize)rest_length(rest);
    guint8 *at = length <= MOST_GATHERED ? reply_open_data(reader->worker, length) : NULL;
    gsize filled;

    if (at == NULL)
        return FALSE;
    filled = read_rest(rest, length, at, &error);
    reply_close_data(reader->worker, reader->request, offset, (guint32)filled,
                     offset + filled == reader->end);
    *out_sent = filled == length || fail_at(reader, offset + filled, error);
    return TRUE;
}

static gboolean
send_copied(const Reader *reader, Rest *rest)
{
    gboolean sent = TRUE;

    if (rest->n_runs > 0 && gather(reader, rest, &sent))
        return sent;
    while (sent && rest->n_runs > 0) {
        g_autoptr(GError) error = NULL;
        guint64 offset = rest_offset(rest);
        gsize wanted = (gsize)MIN(rest_length(rest), WORKER_BUFFER_SIZE);
        ReplyData data = { .bytes = worker_get_buffer(reader->worker) };

        if (data.bytes == NULL)
            return fail_for_memory(reader, offset);
        data.n_bytes = read_rest(rest, wanted, data.bytes, &error);
        sent = send_data(reader, offset, &data) &&
               (data.n_bytes == wanted || fail_at(reader, offset + data.n_bytes, error));
    }
    return sent;
}

/* As long as a pipe takes what is there, or is to be had; else the rest is copied. */
static gboolean
send_spliced(const Reader *reader, Rest *rest)
{
    const gsize least = reader->worker->connection->stream.least_spliced;

    while (rest->n_runs > 0 && rest_length(rest) >= least) {
        g_autoptr(GError) error = NULL;
        guint64 offset = rest_offset(rest);
        const Pipe *pipe = worker_get_pipe(reader->worker);
        ReplyData data = { 0 };

        if (pipe != NULL)
            data.n_spliced = splice_rest(rest, pipe, &error);
        if (!send_data(reader, offset, &data))
            return FALSE;
        if (error != NULL)
            return fail_at(reader, offset + data.n_spliced, error);
        if (data.n_spliced == 0)
            break;
    }
    return send_copied(reader, rest);
}

static gboolean
send_hole(const Reader *reader, const StrataRun *runs, gsize n_runs)
{
    guint64 start = runs[0].offset;
    guint64 end = runs[n_runs - 1].offset + runs[n_runs - 1].length;

    return reply_hole(reader->worker, reader->request, start, (guint32)(end - start),
                      end == reader->end);
}

/* How the bytes of a run are sent. */
typedef enum {
    AS_HOLE,
    SPLICED,
    COPIED,
} Way;

static Way
way_of(const StrataRun *run)
{
    if (run->flags & STRATA_RUN_ZERO)
        return AS_HOLE;
    return strata_run_can_splice(run) ? SPLICED : COPIED;
}

/* How many of @runs, from the first, go the same way. */
static gsize
count_alike(const StrataRun *runs, gsize n_runs)
{
    Way way = way_of(&runs[0]);
    gsize n = 1;

    while (n < n_runs && way_of(&runs[n]) == way)
        n++;
    return n;
}

static gboolean
send_alike(const Reader *reader, const StrataRun *runs, gsize n_runs)
{
    Rest rest = { .runs = runs, .n_runs = n_runs };

    switch (way_of(&runs[0])) {
    case AS_HOLE:
        return send_hole(reader, runs, n_runs);
    case SPLICED:
        return send_spliced(reader, &rest);
    case COPIED:
    default:
        return send_copied(reader, &rest);
    }
}

static gboolean
send_runs(const Reader *reader, const StrataRun *runs, gsize n_runs)
{
    while (n_runs > 0) {
        gsize n = count_alike(runs, n_runs);

        if (!send_alike(reader, runs, n))
            return FALSE;
        runs += n;
        n_runs -= n;
    }
    return TRUE;
}

static void
read_in_chunks(const Reader *reader)
{
    StrataWalk *walk = worker_get_reading_walk(reader->worker);
    guint64 offset = reader->request->offset;

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

static gboolean
send_one(const Reader *reader, const ReplyData *data)
{
    const Request *request = reader->request;

    if (reader->worker->connection->negotiation.mode == MODE_SIMPLE)
        return reply_simple_data(reader->worker, request, data);
    return reply_data(reader->worker, request, request->offset, data, TRUE);
}

/* Returns FALSE if there is no place for it in the outbox. */
static gboolean
gather_one(const Reader *reader)
{
    const Request *request = reader->request;
    StrataWalk *walk = worker_get_reading_walk(reader->worker);
    g_autoptr(GError) error = NULL;
    gboolean is_read;
    guint8 *at = NULL;

    if (request->length <= MOST_GATHERED)
        at = reply_open_data(reader->worker, request->length);
    if (at == NULL)
        return FALSE;
    is_read = strata_walk_read(walk, request->offset, request->length, at, &error);
    reply_close_data(reader->worker, request, request->offset,
                     is_read ? (guint32)request->length : 0, TRUE);
    if (!is_read)
        command_fail(reader->worker, request, NBD_EIO, error->message);
    return TRUE;
}

/* As much of the beginning as may go through the pipe. Returns how much that is. What fails here is
 * no error yet: whoever reads the rest meets it again. */
static gsize
splice_beginning(const Reader *reader)
{
    const Request *request = reader->request;
    const gsize least = reader->worker->connection->stream.least_spliced;
    StrataWalk *walk = worker_get_reading_walk(reader->worker);
    Pipe *pipe = NULL;
    const StrataRun *runs;
    gsize n_runs;
    Rest rest;

    if (request->length < least)
        return 0;
    runs = strata_walk_resolve(walk, request->offset, request->length, &n_runs, NULL);
    if (runs == NULL)
        return 0;
    rest = (Rest){ .runs = runs, .n_runs = n_runs };
    for (gsize i = 0; i < n_runs; i++)
        if (way_of(&runs[i]) != SPLICED)
            rest.n_runs = MIN(rest.n_runs, i);
    if (rest_length(&rest) >= least)
        pipe = worker_get_pipe(reader->worker);
    return pipe != NULL ? splice_rest(&rest, pipe, NULL) : 0;
}

/* For clients who want one piece: those without structured replies, and NBD_CMD_FLAG_DF. Nothing
 * may be sent before all is read, since an error could not be told any more. Returns whether the
 * data was sent. */
static gboolean
read_in_one(const Reader *reader, guint8 *buffer, gsize n_spliced)
{
    const Request *request = reader->request;
    guint64 offset = request->offset + n_spliced;
    g_autoptr(GError) error = NULL;
    ReplyData data = {
        .n_spliced = n_spliced,
        .bytes = buffer,
        .n_bytes = request->length - n_spliced,
    };

    if (buffer == NULL && data.n_bytes > 0) {
        command_fail(reader->worker, request, NBD_ENOMEM, NO_MEMORY);
        return FALSE;
    }
    if (data.n_bytes > 0 && !strata_walk_read(worker_get_reading_walk(reader->worker), offset,
                                              data.n_bytes, buffer, &error)) {
        command_fail(reader->worker, request, NBD_EIO, error->message);
        return FALSE;
    }
    return send_one(reader, &data);
}

static void
read_large_in_one(const Reader *reader)
{
    g_autofree guint8 *buffer = g_try_malloc(reader->request->length);

    read_in_one(reader, buffer, 0);
}

/* A pipe in which pages are left is of no use any more. */
static void
read_medium_in_one(const Reader *reader)
{
    gsize n_spliced = splice_beginning(reader);
    gboolean is_whole = n_spliced == reader->request->length;

    if (!read_in_one(reader, is_whole ? NULL : worker_get_buffer(reader->worker), n_spliced) &&
        n_spliced > 0)
        worker_drop_pipe(reader->worker);
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
    return command_walk_memory(negotiation) +
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
    else if (!gather_one(&reader))
        read_medium_in_one(&reader);
}
