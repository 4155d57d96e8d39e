/* SPDX-License-Identifier: LGPL-2.1-or-later
 * handshake.c - from the greeting through the option loop to the transmission phase (proto.md,
 * "Fixed newstyle negotiation"). */
#include "engine/connection.h"

/* How many options a client may send; those before TLS began count. */
#define MAX_OPTIONS 1024

static gboolean
send_bytes(Connection *connection, gconstpointer data, gsize size)
{
    struct iovec piece = { .iov_base = (gpointer)data, .iov_len = size };
    Message message = { .pieces = &piece, .n_pieces = 1 };

    return size == 0 || connection_send(connection, &message, NULL);
}

static NbdGreeting
make_greeting(void)
{
    return (NbdGreeting){
        .magic = GUINT64_TO_BE(NBD_MAGIC),
        .option_magic = GUINT64_TO_BE(NBD_OPTION_MAGIC),
        .flags = GUINT16_TO_BE(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES),
    };
}

void
handshake_greet(Connection *connection)
{
    const NbdGreeting greeting = make_greeting();

    connection->greeted = stream_try_send(&connection->stream, &greeting, sizeof greeting);
}

static gboolean
greet_to_the_end(Connection *connection)
{
    const NbdGreeting greeting = make_greeting();
    gsize greeted = connection->greeted;

    return send_bytes(connection, (const guint8 *)&greeting + greeted, sizeof greeting - greeted);
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

/* A refused NBD_OPT_SET_META_CONTEXT replaces what was selected, too. An NBD_OPT_ABORT is heard,
 * whatever comes with it. */
static gboolean
refuse_long_option(Connection *connection, Option *option, OptionResult *out_result)
{
    if (option->number == NBD_OPT_SET_META_CONTEXT)
        negotiation_forget_contexts(&connection->negotiation);
    if (!stream_drain(&connection->stream, option->length))
        return FALSE;
    if (option->number == NBD_OPT_ABORT) {
        option->length = 0;
        *out_result = option_handle(&connection->negotiation, option);
        return TRUE;
    }
    if (option_tls_is_missing(&connection->negotiation, option->number)) {
        option_tls_demand(option);
        return TRUE;
    }
    option_refuse(option, NBD_REP_ERR_TOO_BIG, "%s: %u bytes of data, but %d are the limit",
                  proto_option_name(option->number), option->length, NBD_MAX_OPTION);
    return TRUE;
}

/* A server that shuts down still tells so (proto.md, "NBD_REP_ERR_SHUTDOWN"), for as long as there
 * are options to be read. */
static OptionResult
refuse_because_stopping(const Negotiation *negotiation, Option *option)
{
    if (option->number == NBD_OPT_EXPORT_NAME || !negotiation->fixed)
        return OPTION_CLOSE;
    return option_refuse(option, NBD_REP_ERR_SHUTDOWN, "the server is shutting down");
}

static gboolean
handle_option(Connection *connection, Option *option, OptionResult *out_result)
{
    g_autofree guint8 *data = NULL;

    *out_result = OPTION_NEXT;
    if (option->length > NBD_MAX_OPTION)
        return refuse_long_option(connection, option, out_result);
    data = g_malloc((gsize)option->length + 1);
    if (!stream_receive(&connection->stream, data, option->length))
        return FALSE;
    option->data = data;
    if (connection_is_stopping(connection) && option->number != NBD_OPT_ABORT)
        *out_result = refuse_because_stopping(&connection->negotiation, option);
    else
        *out_result = option_handle(&connection->negotiation, option);
    option->data = NULL;
    return TRUE;
}

static void
log_complaint(Connection *connection, const Option *option)
{
    LogFields fields = connection_log_fields(connection, "failure");

    if (option->asked != NULL)
        fields.export_name = option->asked;
    log_failure_with(connection->owner->log, &fields, "%s", option->complaint);
}

static OptionResult
next_option(Connection *connection)
{
    g_autoptr(GByteArray) replies = g_byte_array_new();
    g_autofree char *complaint = NULL;
    g_autofree char *asked = NULL;
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
    asked = option.asked;
    connection_log_event(connection, "option", "%s", proto_option_name(option.number));
    if (complaint != NULL)
        log_complaint(connection, &option);
    if (!send_bytes(connection, replies->data, replies->len))
        return OPTION_CLOSE;
    return result;
}

gboolean
handshake_run(Connection *connection)
{
    OptionResult result = OPTION_NEXT;

    if (!greet_to_the_end(connection) || !receive_client_flags(connection))
        return FALSE;
    for (guint n = 0; result == OPTION_NEXT; n++) {
        if (n == MAX_OPTIONS) {
            connection_log_failure(connection,
                                   "hanging up: the client sent %u options and chose no export", n);
            return FALSE;
        }
        result = next_option(connection);
        if (result == OPTION_START_TLS)
            result = connection_start_tls(connection) ? OPTION_NEXT : OPTION_CLOSE;
    }
    return result == OPTION_TRANSMIT;
}
