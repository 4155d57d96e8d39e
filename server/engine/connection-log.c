/* SPDX-License-Identifier: LGPL-2.1-or-later
 * connection-log.c - what is logged of one connection. */
#include "connection-log.h"

#include "connection.h"

LogFields
connection_log_fields(Connection *connection, const char *event)
{
    const ExportView *view = connection->negotiation.view;

    return (LogFields){
        .event = event,
        .connection = connection->number,
        .peer = connection->peer.address,
        .export_name = view != NULL ? view->name : NULL,
        .tls_subject = connection->peer.subject,
        .psk_identity = connection->peer.psk_identity,
    };
}

void
connection_log_event(Connection *connection, const char *event, const char *format, ...)
{
    LogFields fields = connection_log_fields(connection, event);
    va_list arguments;

    va_start(arguments, format);
    log_event_list(&fields, format, arguments);
    va_end(arguments);
}

void
connection_log_failure_as(Connection *connection, const char *event, const char *format, ...)
{
    LogFields fields = connection_log_fields(connection, event);
    va_list arguments;

    va_start(arguments, format);
    log_failure_list(connection->owner->log, &fields, format, arguments);
    va_end(arguments);
}

void
connection_log_failure(Connection *connection, const char *format, ...)
{
    LogFields fields = connection_log_fields(connection, "failure");
    va_list arguments;

    va_start(arguments, format);
    log_failure_list(connection->owner->log, &fields, format, arguments);
    va_end(arguments);
}

void
connection_log_end(Connection *connection, const LogTotals *totals)
{
    LogFields fields = connection_log_fields(connection, "closed");

    fields.totals = connection->entered ? totals : NULL;
    if (connection->entered)
        connection_log_event(connection, "left",
                             "left after %.3f seconds and %" G_GUINT64_FORMAT
                             " requests, %" G_GUINT64_FORMAT " of which failed: %" G_GUINT64_FORMAT
                             " bytes received, %" G_GUINT64_FORMAT " bytes sent",
                             (double)totals->duration / G_USEC_PER_SEC, totals->requests,
                             totals->failed, totals->bytes_received, totals->bytes_sent);
    log_event_with(&fields, "closed");
}
