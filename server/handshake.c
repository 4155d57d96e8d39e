/* SPDX-License-Identifier: LGPL-2.1-or-later
 * handshake.c - from the greeting through the option loop to the transmission phase (proto.md,
 * "Fixed newstyle negotiation"). */
#include "connection.h"

static gboolean
send_bytes(Connection *connection, gconstpointer data, gsize size)
{
    struct iovec piece = { .iov_base = (gpointer)data, .iov_len = size };

    return size == 0 || connection_send(connection, &piece, 1);
}

static gboolean
greet(Connection *connection)
{
    NbdGreeting greeting = {
        .magic = GUINT64_TO_BE(NBD_MAGIC),
        .option_magic = GUINT64_TO_BE(NBD_OPTION_MAGIC),
        .flags = GUINT16_TO_BE(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES),
    };

    return send_bytes(connection, &greeting, sizeof greeting);
}

static gboolean
receive_client_flags(Connection *connection)
{
    guint32 flags;

    if (!stream_receive(&connection->stream, &flags, sizeof flags))
        return FALSE;
    flags = GUINT32_FROM_BE(flags);
    if (flags & ~(NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES)) {
        connection_log_failure(connection, "the client set unknown handshake flags: 0x%x", flags);
        return FALSE;
    }
    connection->negotiation.fixed = (flags & NBD_FLAG_C_FIXED_NEWSTYLE) != 0;
    connection->negotiation.no_zeroes = (flags & NBD_FLAG_C_NO_ZEROES) != 0;
    return TRUE;
}

/* Whether the option that @header announces may be listened to at all. */
static gboolean
check_option(Connection *connection, guint64 magic, guint32 number, guint32 length)
{
    if (magic != NBD_OPTION_MAGIC) {
        connection_log_failure(connection,
                               "the client sent 0x%" G_GINT64_MODIFIER
                               "x where an option begins with IHAVEOPT",
                               magic);
        return FALSE;
    }
    if (!connection->negotiation.fixed && number != NBD_OPT_EXPORT_NAME) {
        connection_log_failure(connection,
                               "the client sent %s, which needs fixed newstyle, without having "
                               "agreed to it",
                               proto_option_name(number));
        return FALSE;
    }
    if (length > NBD_MAX_DRAINED || (number == NBD_OPT_EXPORT_NAME && length > NBD_MAX_OPTION)) {
        connection_log_failure(connection, "%s with %u bytes of data is more than is listened to",
                               proto_option_name(number), length);
        return FALSE;
    }
    return TRUE;
}

static gboolean
refuse_long_option(Connection *connection, Option *option)
{
    if (!stream_drain(&connection->stream, option->length))
        return FALSE;
    option_refuse(option, NBD_REP_ERR_TOO_BIG, "%s: %u bytes of data, but %d are the limit",
                  proto_option_name(option->number), option->length, NBD_MAX_OPTION);
    return TRUE;
}

static gboolean
handle_option(Connection *connection, Option *option, OptionResult *out_result)
{
    g_autofree guint8 *data = NULL;

    *out_result = OPTION_NEXT;
    if (option->length > NBD_MAX_OPTION)
        return refuse_long_option(connection, option);
    data = g_malloc((gsize)option->length + 1);
    if (!stream_receive(&connection->stream, data, option->length))
        return FALSE;
    option->data = data;
    *out_result = option_handle(&connection->negotiation, option);
    option->data = NULL;
    return TRUE;
}

static OptionResult
next_option(Connection *connection)
{
    g_autoptr(GByteArray) replies = g_byte_array_new();
    g_autofree char *complaint = NULL;
    NbdOptionHeader header;
    Option option = { .replies = replies };
    OptionResult result;

    if (!stream_receive(&connection->stream, &header, sizeof header))
        return OPTION_CLOSE;
    option.number = GUINT32_FROM_BE(header.option);
    option.length = GUINT32_FROM_BE(header.length);
    if (!check_option(connection, GUINT64_FROM_BE(header.magic), option.number, option.length))
        return OPTION_CLOSE;
    if (!handle_option(connection, &option, &result))
        return OPTION_CLOSE;
    complaint = option.complaint;
    log_event(connection->number, "%s", proto_option_name(option.number));
    if (complaint != NULL)
        connection_log_failure(connection, "%s", complaint);
    if (!send_bytes(connection, replies->data, replies->len))
        return OPTION_CLOSE;
    return result;
}

gboolean
handshake_run(Connection *connection)
{
    OptionResult result = OPTION_NEXT;

    if (!greet(connection) || !receive_client_flags(connection))
        return FALSE;
    while (result == OPTION_NEXT && !connection_is_stopping(connection))
        result = next_option(connection);
    return result == OPTION_TRANSMIT;
}
