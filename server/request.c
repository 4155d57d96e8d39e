/* SPDX-License-Identifier: LGPL-2.1-or-later
 * request.c - reading and checking one request. */
#include "request.h"

RequestResult
request_receive(Connection *connection, Request *out_request)
{
    NbdRequestHeader header;

    if (!stream_receive(&connection->stream, &header, sizeof header))
        return REQUEST_BROKEN;
    if (GUINT32_FROM_BE(header.magic) != NBD_REQUEST_MAGIC) {
        connection_log_failure(connection,
                               "the client sent 0x%08x where a request begins with 0x%08x",
                               GUINT32_FROM_BE(header.magic), NBD_REQUEST_MAGIC);
        return REQUEST_BROKEN;
    }
    *out_request = (Request){
        .flags = GUINT16_FROM_BE(header.flags),
        .type = GUINT16_FROM_BE(header.type),
        .handle = header.handle,
        .offset = GUINT64_FROM_BE(header.offset),
        .length = GUINT32_FROM_BE(header.length),
    };
    if (out_request->type == NBD_CMD_DISC)
        return REQUEST_DISCONNECT;
    if (out_request->type != NBD_CMD_WRITE)
        return REQUEST_CAME;
    if (out_request->length > NBD_MAX_DRAINED) {
        connection_log_failure(connection,
                               "the client writes %u bytes at once to a read-only "
                               "export: hanging up",
                               out_request->length);
        return REQUEST_BROKEN;
    }
    return stream_drain(&connection->stream, out_request->length) ? REQUEST_CAME : REQUEST_BROKEN;
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
    if (type == NBD_CMD_READ && negotiation->structured)
        return NBD_CMD_FLAG_DF;
    if (type == NBD_CMD_BLOCK_STATUS)
        return NBD_CMD_FLAG_REQ_ONE;
    return 0;
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
    if (request->type != NBD_CMD_BLOCK_STATUS && request->length > NBD_MAX_BLOCK)
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
