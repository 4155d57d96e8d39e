/* SPDX-License-Identifier: LGPL-2.1-or-later
 * reply.c - framing of replies. */
#include "reply.h"

#include <string.h>

/* A header of whatever kind, with the offset that data in a chunk begins with. */
typedef struct {
    union {
        NbdSimpleReplyHeader simple;
        NbdChunkHeader chunk;
        NbdExtChunkHeader ext_chunk;
        guint8 bytes[sizeof(NbdExtChunkHeader) + sizeof(guint64)];
    };
    gsize length;
} Header;

static struct iovec
piece(gconstpointer data, gsize size)
{
    return (struct iovec){ .iov_base = (gpointer)data, .iov_len = size };
}

static Header
simple_header(const Request *request, guint32 error)
{
    return (Header){
      .simple =
          {
              .magic = GUINT32_TO_BE(NBD_SIMPLE_MAGIC),
              .error = GUINT32_TO_BE(error),
              .handle = request->handle,
          },
      .length = sizeof(NbdSimpleReplyHeader),
  };
}

static Header
compact_header(const Request *request, guint16 type, gboolean last, gsize length)
{
    return (Header){
      .chunk =
          {
              .magic = GUINT32_TO_BE(NBD_CHUNK_MAGIC),
              .flags = GUINT16_TO_BE(last ? NBD_REPLY_FLAG_DONE : 0),
              .type = GUINT16_TO_BE(type),
              .handle = request->handle,
              .length = GUINT32_TO_BE((guint32)length),
          },
      .length = sizeof(NbdChunkHeader),
  };
}

static Header
ext_header(const Request *request, guint16 type, gboolean last, gsize length)
{
    return (Header){
      .ext_chunk =
          {
              .magic = GUINT32_TO_BE(NBD_EXT_CHUNK_MAGIC),
              .flags = GUINT16_TO_BE(last ? NBD_REPLY_FLAG_DONE : 0),
              .type = GUINT16_TO_BE(type),
              .handle = request->handle,
              .offset = GUINT64_TO_BE(request->offset),
              .length = GUINT64_TO_BE(length),
          },
      .length = sizeof(NbdExtChunkHeader),
  };
}

static Header
chunk_header(const Worker *worker, const Request *request, guint16 type, gboolean last,
             gsize length)
{
    return worker->connection->negotiation.mode == MODE_EXTENDED
               ? ext_header(request, type, last, length)
               : compact_header(request, type, last, length);
}

/* The header before @length bytes of the range from @offset on. */
static Header
data_header(const Worker *worker, const Request *request, guint64 offset, gsize length,
            gboolean last)
{
    guint64 offset_be = GUINT64_TO_BE(offset);
    Header header;

    if (worker->connection->negotiation.mode == MODE_SIMPLE)
        return simple_header(request, 0);
    header =
        chunk_header(worker, request, NBD_REPLY_TYPE_OFFSET_DATA, last, sizeof offset_be + length);
    memcpy(header.bytes + header.length, &offset_be, sizeof offset_be);
    header.length += sizeof offset_be;
    return header;
}

static gboolean
send_header(Worker *worker, Header header)
{
    struct iovec pieces[] = { piece(&header, header.length) };
    Message message = { .pieces = pieces, .n_pieces = 1 };

    return worker_send(worker, &message);
}

static gboolean
send_chunk(Worker *worker, const Request *request, guint16 type, gboolean last,
           const struct iovec *payload, gsize n_payload)
{
    struct iovec pieces[MESSAGE_MAX_PIECES];
    Message message = { .pieces = pieces, .n_pieces = 1 + n_payload };
    gsize length = 0;
    Header header;

    for (gsize i = 0; i < n_payload; i++) {
        pieces[1 + i] = payload[i];
        length += payload[i].iov_len;
    }
    header = chunk_header(worker, request, type, last, length);
    pieces[0] = piece(&header, header.length);
    return worker_send(worker, &message);
}

gboolean
reply_done(Worker *worker, const Request *request)
{
    if (worker->connection->negotiation.mode == MODE_SIMPLE)
        return send_header(worker, simple_header(request, 0));
    return send_chunk(worker, request, NBD_REPLY_TYPE_NONE, TRUE, NULL, 0);
}

static NbdErrorHeader
error_header(guint32 error, guint16 length)
{
    return (NbdErrorHeader){
        .error = GUINT32_TO_BE(error),
        .message_length = GUINT16_TO_BE(length),
    };
}

gboolean
reply_error(Worker *worker, const Request *request, guint32 error, const char *message)
{
    guint16 length = proto_string_length(message);
    NbdErrorHeader header = error_header(error, length);
    struct iovec payload[] = { piece(&header, sizeof header), piece(message, length) };

    counters_failed(&worker->connection->counters, request->type);
    if (worker->connection->negotiation.mode == MODE_SIMPLE)
        return send_header(worker, simple_header(request, error));
    return send_chunk(worker, request, NBD_REPLY_TYPE_ERROR, TRUE, payload, G_N_ELEMENTS(payload));
}

gboolean
reply_error_at(Worker *worker, const Request *request, guint32 error, guint64 offset,
               const char *message)
{
    guint16 length = proto_string_length(message);
    NbdErrorHeader header = error_header(error, length);
    guint64 offset_be = GUINT64_TO_BE(offset);
    struct iovec payload[] = { piece(&header, sizeof header), piece(message, length),
                               piece(&offset_be, sizeof offset_be) };

    counters_failed(&worker->connection->counters, request->type);
    return send_chunk(worker, request, NBD_REPLY_TYPE_ERROR_OFFSET, TRUE, payload,
                      G_N_ELEMENTS(payload));
}

static gboolean
send_data(Worker *worker, Header header, const ReplyData *data)
{
    struct iovec pieces[] = { piece(&header, header.length), piece(data->bytes, data->n_bytes) };
    Message message = { .pieces = pieces, .n_pieces = 1 };

    if (data->n_spliced == 0) {
        message.n_pieces = 2;
    } else {
        message.pipe_fd = worker->pipe->out;
        message.n_spliced = data->n_spliced;
        message.tail = pieces[1];
    }
    counters_add(&worker->connection->counters.traffic.bytes_read, data->n_spliced + data->n_bytes);
    if (worker_send(worker, &message))
        return TRUE;
    worker_drop_pipe(worker); /* who knows what is left in it */
    return FALSE;
}

gboolean
reply_simple_data(Worker *worker, const Request *request, const ReplyData *data)
{
    return send_data(worker, simple_header(request, 0), data);
}

gboolean
reply_data(Worker *worker, const Request *request, guint64 offset, const ReplyData *data,
           gboolean last)
{
    gsize length = data->n_spliced + data->n_bytes;

    return send_data(worker, data_header(worker, request, offset, length, last), data);
}

/* What data_header() will have. */
static gsize
data_header_length(const Worker *worker)
{
    switch (worker->connection->negotiation.mode) {
    case MODE_SIMPLE:
        return sizeof(NbdSimpleReplyHeader);
    case MODE_STRUCTURED:
        return sizeof(NbdChunkHeader) + sizeof(guint64);
    case MODE_EXTENDED:
    default:
        return sizeof(NbdExtChunkHeader) + sizeof(guint64);
    }
}

/* Where the outbox is full it is sent; then there is room, unless it is too much for any. */
guint8 *
reply_open_data(Worker *worker, gsize length)
{
    gsize header_length = data_header_length(worker);
    guint8 *at;

    if (!worker_send_left_over(worker))
        return NULL;
    at = outbox_open(&worker->outbox, header_length + length);
    if (at == NULL && outbox_get_length(&worker->outbox) > 0 && worker_flush(worker, &worker->wait))
        at = outbox_open(&worker->outbox, header_length + length);
    return at != NULL ? at + header_length : NULL;
}

void
reply_close_data(Worker *worker, const Request *request, guint64 offset, guint32 length,
                 gboolean last)
{
    guint8 *at = outbox_get_open(&worker->outbox);
    Header header = data_header(worker, request, offset, length, last);

    if (length > 0)
        memcpy(at, header.bytes, header.length);
    counters_add(&worker->connection->counters.traffic.bytes_read, length);
    outbox_close(&worker->outbox, length > 0 ? header.length + length : 0);
}

gboolean
reply_hole(Worker *worker, const Request *request, guint64 offset, guint32 length, gboolean last)
{
    NbdHole hole = { .offset = GUINT64_TO_BE(offset), .length = GUINT32_TO_BE(length) };
    struct iovec payload[] = { piece(&hole, sizeof hole) };

    counters_add(&worker->connection->counters.traffic.bytes_read, length);
    return send_chunk(worker, request, NBD_REPLY_TYPE_OFFSET_HOLE, last, payload,
                      G_N_ELEMENTS(payload));
}

gboolean
reply_status(Worker *worker, const Request *request, guint32 context_id, struct iovec *pieces,
             gsize n_pieces, guint n_extents, gboolean last)
{
    NbdExtStatusHeader header = {
        .context_id = GUINT32_TO_BE(context_id),
        .n_extents = GUINT32_TO_BE(n_extents),
    };
    gboolean is_wide = worker->connection->negotiation.mode == MODE_EXTENDED;

    pieces[0] = piece(&header, is_wide ? sizeof header : sizeof header.context_id);
    counters_add(&worker->connection->counters.traffic.extents, n_extents);
    return send_chunk(worker, request,
                      is_wide ? NBD_REPLY_TYPE_BLOCK_STATUS_EXT : NBD_REPLY_TYPE_BLOCK_STATUS, last,
                      pieces, n_pieces);
}
