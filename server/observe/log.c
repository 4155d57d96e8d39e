/* SPDX-License-Identifier: LGPL-2.1-or-later
 * log.c - what happens, in sentences and fields. */
#include "log.h"

#include <string.h>

#define WINDOW_USEC  (10 * G_USEC_PER_SEC)
#define WINDOW_LIMIT 50

static LogSink sink;
static gboolean events_are_wanted = TRUE;

void
log_set_sink(LogSink new_sink)
{
    sink = new_sink;
}

void
log_set_events(gboolean wanted)
{
    events_are_wanted = wanted;
}

void
log_init(Log *log)
{
    *log = (Log){ .window_start = g_get_monotonic_time() };
    g_mutex_init(&log->lock);
}

static void
write_line(GLogLevelFlags level, const LogFields *fields, const char *sentence)
{
    if (sink != NULL)
        sink(level, sentence, fields);
    else
        g_log(G_LOG_DOMAIN, level, "%s", sentence);
}

static void
write_unwritten(guint unwritten)
{
    g_autofree char *sentence = g_strdup_printf("%u more failures were not logged", unwritten);

    if (unwritten > 0)
        write_line(G_LOG_LEVEL_MESSAGE, &(LogFields){ .event = "log-limit" }, sentence);
}

void
log_clear(Log *log)
{
    write_unwritten(log->unwritten);
    g_mutex_clear(&log->lock);
}

static void write_list(GLogLevelFlags level, const LogFields *fields, const char *format,
                       va_list arguments) G_GNUC_PRINTF(3, 0);

/* A failure says who has it: the line in which that client was accepted may not be there. */
static void
write_list(GLogLevelFlags level, const LogFields *fields, const char *format, va_list arguments)
{
    const char *peer = level == G_LOG_LEVEL_MESSAGE ? fields->peer : NULL;
    g_autofree char *words = g_strdup_vprintf(format, arguments);
    g_autofree char *sentence =
        fields->connection == 0
            ? g_steal_pointer(&words)
            : g_strdup_printf("connection %" G_GUINT64_FORMAT "%s%s: %s", fields->connection,
                              peer != NULL ? " from " : "", peer != NULL ? peer : "", words);

    write_line(level, fields, sentence);
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
        __atomic_fetch_add(&log->suppressed, 1, __ATOMIC_RELAXED);
        log->unwritten++;
        return FALSE;
    }
    log->written++;
    return TRUE;
}

static Log of_libraries;

gboolean
log_admits_library(void)
{
    guint missed;

    if (!may_write(&of_libraries, &missed))
        return FALSE;
    write_unwritten(missed);
    return TRUE;
}

guint64
log_count_suppressed_of_libraries(void)
{
    return __atomic_load_n(&of_libraries.suppressed, __ATOMIC_RELAXED);
}

void
log_end_libraries(void)
{
    guint missed;

    g_mutex_lock(&of_libraries.lock);
    missed = of_libraries.unwritten;
    of_libraries.unwritten = 0;
    g_mutex_unlock(&of_libraries.lock);
    write_unwritten(missed);
}

void
log_event_list(const LogFields *fields, const char *format, va_list arguments)
{
    if (events_are_wanted)
        write_list(G_LOG_LEVEL_INFO, fields, format, arguments);
}

void
log_failure_list(Log *log, const LogFields *fields, const char *format, va_list arguments)
{
    guint missed;

    if (!may_write(log, &missed))
        return;
    write_unwritten(missed);
    write_list(G_LOG_LEVEL_MESSAGE, fields, format, arguments);
}

void
log_failure(Log *log, guint64 connection, const char *format, ...)
{
    LogFields fields = { .event = "failure", .connection = connection };
    va_list arguments;

    va_start(arguments, format);
    log_failure_list(log, &fields, format, arguments);
    va_end(arguments);
}

void
log_notice(const char *event, const char *format, ...)
{
    LogFields fields = { .event = event };
    va_list arguments;

    va_start(arguments, format);
    write_list(G_LOG_LEVEL_MESSAGE, &fields, format, arguments);
    va_end(arguments);
}

void
log_event_with(const LogFields *fields, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_event_list(fields, format, arguments);
    va_end(arguments);
}

void
log_failure_with(Log *log, const LogFields *fields, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_failure_list(log, fields, format, arguments);
    va_end(arguments);
}

typedef struct {
    LogFieldFunc func;
    gpointer user_data;
} Visitor;

static void
visit_text(const Visitor *visitor, const char *key, const char *text)
{
    if (text != NULL)
        visitor->func(key, text, FALSE, visitor->user_data);
}

static void
visit_number(const Visitor *visitor, const char *key, guint64 number)
{
    char text[24];

    g_snprintf(text, sizeof text, "%" G_GUINT64_FORMAT, number);
    visitor->func(key, text, TRUE, visitor->user_data);
}

static void
visit_totals(const Visitor *visitor, const LogTotals *totals)
{
    char seconds[32];

    visit_number(visitor, "requests", totals->requests);
    visit_number(visitor, "failed", totals->failed);
    visit_number(visitor, "bytes_received", totals->bytes_received);
    visit_number(visitor, "bytes_sent", totals->bytes_sent);
    g_snprintf(seconds, sizeof seconds, "%" G_GINT64_FORMAT ".%06" G_GINT64_FORMAT,
               totals->duration / G_USEC_PER_SEC, totals->duration % G_USEC_PER_SEC);
    visitor->func("duration", seconds, TRUE, visitor->user_data);
}

void
log_fields_foreach(const LogFields *fields, LogFieldFunc func, gpointer user_data)
{
    Visitor visitor = { .func = func, .user_data = user_data };

    visit_text(&visitor, "event", fields->event);
    if (fields->connection != 0)
        visit_number(&visitor, "connection", fields->connection);
    visit_text(&visitor, "peer", fields->peer);
    visit_text(&visitor, "export", fields->export_name);
    visit_text(&visitor, "tls_subject", fields->tls_subject);
    visit_text(&visitor, "psk_identity", fields->psk_identity);
    visit_text(&visitor, "command", fields->command);
    if (fields->range != NULL) {
        visit_number(&visitor, "offset", fields->range->offset);
        visit_number(&visitor, "length", fields->range->length);
    }
    visit_text(&visitor, "error", fields->error);
    if (fields->totals != NULL)
        visit_totals(&visitor, fields->totals);
}
