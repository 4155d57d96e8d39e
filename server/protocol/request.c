/* SPDX-License-Identifier: LGPL-2.1-or-later
 * request.c - reading and checking one request. */
#include "request.h"

#include <string.h>

#define BITS 64 /* of a word of Request.chosen */

/* The beginning of an extended request is laid out as a compact one is, up to where that ends. Only
 * that is read before the magic is known, so that a client of the other kind is not waited for. */
G_STATIC_ASSERT(G_STRUCT_OFFSET(NbdExtRequestHeader, length) ==
                G_STRUCT_OFFSET(NbdRequestHeader, length));

static guint32
request_magic(const Connection *connection)
{
    return connection->negotiation.mode == MODE_EXTENDED ? NBD_EXT_REQUEST_MAGIC
                                                         : NBD_REQUEST_MAGIC;
}

static gsize
header_size(gboolean extended)
{
    return extended ? sizeof(NbdExtRequestHeader) : sizeof(NbdRequestHeader);
}

static gboolean
receive_header(Connection *connection, NbdExtRequestHeader *out_header)
{
    gboolean extended = connection->negotiation.mode == MODE_EXTENDED;
    guint32 expected = request_magic(connection);
    guint8 *rest = (guint8 *)out_header + sizeof(NbdRequestHeader);
    NbdRequestHeader compact;
    guint64 length;

    if (!connection_receive(connection, &compact, sizeof compact))
        return FALSE;
    if (GUINT32_FROM_BE(compact.magic) != expected) {
        connection_log_failure(connection,
                               "the client sent 0x%08x where a request begins with 0x%08x",
                               GUINT32_FROM_BE(compact.magic), expected);
        return FALSE;
    }
    memcpy(out_header, &compact, sizeof compact);
    if (extended)
        return connection_receive(connection, rest, sizeof *out_header - sizeof compact);
    length = GUINT32_FROM_BE(compact.length);
    out_header->length = GUINT64_TO_BE(length);
    return TRUE;
}

/* How much comes behind the header. Returns FALSE where that cannot be known or is too much to be
 * read: then nothing that follows could be understood. */
static gboolean
find_payload(Connection *connection, const Request *request, guint64 *out_length)
{
    gboolean extended = connection->negotiation.mode == MODE_EXTENDED;
    gboolean announced = extended && (request->flags & NBD_CMD_FLAG_PAYLOAD_LEN) != 0;

    if (extended && request->type == NBD_CMD_WRITE && !announced) {
        connection_log_failure(connection, "the client sent NBD_CMD_WRITE without "
                                           "NBD_CMD_FLAG_PAYLOAD_LEN after having asked for "
                                           "extended headers: hanging up");
        return FALSE;
    }
    *out_length = announced || request->type == NBD_CMD_WRITE ? request->length : 0;
    if (*out_length <= NBD_MAX_DRAINED)
        return TRUE;
    connection_log_failure(connection,
                           "the client sends %s with %" G_GUINT64_FORMAT
                           " bytes of data, more than are read at once: hanging up",
                           proto_command_name(request->type), *out_length);
    return FALSE;
}

static void
set_chosen(Request *request, guint place)
{
    request->chosen[place / BITS] |= G_GUINT64_CONSTANT(1) << place % BITS;
    request->n_chosen++;
}

static gboolean
is_chosen(const Request *request, guint place)
{
    return request->chosen[place / BITS] >> place % BITS & 1;
}

static void
choose(Request *request, const NbdStatusPayload *payload, guint n_ids, guint n_contexts)
{
    request->length = GUINT64_FROM_BE(payload->length);
    for (guint i = 0; i < n_ids; i++) {
        guint32 id = GUINT32_FROM_BE(payload->context_ids[i]);

        if (id == 0 || id > n_contexts)
            request->fault = "the payload names a context that was not selected";
        else if (is_chosen(request, id - 1))
            request->fault = "the payload names a context twice";
        if (request->fault != NULL)
            return;
        set_chosen(request, id - 1);
    }
}

/* Reads what an NBD_CMD_BLOCK_STATUS says of contexts: the length of its range, then their ids. */
static gboolean
receive_choice(Connection *connection, Request *request, guint size)
{
    const GPtrArray *contexts = connection->negotiation.contexts;
    guint n_contexts = contexts == NULL ? 0 : contexts->len;
    guint8 buffer[sizeof(NbdStatusPayload) + CONTEXTS_MAX_SELECTED * sizeof(guint32)];
    guint n_ids;

    if (size <= sizeof(NbdStatusPayload) || size % sizeof(guint32) != 0) {
        request->fault = "the payload is not a length of 64 bits and ids of 32 bits";
        return connection_drain(connection, size);
    }
    n_ids = (guint)((size - sizeof(NbdStatusPayload)) / sizeof(guint32));
    if (n_ids > n_contexts) {
        request->fault = "the payload names more contexts than were selected";
        return connection_drain(connection, size);
    }
    if (!connection_receive(connection, buffer, size))
        return FALSE;
    choose(request, (const NbdStatusPayload *)(gconstpointer)buffer, n_ids, n_contexts);
    return TRUE;
}

/* How much comes with the header in @bytes; what no request can be is read no further. */
static guint64
whole_length(const guint8 *bytes, gboolean extended)
{
    gsize header = header_size(extended);
    NbdExtRequestHeader copy = { 0 };
    guint64 length;
    guint16 type;

    memcpy(&copy, bytes, header);
    type = GUINT16_FROM_BE(copy.type);
    length = extended ? GUINT64_FROM_BE(copy.length)
                      : GUINT32_FROM_BE(((const NbdRequestHeader *)(gconstpointer)bytes)->length);
    if (type != NBD_CMD_WRITE &&
        !(extended && (GUINT16_FROM_BE(copy.flags) & NBD_CMD_FLAG_PAYLOAD_LEN) != 0))
        length = 0;
    return length > NBD_MAX_DRAINED ? header : header + length;
}

/* What is larger than the inbox is never there: it is waited for. Nothing is where there is no
 * magic: that is found out at once, with what a header of either kind has. */
gboolean
request_is_there(const Connection *connection)
{
    gboolean extended = connection->negotiation.mode == MODE_EXTENDED;
    gsize received;
    const guint8 *bytes = inbox_peek(&connection->inbox, &received);
    NbdRequestHeader compact;

    if (received < sizeof compact)
        return FALSE;
    memcpy(&compact, bytes, sizeof compact); /* they begin anywhere */
    if (GUINT32_FROM_BE(compact.magic) != request_magic(connection))
        return TRUE;
    return received >= header_size(extended) && received >= whole_length(bytes, extended);
}

gsize
request_count(const Connection *connection)
{
    gsize received;

    inbox_peek(&connection->inbox, &received);
    return received / header_size(connection->negotiation.mode == MODE_EXTENDED);
}

RequestResult
request_receive(Connection *connection, Request *out_request)
{
    NbdExtRequestHeader header;
    guint64 payload;
    gboolean received;

    if (!receive_header(connection, &header))
        return REQUEST_BROKEN;
    *out_request = (Request){
        .flags = GUINT16_FROM_BE(header.flags),
        .type = GUINT16_FROM_BE(header.type),
        .handle = header.handle,
        .offset = GUINT64_FROM_BE(header.offset),
        .length = GUINT64_FROM_BE(header.length),
        .came = connection->last_received,
    };
    if (out_request->type == NBD_CMD_DISC)
        return REQUEST_DISCONNECT;
    if (!find_payload(connection, out_request, &payload))
        return REQUEST_BROKEN;
    if (out_request->type == NBD_CMD_BLOCK_STATUS && payload > 0)
        received = receive_choice(connection, out_request, (guint)payload);
    else
        received = connection_drain(connection, payload);
    return received ? REQUEST_CAME : REQUEST_BROKEN;
}

gboolean
request_chooses(const Request *request, guint place)
{
    return request->n_chosen == 0 || is_chosen(request, place);
}

static gboolean
is_write(guint16 type)
{
    return type == NBD_CMD_WRITE || type == NBD_CMD_TRIM || type == NBD_CMD_WRITE_ZEROES;
}

static gboolean
is_known(guint16 type)
{
    return type == NBD_CMD_READ || type == NBD_CMD_FLUSH || type == NBD_CMD_CACHE ||
           type == NBD_CMD_BLOCK_STATUS;
}

static guint16
allowed_flags(const Negotiation *negotiation, guint16 type)
{
    if (type == NBD_CMD_READ && negotiation->mode != MODE_SIMPLE)
        return NBD_CMD_FLAG_DF;
    if (type == NBD_CMD_BLOCK_STATUS && negotiation->mode == MODE_EXTENDED)
        return NBD_CMD_FLAG_REQ_ONE | NBD_CMD_FLAG_PAYLOAD_LEN;
    if (type == NBD_CMD_BLOCK_STATUS)
        return NBD_CMD_FLAG_REQ_ONE;
    return 0;
}

/* Whether a length over the maximum block size is one too many. That size is about payloads once
 * there are extended headers, and before them about NBD_CMD_CACHE as well. */
static gboolean
is_bounded(const Negotiation *negotiation, guint16 type)
{
    return type == NBD_CMD_READ || (type == NBD_CMD_CACHE && negotiation->mode != MODE_EXTENDED);
}

/* Returns what is wrong with the range of a request that has one, else NULL. */
static const char *
check_range(const Negotiation *negotiation, const Request *request)
{
    guint64 size = strata_node_get_size(negotiation->view->node);

    if (request->length == 0)
        return "the length is 0";
    if (request->offset > size || request->length > size - request->offset)
        return "the range ends beyond the end of the export";
    if (is_bounded(negotiation, request->type) && request->length > NBD_MAX_BLOCK)
        return "the length is over the maximum block size, 32 MiB";
    return NULL;
}

static const char *
find_fault(const Negotiation *negotiation, const Request *request)
{
    if (!is_known(request->type))
        return "the command is unknown to this server";
    if (request->flags & ~allowed_flags(negotiation, request->type))
        return "the command has flags that do not belong to it";
    if (request->type == NBD_CMD_FLUSH)
        return request->offset != 0 || request->length != 0 ? "a flush has no range" : NULL;
    if (request->type == NBD_CMD_BLOCK_STATUS &&
        (negotiation->contexts == NULL || negotiation->contexts->len == 0))
        return "no metadata context was selected on this export";
    if (request->fault != NULL)
        return request->fault;
    return check_range(negotiation, request);
}

guint32
request_check(const Negotiation *negotiation, const Request *request, const char **out_message)
{
    if (is_write(request->type)) {
        *out_message = "the export is read-only";
        return NBD_EPERM;
    }
    *out_message = find_fault(negotiation, request);
    return *out_message == NULL ? 0 : NBD_EINVAL;
}
