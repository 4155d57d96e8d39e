/* SPDX-License-Identifier: LGPL-2.1-or-later
 * log.h - what happens: a sentence for people, and the fields that say the same to programs.
 * Events are at INFO level; failures at MESSAGE level. */
#ifndef STRATA_LOG_H
#define STRATA_LOG_H

#include <glib.h>

/* What a connection did. */
typedef struct {
    guint64 requests;
    guint64 failed;
    guint64 bytes_received;
    guint64 bytes_sent;
    gint64 duration; /* in the transmission phase, in microseconds */
} LogTotals;

typedef struct {
    guint64 offset;
    guint64 length;
} LogRange;

/* What is known of an event besides its sentence. What is 0 or NULL is left out. Text is as it came
 * from the client, or NULL; it lives as long as the call that it is given to. */
typedef struct {
    const char *event;  /* one of the words that strata-nbd(8) lists */
    guint64 connection; /* its number; 0: the engine as a whole */
    const char *peer;
    const char *export_name;
    const char *tls_subject;
    const char *psk_identity;
    const char *command;
    const LogRange *range;
    const char *error; /* what the client was told */
    const LogTotals *totals;
} LogFields;

/* A client can fail as often as it likes, so what failures may write is limited per while. */
typedef struct {
    guint64 suppressed;  /* atomic, relaxed: failures that were over the limit, in all */
    GMutex lock;         /* guards what follows; never held while writing */
    gint64 window_start; /* monotonic, in microseconds */
    guint written;       /* failures in this window */
    guint unwritten;     /* those that were over the limit */
} Log;

void log_init(Log *log);
void log_clear(Log *log);

/* Takes all that is logged here; may be called from any thread, for several events at once.
 * @sentence: begins with the connection's number where there is one; what in it is not trusted is
 *   escaped */
typedef void (*LogSink)(GLogLevelFlags level, const char *sentence, const LogFields *fields);

/* Without a sink, sentences go to g_log(). Before the first thread is started. */
void log_set_sink(LogSink sink);

/* Whether events are wanted (they are unless this says otherwise), and not only failures and
 * notices: else no sentence is made of them. Before the first thread is started. */
void log_set_events(gboolean wanted);

/* @connection: its number; 0 for the engine as a whole. */
void log_failure(Log *log, guint64 connection, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Of the server as a whole, at MESSAGE level and not limited: nothing that clients can cause. */
void log_notice(const char *event, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* The same with all that is known. */
void log_event_with(const LogFields *fields, const char *format, ...) G_GNUC_PRINTF(2, 3);
void log_failure_with(Log *log, const LogFields *fields, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
void log_event_list(const LogFields *fields, const char *format, va_list arguments)
    G_GNUC_PRINTF(2, 0);
void log_failure_list(Log *log, const LogFields *fields, const char *format, va_list arguments)
    G_GNUC_PRINTF(3, 0);

/* What libraries say has a limit of its own, as large. Whether a line of theirs may be written now;
 * what was left out before it is told first. */
gboolean log_admits_library(void);

/* How many lines of libraries were over the limit, in all; and tells of those that no line
 * followed: at the end. */
guint64 log_count_suppressed_of_libraries(void);
void log_end_libraries(void);

/* Calls @func for each field of @fields that is there: a key of small letters and '_', and its
 * value, which is a decimal number or text. */
typedef void (*LogFieldFunc)(const char *key, const char *value, gboolean is_number,
                             gpointer user_data);
void log_fields_foreach(const LogFields *fields, LogFieldFunc func, gpointer user_data);

#endif
