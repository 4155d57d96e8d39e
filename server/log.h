/* SPDX-License-Identifier: LGPL-2.1-or-later
 * log.h - one sentence per event, with the connection's number, through g_log(). Events are at
 * INFO level; failures at MESSAGE level. */
#ifndef STRATA_LOG_H
#define STRATA_LOG_H

#include <glib.h>

/* A client can fail as often as it likes, so what failures may write is limited per while. */
typedef struct {
    GMutex lock;         /* guards what follows; never held while writing */
    gint64 window_start; /* monotonic, in microseconds */
    guint written;       /* failures in this window */
    guint unwritten;     /* those that were over the limit */
} Log;

void log_init(Log *log);
void log_clear(Log *log);

/* @connection: its number; 0 for the engine as a whole. */
void log_event(guint64 connection, const char *format, ...) G_GNUC_PRINTF(2, 3);
void log_failure(Log *log, guint64 connection, const char *format, ...) G_GNUC_PRINTF(3, 4);

#endif
