/* SPDX-License-Identifier: LGPL-2.1-or-later
 * log.c - one sentence per event, with the connection's number. */
#include "log.h"

#include <string.h>

#define WINDOW_USEC  (10 * G_USEC_PER_SEC)
#define WINDOW_LIMIT 50

void
log_init(Log *log)
{
    g_mutex_init(&log->lock);
    log->window_start = g_get_monotonic_time();
}

void
log_clear(Log *log)
{
    if (log->unwritten > 0)
        g_message("%u more failures were not logged", log->unwritten);
    g_mutex_clear(&log->lock);
}

static void write_line(GLogLevelFlags level, guint64 connection, const char *format,
                       va_list arguments) G_GNUC_PRINTF(3, 0);

static void
write_line(GLogLevelFlags level, guint64 connection, const char *format, va_list arguments)
{
    g_autofree char *sentence = g_strdup_vprintf(format, arguments);

    if (connection == 0)
        g_log(G_LOG_DOMAIN, level, "%s", sentence);
    else
        g_log(G_LOG_DOMAIN, level, "connection %" G_GUINT64_FORMAT ": %s", connection, sentence);
}

/* Whether one more failure may be written now; @out_missed: how many were not, before this. */
static gboolean
may_write(Log *log, guint *out_missed)
{
    gint64 now = g_get_monotonic_time();
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&log->lock);

    *out_missed = 0;
    if (now - log->window_start >= WINDOW_USEC) {
        *out_missed = log->unwritten;
        log->window_start = now;
        log->written = 0;
        log->unwritten = 0;
    }
    if (log->written >= WINDOW_LIMIT) {
        log->unwritten++;
        return FALSE;
    }
    log->written++;
    return TRUE;
}

void
log_event(guint64 connection, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_line(G_LOG_LEVEL_INFO, connection, format, arguments);
    va_end(arguments);
}

void
log_failure(Log *log, guint64 connection, const char *format, ...)
{
    va_list arguments;
    guint missed;

    if (!may_write(log, &missed))
        return;
    if (missed > 0)
        g_message("%u more failures were not logged", missed);
    va_start(arguments, format);
    write_line(G_LOG_LEVEL_MESSAGE, connection, format, arguments);
    va_end(arguments);
}
