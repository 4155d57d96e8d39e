/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-counters.c - counters add up, never go back, and cannot be multiplied by clients; and what
 * is written of them is in the format of Prometheus. */
#include "observe/metrics-text.h"
#include "protocol/proto.h"

#include <string.h>

#define THREADS 4
#define ROUNDS  20000

typedef struct {
    Log log;
    StrataCounters counters;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer data)
{
    log_init(&fixture->log);
    counters_init(&fixture->counters, &fixture->log);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    counters_clear(&fixture->counters);
    log_clear(&fixture->log);
}

static void
test_connection_comes_and_goes(Fixture *fixture, gconstpointer data)
{
    g_auto(CountersSnapshot) while_it_lasts = { 0 };
    g_auto(CountersSnapshot) afterwards = { 0 };
    ConnectionCounters connection = { .traffic.bytes_sent = 1000 /* in the handshake */ };
    LogTotals totals = { 0 };
    const ExportFigures *figures;

    counters_enter(&fixture->counters, &connection, "disk", 7, "somebody");
    counters_begin(&connection, NBD_CMD_READ);
    counters_add(&connection.traffic.bytes_sent, 16);
    counters_failed(&connection, NBD_CMD_READ);
    counters_take_snapshot(&fixture->counters, &while_it_lasts);
    figures = &g_array_index(while_it_lasts.exports, ExportFigures, 0);
    g_assert_cmpstr(figures->name, ==, "disk");
    g_assert_cmpuint(figures->transmitting, ==, 1);
    g_assert_cmpuint(figures->traffic.bytes_sent, ==, 16);
    g_assert_cmpuint(counters_in_flight(&figures->traffic), ==, 1);
    g_assert_cmpuint(while_it_lasts.connections->len, ==, 1);

    counters_end(&connection, NBD_CMD_READ, 1000);
    counters_leave(&fixture->counters, &connection, &totals);
    counters_leave(&fixture->counters, &connection, &totals); /* it has left already */
    g_assert_cmpuint(totals.requests, ==, 1);
    g_assert_cmpuint(totals.failed, ==, 1);
    g_assert_cmpuint(totals.bytes_sent, ==, 16);
    counters_take_snapshot(&fixture->counters, &afterwards);
    figures = &g_array_index(afterwards.exports, ExportFigures, 0);
    g_assert_cmpuint(figures->transmitting, ==, 0);
    g_assert_cmpuint(figures->entered, ==, 1);
    g_assert_cmpuint(figures->traffic.bytes_sent, ==, 16);
    g_assert_cmpuint(counters_in_flight(&figures->traffic), ==, 0);
    g_assert_cmpuint(counters_ended(&figures->traffic.commands[COUNTED_READ]), ==, 1);
    g_assert_cmpuint(afterwards.connections->len, ==, 0);
}

static void
test_classes(Fixture *fixture, gconstpointer data)
{
    ConnectionCounters connection = { 0 };
    const CommandCounters *command = &connection.traffic.commands[COUNTED_OTHER];

    for (guint i = 1; i < COUNTERS_BOUNDS; i++)
        g_assert_cmpuint(counters_bounds[i], >, counters_bounds[i - 1]);
    for (guint i = COUNTERS_BOUNDS - 2; i <= COUNTERS_BOUNDS; i++) {
        guint64 duration =
            i < COUNTERS_BOUNDS ? counters_bounds[i] / 2 : counters_bounds[COUNTERS_BOUNDS - 1] + 1;

        counters_begin(&connection, 1000);
        counters_end(&connection, 1000, duration);
        g_assert_cmpuint(command->ended[i], ==, 1);
        g_assert_cmpuint(command->nanoseconds, >=, duration);
    }
    g_assert_cmpuint(command->started, ==, 3);
    g_assert_cmpuint(counters_ended(command), ==, 3);
}

static void
test_names_are_bounded(Fixture *fixture, gconstpointer data)
{
    g_auto(CountersSnapshot) snapshot = { 0 };
    const ExportFigures *last;

    for (guint i = 0; i < 3000; i++) {
        g_autofree char *name = g_strdup_printf("disk %u", i);
        ConnectionCounters connection = { 0 };
        LogTotals totals = { 0 };

        counters_enter(&fixture->counters, &connection, name, i, "somebody");
        counters_leave(&fixture->counters, &connection, &totals);
    }
    counters_take_snapshot(&fixture->counters, &snapshot);
    g_assert_cmpuint(snapshot.exports->len, ==, 1025);
    last = &g_array_index(snapshot.exports, ExportFigures, 1024);
    g_assert_cmpstr(last->name, ==, "(others)");
    g_assert_cmpuint(last->entered, ==, 3000 - 1024);
}

static void
test_connections_are_bounded(Fixture *fixture, gconstpointer data)
{
    g_auto(CountersSnapshot) snapshot = { 0 };
    g_autofree ConnectionCounters *connections = g_new0(ConnectionCounters, 300);
    LogTotals totals = { 0 };

    for (guint i = 0; i < 300; i++) {
        counters_enter(&fixture->counters, &connections[i], "disk", i + 1, "somebody");
        counters_begin(&connections[i], NBD_CMD_FLUSH);
    }
    counters_take_snapshot(&fixture->counters, &snapshot);
    g_assert_cmpuint(snapshot.connections->len, ==, COUNTERS_CONNECTIONS);
    g_assert_cmpuint(g_array_index(snapshot.connections, ConnectionFigures, 0).number, ==, 1);
    /* The sums are of all. */
    g_assert_cmpuint(counters_in_flight(&g_array_index(snapshot.exports, ExportFigures, 0).traffic),
                     ==, 300);
    for (guint i = 0; i < 300; i++)
        counters_leave(&fixture->counters, &connections[i], &totals);
}

static gpointer
come_and_go(gpointer data)
{
    StrataCounters *counters = data;

    for (guint i = 0; i < ROUNDS / 100; i++) {
        ConnectionCounters connection = { 0 };
        LogTotals totals = { 0 };

        counters_enter(counters, &connection, i % 2 == 0 ? "a" : "b", i, "somebody");
        for (guint j = 0; j < 100; j++) {
            counters_begin(&connection, NBD_CMD_READ);
            counters_end(&connection, NBD_CMD_READ, j);
        }
        counters_leave(counters, &connection, &totals);
        g_assert_cmpuint(totals.requests, ==, 100);
    }
    return NULL;
}

static guint64
sum_of_reads(StrataCounters *counters)
{
    g_auto(CountersSnapshot) snapshot = { 0 };
    guint64 sum = 0;

    counters_take_snapshot(counters, &snapshot);
    for (guint i = 0; i < snapshot.exports->len; i++) {
        const TrafficCounters *traffic = &g_array_index(snapshot.exports, ExportFigures, i).traffic;

        sum += traffic->commands[COUNTED_READ].started;
        g_assert_cmpuint(counters_in_flight(traffic), <=, 2 * THREADS);
    }
    return sum;
}

static void
test_sums_never_go_back(Fixture *fixture, gconstpointer data)
{
    GThread *threads[THREADS];
    guint64 before = 0, now;

    for (guint i = 0; i < THREADS; i++)
        threads[i] = g_thread_new("client", come_and_go, &fixture->counters);
    do {
        now = sum_of_reads(&fixture->counters);
        g_assert_cmpuint(now, >=, before);
        before = now;
    } while (now < THREADS * ROUNDS / 2);
    for (guint i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(sum_of_reads(&fixture->counters), ==, THREADS * ROUNDS);
}

static void
test_text(Fixture *fixture, gconstpointer data)
{
    g_auto(CountersSnapshot) snapshot = { 0 };
    ConnectionCounters connection = { 0 };
    LogTotals totals = { 0 };
    g_autoptr(GString) text = NULL;

    counters_enter(&fixture->counters, &connection, "a\\b\"c\nd\xff", 1, NULL);
    counters_add(&connection.traffic.extents, G_MAXUINT64);
    counters_take_snapshot(&fixture->counters, &snapshot);
    text = metrics_text(&snapshot, 1500000);
    g_assert_true(g_utf8_validate(text->str, (gssize)text->len, NULL));
    g_assert_nonnull(strstr(text->str, "\nstrata_nbd_start_time_seconds 1\n"));
    g_assert_nonnull(strstr(text->str, "\nstrata_nbd_extents_total{export=\"a\\\\b\\\"c\\nd\xef\xbf"
                                       "\xbd\"} 18446744073709551615\n"));
    g_assert_nonnull(strstr(text->str, "{connection=\"1\",peer=\"\",export=\"a"));
    counters_leave(&fixture->counters, &connection, &totals);
}

/* The words for the bounds are those of the bounds. */
static void
test_words_of_bounds(Fixture *fixture, gconstpointer data)
{
    g_auto(CountersSnapshot) snapshot = { 0 };
    ConnectionCounters connection = { 0 };
    LogTotals totals = { 0 };
    g_autoptr(GString) text = NULL;
    const char *at;

    counters_enter(&fixture->counters, &connection, "", 1, "somebody");
    counters_begin(&connection, NBD_CMD_READ);
    counters_take_snapshot(&fixture->counters, &snapshot);
    text = metrics_text(&snapshot, 0);
    at = text->str;
    for (guint i = 0; i < COUNTERS_BOUNDS; i++) {
        at = strstr(at, "le=\"") + strlen("le=\"");
        g_assert_cmpfloat_with_epsilon(g_ascii_strtod(at, NULL), (double)counters_bounds[i] / 1e9,
                                       1e-9);
    }
    g_assert_true(g_str_has_prefix(strstr(at, "le=\""), "le=\"+Inf\"} 0\n"));
    counters_leave(&fixture->counters, &connection, &totals);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(path, test) g_test_add(path, Fixture, NULL, set_up, test, tear_down)
    ADD("/counters/connection-comes-and-goes", test_connection_comes_and_goes);
    ADD("/counters/classes", test_classes);
    ADD("/counters/names-are-bounded", test_names_are_bounded);
    ADD("/counters/connections-are-bounded", test_connections_are_bounded);
    ADD("/counters/sums-never-go-back", test_sums_never_go_back);
    ADD("/counters/text", test_text);
    ADD("/counters/words-of-bounds", test_words_of_bounds);
    return g_test_run();
}
