/* SPDX-License-Identifier: LGPL-2.1-or-later
 * metrics-text.c - what was counted, in the text format of Prometheus: for each metric what it is,
 * its type, and then all its samples (Exposition formats, "Text format details"). */
#include "metrics-text.h"

#include <string.h>

#define NS_PER_SECOND G_GUINT64_CONSTANT(1000000000)

static const char *const command_words[COUNTED_COMMANDS] = {
    [COUNTED_READ] = "read",
    [COUNTED_WRITE] = "write",
    [COUNTED_FLUSH] = "flush",
    [COUNTED_TRIM] = "trim",
    [COUNTED_CACHE] = "cache",
    [COUNTED_WRITE_ZEROES] = "write_zeroes",
    [COUNTED_BLOCK_STATUS] = "block_status",
    [COUNTED_OTHER] = "other",
};

static const char *const reason_words[REFUSED_REASONS] = {
    [REFUSED_LIMIT] = "limit",       [REFUSED_PER_PEER] = "per_peer",
    [REFUSED_RATE] = "rate",         [REFUSED_TLS] = "tls",
    [REFUSED_ACCESS] = "access",     [REFUSED_TIMEOUT] = "handshake_timeout",
    [REFUSED_IDLE] = "idle_timeout",
};

static const char *const result_words[HANDSHAKE_RESULTS] = {
    [HANDSHAKE_ENTERED] = "entered",
    [HANDSHAKE_ABORTED] = "aborted",
    [HANDSHAKE_FAILED] = "failed",
};

/* counters_bounds in seconds, and what is above them. */
static const char *const bound_words[COUNTERS_BOUNDS + 1] = {
    "0.00003", "0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03",
    "0.1",     "0.3",    "1",      "3",     "10",    "+Inf",
};

static void
begin_metric(GString *text, const char *name, const char *type, const char *help)
{
    g_string_append_printf(text, "# HELP strata_nbd_%s %s\n# TYPE strata_nbd_%s %s\n", name, help,
                           name, type);
}

static void
append_label(GString *text, const char *name, const char *value)
{
    g_autofree char *valid = g_utf8_make_valid(value, -1);

    g_string_append_printf(text, "%s%s=\"", text->str[text->len - 1] == '{' ? "" : ",", name);
    for (const char *c = valid; *c != '\0'; c++)
        switch (*c) {
        case '\\':
            g_string_append(text, "\\\\");
            break;
        case '"':
            g_string_append(text, "\\\"");
            break;
        case '\n':
            g_string_append(text, "\\n");
            break;
        default:
            g_string_append_c(text, *c);
        }
    g_string_append_c(text, '"');
}

static void
append_value(GString *text, guint64 value)
{
    g_string_append_printf(text, " %" G_GUINT64_FORMAT "\n", value);
}

/* Exact, and the same in every locale. */
static void
append_seconds(GString *text, guint64 nanoseconds)
{
    g_string_append_printf(text, "%" G_GUINT64_FORMAT ".%09" G_GUINT64_FORMAT,
                           nanoseconds / NS_PER_SECOND, nanoseconds % NS_PER_SECOND);
}

static void
append_one(GString *text, const char *name, const char *type, const char *help, guint64 value)
{
    begin_metric(text, name, type, help);
    g_string_append_printf(text, "strata_nbd_%s", name);
    append_value(text, value);
}

/* A metric with one label, whose values are known beforehand. */
static void
append_by_word(GString *text, const char *name, const char *help, const char *label,
               const char *const *words, const guint64 *values, guint n)
{
    begin_metric(text, name, "counter", help);
    for (guint i = 0; i < n; i++) {
        if (words[i] == NULL)
            continue;
        g_string_append_printf(text, "strata_nbd_%s{", name);
        append_label(text, label, words[i]);
        g_string_append_c(text, '}');
        append_value(text, values[i]);
    }
}

static void
append_server(GString *text, const CountersSnapshot *snapshot, gint64 start_time)
{
    begin_metric(text, "build_info", "gauge", "The version that runs, with the value 1.");
    g_string_append(text, "strata_nbd_build_info{version=\"" STRATA_VERSION "\"} 1\n");
    append_one(text, "start_time_seconds", "gauge", "When the server started, since 1970.",
               (guint64)(start_time / G_USEC_PER_SEC));
    append_one(text, "connections_accepted_total", "counter", "Connections that were accepted.",
               snapshot->accepted);
    append_one(text, "connections_open", "gauge", "Connections that are open now.", snapshot->open);
    append_by_word(text, "connections_refused_total", "Clients that were sent away, by reason.",
                   "reason", reason_words, snapshot->refused, REFUSED_REASONS);
    append_by_word(text, "handshakes_total", "Handshakes that ended, by result.", "result",
                   result_words, snapshot->handshakes, HANDSHAKE_RESULTS);
    append_one(text, "tls_sessions_total", "counter", "TLS handshakes that succeeded.",
               snapshot->tls_sessions);
    append_one(text, "log_lines_suppressed_total", "counter",
               "Failures that were not logged because there were too many.",
               snapshot->log_lines_suppressed);
}

static guint64
sum_started(const TrafficCounters *traffic)
{
    guint64 sum = 0;

    for (guint i = 0; i < COUNTED_COMMANDS; i++)
        sum += traffic->commands[i].started;
    return sum;
}

static guint64
sum_failed(const TrafficCounters *traffic)
{
    guint64 sum = 0;

    for (guint i = 0; i < COUNTED_COMMANDS; i++)
        sum += traffic->commands[i].failed;
    return sum;
}

static guint64
get_received(const TrafficCounters *traffic)
{
    return traffic->bytes_received;
}

static guint64
get_sent(const TrafficCounters *traffic)
{
    return traffic->bytes_sent;
}

static guint64
get_read(const TrafficCounters *traffic)
{
    return traffic->bytes_read;
}

static guint64
get_extents(const TrafficCounters *traffic)
{
    return traffic->extents;
}

/* A metric with a sample for each export, or for each connection. */
typedef struct {
    const char *name;
    const char *type;
    const char *help;
    guint64 (*get)(const TrafficCounters *traffic);
} TrafficMetric;

static const TrafficMetric export_metrics[] = {
    { "requests_in_flight", "gauge", "Requests that are being carried out.", counters_in_flight },
    { "received_bytes_total", "counter", "Bytes of requests, headers included, without TLS.",
      get_received },
    { "sent_bytes_total", "counter", "Bytes of replies, headers included, without TLS.", get_sent },
    { "read_bytes_total", "counter", "Bytes of the export that clients were told, holes included.",
      get_read },
    { "extents_total", "counter", "Extents in replies about block status, of all contexts.",
      get_extents },
};

static const TrafficMetric connection_metrics[] = {
    { "connection_requests_total", "counter", "Requests of a connection that is open.",
      sum_started },
    { "connection_request_errors_total", "counter", "Those of them that were answered by an error.",
      sum_failed },
    { "connection_requests_in_flight", "gauge", "Those of them that are being carried out.",
      counters_in_flight },
    { "connection_received_bytes_total", "counter", "Bytes of its requests.", get_received },
    { "connection_sent_bytes_total", "counter", "Bytes of its replies.", get_sent },
};

static void
append_export(GString *text, const TrafficMetric *metric, const ExportFigures *figures)
{
    g_string_append_printf(text, "strata_nbd_%s{", metric->name);
    append_label(text, "export", figures->name);
    g_string_append_c(text, '}');
    append_value(text, metric->get(&figures->traffic));
}

static void
append_connection(GString *text, const TrafficMetric *metric, const ConnectionFigures *figures)
{
    g_autofree char *number = g_strdup_printf("%" G_GUINT64_FORMAT, figures->number);

    g_string_append_printf(text, "strata_nbd_%s{", metric->name);
    append_label(text, "connection", number);
    append_label(text, "peer", figures->peer != NULL ? figures->peer : "");
    append_label(text, "export", figures->export_name);
    g_string_append_c(text, '}');
    append_value(text, metric->get(&figures->traffic));
}

/* "strata_nbd_NAME{export=...,command=..." */
static void
begin_command(GString *text, const char *name, const ExportFigures *figures, guint command)
{
    g_string_append_printf(text, "strata_nbd_%s{", name);
    append_label(text, "export", figures->name);
    append_label(text, "command", command_words[command]);
}

static void
append_requests(GString *text, const ExportFigures *figures, guint command)
{
    begin_command(text, "requests_total", figures, command);
    g_string_append_c(text, '}');
    append_value(text, figures->traffic.commands[command].started);
}

static void
append_errors(GString *text, const ExportFigures *figures, guint command)
{
    begin_command(text, "request_errors_total", figures, command);
    g_string_append_c(text, '}');
    append_value(text, figures->traffic.commands[command].failed);
}

/* Each class of a histogram holds all that are below it, too. */
static void
append_histogram(GString *text, const ExportFigures *figures, guint command)
{
    const CommandCounters *counters = &figures->traffic.commands[command];
    guint64 sum = 0;

    for (guint i = 0; i <= COUNTERS_BOUNDS; i++) {
        sum += counters->ended[i];
        begin_command(text, "request_duration_seconds_bucket", figures, command);
        append_label(text, "le", bound_words[i]);
        g_string_append_c(text, '}');
        append_value(text, sum);
    }
    begin_command(text, "request_duration_seconds_sum", figures, command);
    g_string_append(text, "} ");
    append_seconds(text, counters->nanoseconds);
    g_string_append_c(text, '\n');
    begin_command(text, "request_duration_seconds_count", figures, command);
    g_string_append_c(text, '}');
    append_value(text, sum);
}

/* Commands that no client has sent to an export are left out there. */
static void
for_each_command(GString *text, const CountersSnapshot *snapshot,
                 void (*append)(GString *, const ExportFigures *, guint))
{
    for (guint i = 0; i < snapshot->exports->len; i++) {
        const ExportFigures *figures = &g_array_index(snapshot->exports, ExportFigures, i);

        for (guint command = 0; command < COUNTED_COMMANDS; command++)
            if (figures->traffic.commands[command].started > 0)
                append(text, figures, command);
    }
}

static void
append_commands(GString *text, const CountersSnapshot *snapshot)
{
    begin_metric(text, "requests_total", "counter", "Requests that came, by command.");
    for_each_command(text, snapshot, append_requests);
    begin_metric(text, "request_errors_total", "counter",
                 "Requests that were answered by an error, by command.");
    for_each_command(text, snapshot, append_errors);
    begin_metric(text, "request_duration_seconds", "histogram",
                 "From when a request has come to when its reply has been sent.");
    for_each_command(text, snapshot, append_histogram);
}

static guint64
get_entered(const ExportFigures *figures)
{
    return figures->entered;
}

static guint64
get_transmitting(const ExportFigures *figures)
{
    return figures->transmitting;
}

static void
append_clients(GString *text, const CountersSnapshot *snapshot, const char *name,
               guint64 (*get)(const ExportFigures *figures))
{
    for (guint i = 0; i < snapshot->exports->len; i++) {
        const ExportFigures *figures = &g_array_index(snapshot->exports, ExportFigures, i);

        g_string_append_printf(text, "strata_nbd_%s{", name);
        append_label(text, "export", figures->name);
        g_string_append_c(text, '}');
        append_value(text, get(figures));
    }
}

static void
append_exports(GString *text, const CountersSnapshot *snapshot)
{
    begin_metric(text, "export_connections_total", "counter", "Connections that chose the export.");
    append_clients(text, snapshot, "export_connections_total", get_entered);
    begin_metric(text, "export_connections", "gauge", "Those of them that are open now.");
    append_clients(text, snapshot, "export_connections", get_transmitting);
    for (guint i = 0; i < G_N_ELEMENTS(export_metrics); i++) {
        const TrafficMetric *metric = &export_metrics[i];

        begin_metric(text, metric->name, metric->type, metric->help);
        for (guint j = 0; j < snapshot->exports->len; j++)
            append_export(text, metric, &g_array_index(snapshot->exports, ExportFigures, j));
    }
}

static void
append_connections(GString *text, const CountersSnapshot *snapshot)
{
    for (guint i = 0; i < G_N_ELEMENTS(connection_metrics); i++) {
        const TrafficMetric *metric = &connection_metrics[i];

        begin_metric(text, metric->name, metric->type, metric->help);
        for (guint j = 0; j < snapshot->connections->len; j++)
            append_connection(text, metric,
                              &g_array_index(snapshot->connections, ConnectionFigures, j));
    }
}

GString *
metrics_text(const CountersSnapshot *snapshot, gint64 start_time)
{
    GString *text = g_string_new(NULL);

    append_server(text, snapshot, start_time);
    append_exports(text, snapshot);
    append_commands(text, snapshot);
    append_connections(text, snapshot);
    return text;
}
