/* SPDX-License-Identifier: LGPL-2.1-or-later
 * reply.c - framing of replies. Header and payload leave in one system call. */
#include "reply.h"

#include <string.h>

#define MAX_PAYLOAD_PIECES 3

static struct iovec
piece(gconstpointer data, gsize size)
{
    return (struct iovec){ .iov_base = (gpointer)data, .iov_len = size };
}

static gboolean
send_simple(Connection *connection, const Request *request, guint32 error, gpointer data,
            gsize size)
{
    NbdSimpleReplyHeader header = {
        .magic = GUINT32_TO_BE(NBD_SIMPLE_MAGIC),
        .error = GUINT32_TO_BE(error),
        .handle = request->handle,
    };
    struct iovec pieces[] = { piece(&header, sizeof header), piece(data, size) };

    return connection_send(connection, pieces, size > 0 ? 2 : 1);
}

static gboolean
send_chunk(Connection *connection, const Request *request, guint16 type, gboolean last,
           const struct iovec *payload, gsize n_payload)
{
    NbdChunkHeader header = {
        .magic = GUINT32_TO_BE(NBD_CHUNK_MAGIC),
        .flags = GUINT16_TO_BE(last ? NBD_REPLY_FLAG_DONE : 0),
        .type = GUINT16_TO_BE(type),
        .handle = request->handle,
    };
    struct iovec pieces[1 + MAX_PAYLOAD_PIECES] = { piece(&header, sizeof header) };
    gsize length = 0;

    for (gsize i = 0; i < n_payload; i++) {
        pieces[1 + i] = payload[i];
        length += payload[i].iov_len;
    }
    header.length = GUINT32_TO_BE((guint32)length);
    return connection_send(connection, pieces, 1 + n_payload);
}

gboolean
reply_done(Connection *connection, const Request *request)
{
    if (!connection->negotiation.structured)
        return send_simple(connection, request, 0, NULL, 0);
    return send_chunk(connection, request, NBD_REPLY_TYPE_NONE, TRUE, NULL, 0);
}

/* As much of @message as a string may hold, cut between characters. */
static guint16
message_length(const char *message)
{
    gsize length = strlen(message);

    if (length <= NBD_MAX_STRING)
        return (guint16)length;
    return (guint16)(g_utf8_find_prev_char(message, message + NBD_MAX_STRING) - message);
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
reply_error(Connection *connection, const Request *request, guint32 error, const char *message)
{
    guint16 length = message_length(message);
    NbdErrorHeader header = error_header(error, length);
    struct iovec payload[] = { piece(&header, sizeof header), piece(message, length) };

    if (!connection->negotiation.structured)
        return send_simple(connection, request, error, NULL, 0);
    return send_chunk(connection, request, NBD_REPLY_TYPE_ERROR, TRUE, payload,
                      G_N_ELEMENTS(payload));
}

gboolean
reply_error_at(Connection *connection, const Request *request, guint32 error, guint64 offset,
               const char *message)
{
    guint16 length = message_length(message);
    NbdErrorHeader header = error_header(error, length);
    guint64 offset_be = GUINT64_TO_BE(offset);
    struct iovec payload[] = { piece(&header, sizeof header), piece(message, length),
                               piece(&offset_be, sizeof offset_be) };

    return send_chunk(connection, request, NBD_REPLY_TYPE_ERROR_OFFSET, TRUE, payload,
                      G_N_ELEMENTS(payload));
}

gboolean
reply_simple_data(Connection *connection, const Request *request, gpointer data)
{
    return send_simple(connection, request, 0, data, request->length);
}

gboolean
reply_data(Connection *connection, const Request *request, guint64 offset, gpointer data,
           guint32 length, gboolean last)
{
    guint64 offset_be = GUINT64_TO_BE(offset);
    struct iovec payload[] = { piece(&offset_be, sizeof offset_be), piece(data, length) };

    return send_chunk(connection, request, NBD_REPLY_TYPE_OFFSET_DATA, last, payload,
                      G_N_ELEMENTS(payload));
}

gboolean
reply_hole(Connection *connection, const Request *request, guint64 offset, guint32 length,
           gboolean last)
{
    NbdHole hole = { .offset = GUINT64_TO_BE(offset), .length = GUINT32_TO_BE(length) };
    struct iovec payload[] = { piece(&hole, sizeof hole) };

    return send_chunk(connection, request, NBD_REPLY_TYPE_OFFSET_HOLE, last, payload,
                      G_N_ELEMENTS(payload));
}

gboolean
reply_status(Connection *connection, const Request *request, guint32 context_id, NbdExtent *extents,
             guint n_extents, gboolean last)
{
    guint32 id_be = GUINT32_TO_BE(context_id);
    struct iovec payload[] = { piece(&id_be, sizeof id_be),
                               piece(extents, n_extents * sizeof *extents) };

    return send_chunk(connection, request, NBD_REPLY_TYPE_BLOCK_STATUS, last, payload,
                      G_N_ELEMENTS(payload));
}
