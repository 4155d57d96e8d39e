/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-reply.c - requests as they go out and the headers of what comes back. */
#include "client-reply.h"

#include <inttypes.h>
#include <string.h>

#include "client-fail.h"
#include "protocol/proto.h"

#define MAX_ERROR_PAYLOAD (64 * 1024)

void
request_queue(Session *session, const Request *request, gint64 *sent_at)
{
    if (session->mode == SESSION_EXTENDED) {
        NbdExtRequestHeader header = { .magic = GUINT32_TO_BE(NBD_EXT_REQUEST_MAGIC),
                                       .flags = GUINT16_TO_BE(request->flags),
                                       .type = GUINT16_TO_BE(request->type),
                                       .handle = GUINT64_TO_BE(request->cookie),
                                       .offset = GUINT64_TO_BE(request->offset),
                                       .length = GUINT64_TO_BE(request->length) };

        wire_queue(&session->wire, &header, sizeof header, sent_at);
    } else {
        NbdRequestHeader header = { .magic = GUINT32_TO_BE(NBD_REQUEST_MAGIC),
                                    .flags = GUINT16_TO_BE(request->flags),
                                    .type = GUINT16_TO_BE(request->type),
                                    .handle = GUINT64_TO_BE(request->cookie),
                                    .offset = GUINT64_TO_BE(request->offset),
                                    .length = GUINT32_TO_BE((guint32)request->length) };

        wire_queue(&session->wire, &header, sizeof header, sent_at);
    }
}

static Reply
take_simple(Wire *wire)
{
    NbdSimpleReplyHeader header;

    memcpy(&header, wire_need(wire, sizeof header), sizeof header);
    wire_take(wire, sizeof header);
    return (Reply){ .is_simple = TRUE,
                    .is_done = TRUE,
                    .error = GUINT32_FROM_BE(header.error),
                    .cookie = GUINT64_FROM_BE(header.handle) };
}

static void
set_chunk_flags(Reply *reply, guint16 flags)
{
    if ((flags & ~NBD_REPLY_FLAG_DONE) != 0)
        fail("a chunk has the unknown flags 0x%x", flags);
    reply->is_done = (flags & NBD_REPLY_FLAG_DONE) != 0;
}

static Reply
take_chunk(Wire *wire)
{
    NbdChunkHeader header;
    Reply reply;

    memcpy(&header, wire_need(wire, sizeof header), sizeof header);
    wire_take(wire, sizeof header);
    reply = (Reply){ .type = GUINT16_FROM_BE(header.type),
                     .cookie = GUINT64_FROM_BE(header.handle),
                     .length = GUINT32_FROM_BE(header.length) };
    set_chunk_flags(&reply, GUINT16_FROM_BE(header.flags));
    return reply;
}

static Reply
take_extended_chunk(Wire *wire)
{
    NbdExtChunkHeader header;
    Reply reply;

    memcpy(&header, wire_need(wire, sizeof header), sizeof header);
    wire_take(wire, sizeof header);
    reply = (Reply){ .type = GUINT16_FROM_BE(header.type),
                     .cookie = GUINT64_FROM_BE(header.handle),
                     .offset = GUINT64_FROM_BE(header.offset),
                     .length = GUINT64_FROM_BE(header.length) };
    set_chunk_flags(&reply, GUINT16_FROM_BE(header.flags));
    return reply;
}

Reply
reply_receive(Session *session)
{
    guint32 magic;

    memcpy(&magic, wire_need(&session->wire, sizeof magic), sizeof magic);
    magic = GUINT32_FROM_BE(magic);
    if (session->mode == SESSION_EXTENDED && magic == NBD_EXT_CHUNK_MAGIC)
        return take_extended_chunk(&session->wire);
    if (session->mode == SESSION_STRUCTURED && magic == NBD_CHUNK_MAGIC)
        return take_chunk(&session->wire);
    if (session->mode != SESSION_EXTENDED && magic == NBD_SIMPLE_MAGIC)
        return take_simple(&session->wire);
    fail("a reply has the magic 0x%08x, which does not belong here", magic);
}

static const char *
describe(const Request *request)
{
    static __thread char text[128];

    g_snprintf(text, sizeof text, "%s of %" PRIu64 " bytes at 0x%" PRIx64,
               proto_command_name(request->type), request->length, request->offset);
    return text;
}

G_NORETURN static void
fail_of_error_chunk(Wire *wire, const Reply *reply, const Request *request)
{
    NbdErrorHeader header;
    const guint8 *payload;

    if (reply->length < sizeof header || reply->length > MAX_ERROR_PAYLOAD)
        fail("%s: an error chunk of %" PRIu64 " bytes", describe(request), reply->length);
    payload = wire_need(wire, reply->length);
    memcpy(&header, payload, sizeof header);
    header.message_length = GUINT16_FROM_BE(header.message_length);
    if (header.message_length > reply->length - sizeof header)
        fail("%s: an error message that is longer than its chunk", describe(request));
    fail("%s: the server answers %s: %.*s", describe(request),
         proto_error_name(GUINT32_FROM_BE(header.error)), header.message_length,
         (const char *)payload + sizeof header);
}

void
reply_check(Session *session, const Reply *reply, const Request *request)
{
    if (reply->is_simple) {
        if (reply->error != 0)
            fail("%s: the server answers %s", describe(request), proto_error_name(reply->error));
        if (session->mode != SESSION_SIMPLE)
            fail("%s: a simple reply where structured ones were agreed", describe(request));
        return;
    }
    if (session->mode == SESSION_EXTENDED && reply->offset != request->offset)
        fail("%s: a chunk with the offset 0x%" PRIx64, describe(request), reply->offset);
    if ((reply->type & 0x8000) != 0)
        fail_of_error_chunk(&session->wire, reply, request);
    if (reply->type == NBD_REPLY_TYPE_NONE && (reply->length != 0 || !reply->is_done))
        fail("%s: an NBD_REPLY_TYPE_NONE of %" PRIu64 " bytes, or that is not the last",
             describe(request), reply->length);
}
