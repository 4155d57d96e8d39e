/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-connect.c - load "connect": whole handshakes with NBD_OPT_GO, each followed by
 * NBD_CMD_DISC and the end of the connection. */
#include <inttypes.h>
#include <stdio.h>

#include "client-clock.h"
#include "client-fail.h"
#include "client-latency.h"
#include "client-load.h"
#include "client-session.h"

#define MAX_PARALLEL 64

/* One that connects again and again; its thread's alone while it runs. */
typedef struct {
    const Address *address;
    const SessionWants *wants;
    const Clock *clock;
    guint64 n_wanted; /* 0: until the clock says so */
    guint64 n_done;
    guint64 size;
    Latency latency; /* until NBD_OPT_GO was answered */
} Caller;

static gpointer
run_caller(gpointer data)
{
    Caller *caller = data;
    gint64 now = clock_now();

    while (!(caller->n_wanted > 0 && caller->n_done == caller->n_wanted) &&
           !clock_is_over(caller->clock, now)) {
        Session session;

        session_open(&session, caller->address, caller->wants);
        latency_add(&caller->latency, session.wire.received_at - now);
        if (caller->n_done > 0 && session.size != caller->size)
            fail("the size of the export has changed");
        caller->size = session.size;
        session_close(&session);
        caller->n_done++;
        now = clock_now();
    }
    return NULL;
}

static void
print(const Caller *callers, guint n, double seconds, double cpu)
{
    g_autofree Latency *latency = g_new0(Latency, 1);
    guint64 n_done = 0;

    for (guint i = 0; i < n; i++) {
        n_done += callers[i].n_done;
        latency_join(latency, &callers[i].latency);
    }
    printf("{\"load\": \"connect\", \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"connections\": "
           "%" PRIu64 ", \"connections_per_second\": %.1f, \"size\": %" PRIu64
           ", \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           seconds, cpu, n_done, (double)n_done / seconds, callers[0].size,
           latency_quantile(latency, 0.5), latency_quantile(latency, 0.99));
}

static void
run_with(const char *uri, const SessionWants *wants, guint n, guint64 count, double seconds)
{
    g_autofree Caller *callers = g_new0(Caller, n);
    Address address;
    Clock clock;
    double cpu;

    address_init(&address, uri);
    clock_start(&clock, seconds);
    for (guint i = 0; i < n; i++) {
        callers[i].address = &address;
        callers[i].wants = wants;
        callers[i].clock = &clock;
        callers[i].n_wanted = count * (i + 1) / n - count * i / n;
    }
    load_run_all(run_caller, callers, sizeof *callers, n);
    seconds = clock_seconds(&clock);
    cpu = clock_cpu_seconds(&clock);
    print(callers, n, seconds, cpu);
    address_clear(&address);
}

void
load_connect(int argc, char **argv)
{
    gint64 count = 0;
    gint parallel = 1;
    double seconds = 0;
    gboolean is_simple = FALSE;
    g_autofree char *contexts = NULL;
    const GOptionEntry entries[] = {
        { "count", 0, 0, G_OPTION_ARG_INT64, &count, "connections of all (default: 1000)", "N" },
        { "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &seconds, "ends after that time", "N" },
        { "parallel", 0, 0, G_OPTION_ARG_INT, &parallel, "at a time (default: 1)", "N" },
        { "simple", 0, 0, G_OPTION_ARG_NONE, &is_simple, "without NBD_OPT_STRUCTURED_REPLY", NULL },
        { "contexts", 0, 0, G_OPTION_ARG_STRING, &contexts,
          "metadata contexts to select, by commas (default: none)", "NAMES" },
        { NULL },
    };
    g_auto(GStrv) words = load_parse(argc, argv, entries, "URI",
                                     "Connects, up to NBD_OPT_GO, and disconnects.", 1, FALSE);
    g_auto(GStrv) names = contexts != NULL ? g_strsplit(contexts, ",", -1) : NULL;
    SessionWants wants = { is_simple ? SESSION_SIMPLE : SESSION_STRUCTURED, names };

    if (parallel < 1 || parallel > MAX_PARALLEL)
        fail("--parallel is %d, expected 1 to %d", parallel, MAX_PARALLEL);
    if (is_simple && names != NULL)
        fail("--contexts needs structured replies");
    if (count == 0 && seconds <= 0)
        count = 1000;
    if (seconds < 0 || count < 0 || (count > 0 && count < parallel))
        fail("--count and --seconds are not negative, and --count is at least --parallel");
    run_with(words[0], &wants, (guint)parallel, (guint64)count, seconds);
}
