/* SPDX-License-Identifier: LGPL-2.1-or-later
 * reply.c - framing of replies. Header and payload leave in one system call. */
#include "reply.h"

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

static NbdChunkHeader
chunk_header(const Request *request, guint16 type, gboolean last, guint32 length)
{
    return (NbdChunkHeader){
        .magic = GUINT32_TO_BE(NBD_CHUNK_MAGIC),
        .flags = GUINT16_TO_BE(last ? NBD_REPLY_FLAG_DONE : 0),
        .type = GUINT16_TO_BE(type),
        .handle = request->handle,
        .length = GUINT32_TO_BE(length),
    };
}

static NbdExtChunkHeader
ext_chunk_header(const Request *request, guint16 type, gboolean last, guint32 length)
{
    return (NbdExtChunkHeader){
        .magic = GUINT32_TO_BE(NBD_EXT_CHUNK_MAGIC),
        .flags = GUINT16_TO_BE(last ? NBD_REPLY_FLAG_DONE : 0),
        .type = GUINT16_TO_BE(type),
        .handle = request->handle,
        .offset = GUINT64_TO_BE(request->offset),
        .length = GUINT64_TO_BE(length),
    };
}

static gboolean
send_chunk(Connection *connection, const Request *request, guint16 type, gboolean last,
           const struct iovec *payload, gsize n_payload)
{
    struct iovec pieces[1 + MAX_PAYLOAD_PIECES];
    NbdChunkHeader header;
    NbdExtChunkHeader ext_header;
    guint32 length = 0;

    for (gsize i = 0; i < n_payload; i++) {
        pieces[1 + i] = payload[i];
        length += (guint32)payload[i].iov_len;
    }
    if (connection->negotiation.mode == MODE_EXTENDED) {
        ext_header = ext_chunk_header(request, type, last, length);
        pieces[0] = piece(&ext_header, sizeof ext_header);
    } else {
        header = chunk_header(request, type, last, length);
        pieces[0] = piece(&header, sizeof header);
    }
    return connection_send(connection, pieces, 1 + n_payload);
}

gboolean
reply_done(Connection *connection, const Request *request)
{
    if (connection->negotiation.mode == MODE_SIMPLE)
        return send_simple(connection, request, 0, NULL, 0);
    return send_chunk(connection, request, NBD_REPLY_TYPE_NONE, TRUE, NULL, 0);
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
    guint16 length = proto_string_length(message);
    NbdErrorHeader header = error_header(error, length);
    struct iovec payload[] = { piece(&header, sizeof header), piece(message, length) };

    counters_failed(&connection->counters, request->type);
    if (connection->negotiation.mode == MODE_SIMPLE)
        return send_simple(connection, request, error, NULL, 0);
    return send_chunk(connection, request, NBD_REPLY_TYPE_ERROR, TRUE, payload,
                      G_N_ELEMENTS(payload));
}

gboolean
reply_error_at(Connection *connection, const Request *request, guint32 error, guint64 offset,
               const char *message)
{
    guint16 length = proto_string_length(message);
    NbdErrorHeader header = error_header(error, length);
    guint64 offset_be = GUINT64_TO_BE(offset);
    struct iovec payload[] = { piece(&header, sizeof header), piece(message, length),
                               piece(&offset_be, sizeof offset_be) };

    counters_failed(&connection->counters, request->type);
    return send_chunk(connection, request, NBD_REPLY_TYPE_ERROR_OFFSET, TRUE, payload,
                      G_N_ELEMENTS(payload));
}

gboolean
reply_simple_data(Connection *connection, const Request *request, gpointer data)
{
    counters_add(&connection->counters.traffic.bytes_read, request->length);
    return send_simple(connection, request, 0, data, request->length);
}

gboolean
reply_data(Connection *connection, const Request *request, guint64 offset, gpointer data,
           guint32 length, gboolean last)
{
    guint64 offset_be = GUINT64_TO_BE(offset);
    struct iovec payload[] = { piece(&offset_be, sizeof offset_be), piece(data, length) };

    counters_add(&connection->counters.traffic.bytes_read, length);
    return send_chunk(connection, request, NBD_REPLY_TYPE_OFFSET_DATA, last, payload,
                      G_N_ELEMENTS(payload));
}

gboolean
reply_hole(Connection *connection, const Request *request, guint64 offset, guint32 length,
           gboolean last)
{
    NbdHole hole = { .offset = GUINT64_TO_BE(offset), .length = GUINT32_TO_BE(length) };
    struct iovec payload[] = { piece(&hole, sizeof hole) };

    counters_add(&connection->counters.traffic.bytes_read, length);
    return send_chunk(connection, request, NBD_REPLY_TYPE_OFFSET_HOLE, last, payload,
                      G_N_ELEMENTS(payload));
}

guint
reply_pack_extents(NbdExtExtent *extents, guint n_extents)
{
    const guint64 longest = G_MAXUINT32 - G_MAXUINT32 % NBD_PREFERRED_BLOCK;
    NbdExtent *packed = (gpointer)extents; /* each is shorter, so that none is overwritten unread */
    guint n = 0;

    while (n < n_extents) {
        NbdExtExtent extent = extents[n];

        packed[n++] = (NbdExtent){
            .length = GUINT32_TO_BE((guint32)MIN(extent.length, longest)),
            .flags = GUINT32_TO_BE((guint32)extent.flags),
        };
        if (extent.length > longest)
            break;
    }
    return n;
}

void
reply_pack_ext_extents(NbdExtExtent *extents, guint n_extents)
{
    for (guint i = 0; i < n_extents; i++) {
        extents[i].length = GUINT64_TO_BE(extents[i].length);
        extents[i].flags = GUINT64_TO_BE(extents[i].flags);
    }
}

static gboolean
reply_ext_status(Connection *connection, const Request *request, guint32 context_id,
                 NbdExtExtent *extents, guint n_extents, gboolean last)
{
    NbdExtStatusHeader header = {
        .context_id = GUINT32_TO_BE(context_id),
        .n_extents = GUINT32_TO_BE(n_extents),
    };
    struct iovec payload[] = { piece(&header, sizeof header),
                               piece(extents, n_extents * sizeof *extents) };

    reply_pack_ext_extents(extents, n_extents);
    counters_add(&connection->counters.traffic.extents, n_extents);
    return send_chunk(connection, request, NBD_REPLY_TYPE_BLOCK_STATUS_EXT, last, payload,
                      G_N_ELEMENTS(payload));
}

gboolean
reply_status(Connection *connection, const Request *request, guint32 context_id,
             NbdExtExtent *extents, guint n_extents, gboolean last)
{
    guint32 id_be = GUINT32_TO_BE(context_id);
    struct iovec payload[] = { piece(&id_be, sizeof id_be), piece(extents, 0) };
    guint n_packed;

    if (connection->negotiation.mode == MODE_EXTENDED)
        return reply_ext_status(connection, request, context_id, extents, n_extents, last);
    n_packed = reply_pack_extents(extents, n_extents);
    payload[1].iov_len = n_packed * sizeof(NbdExtent);
    counters_add(&connection->counters.traffic.extents, n_packed);
    return send_chunk(connection, request, NBD_REPLY_TYPE_BLOCK_STATUS, last, payload,
                      G_N_ELEMENTS(payload));
}
