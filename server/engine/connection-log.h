/* SPDX-License-Identifier: LGPL-2.1-or-later
 * connection-log.h - what is logged of one connection: with its number, who is at its other end,
 * and what it serves. For the threads of that connection alone, since the handshake changes it. */
#ifndef STRATA_CONNECTION_LOG_H
#define STRATA_CONNECTION_LOG_H

#include "observe/log.h"

#include <glib.h>

typedef struct _Connection Connection;

/* @event: one of the words that strata-nbd(8) lists. The fields point into @connection. */
LogFields connection_log_fields(Connection *connection, const char *event);

void connection_log_event(Connection *connection, const char *event, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
void connection_log_failure_as(Connection *connection, const char *event, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* The same, of the kind that has no name of its own. */
void connection_log_failure(Connection *connection, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* It ends; @totals: what it did if it served an export, else all zero. */
void connection_log_end(Connection *connection, const LogTotals *totals);

#endif
