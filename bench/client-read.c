/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-read.c - load "read": sequential or random reads, many in flight, by several connections.
 *
 * Each connection has a thread that blocks in recv(): two system calls for a batch of replies and
 * requests, where epoll would add a third. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client-fail.h"
#include "client-load.h"
#include "client-reader.h"
#include "protocol/proto.h"

#define MAX_CONNECTIONS 64

typedef struct {
    const char *uri;
    gint64 bytes, count, seed;
    gint depth, connections, passes, poll;
    double seconds;
    gboolean is_random, is_simple, is_extended, dont_fragment, drops, has_digest, waits;
    char *verify; /* owned */
} ReadOptions;

/* What all connections got, added up. */
typedef struct {
    guint64 n_requests, n_bytes, n_hole_bytes, n_chunks, n_received;
    ContentDigest digest;
    Latency latency;
} ReadTotal;

static gpointer
run_reader(gpointer data)
{
    reader_run(data);
    return NULL;
}

static void
check_options(const ReadOptions *options)
{
    if (options->bytes < 1 || options->bytes > G_MAXUINT32)
        fail("--size is %" PRId64 ", expected 1 to %u", options->bytes, G_MAXUINT32);
    if (options->depth < 1 || options->depth > READER_MAX_DEPTH)
        fail("--depth is %d, expected 1 to %d", options->depth, READER_MAX_DEPTH);
    if (options->connections < 1 || options->connections > MAX_CONNECTIONS)
        fail("--connections is %d, expected 1 to %d", options->connections, MAX_CONNECTIONS);
    if (options->count < 0 || (options->count > 0 && options->count < options->connections))
        fail("--count is %" PRId64 ", expected at least one for each connection", options->count);
    if (options->seconds < 0 || options->passes < 0 || options->poll < 0)
        fail("--seconds, --passes and --poll are not negative");
    if (options->is_simple && (options->is_extended || options->dont_fragment))
        fail("--extended and --df need structured replies");
    if (options->drops && (options->has_digest || options->verify != NULL))
        fail("--digest and --verify look at what --drop does not");
}

/* Connection @i of @n reads its part of the export, or anywhere if at random. */
static void
plan_reader(Reader *reader, const ReadOptions *options, guint i, guint n)
{
    guint64 size = reader->session.size;
    guint64 n_blocks = (size - 1) / (guint64)options->bytes + 1;

    reader->begin = options->is_random ? 0 : n_blocks * i / n * (guint64)options->bytes;
    reader->end =
        options->is_random ? size : MIN(size, n_blocks * (i + 1) / n * (guint64)options->bytes);
    reader->state = (guint64)options->seed * MAX_CONNECTIONS + i;
    if (reader->begin >= reader->end || (options->is_random && size < (guint64)options->bytes))
        fail("the export of %" PRIu64 " bytes is too small for %u connections that read %" PRId64
             " bytes at a time",
             size, n, options->bytes);
    if (options->count > 0)
        reader->n_wanted = (guint64)options->count * (i + 1) / n - (guint64)options->count * i / n;
    else if (options->passes > 0)
        reader->n_wanted = (guint64)options->passes *
                           ((reader->end - reader->begin - 1) / (guint64)options->bytes + 1);
}

static void
open_readers(Reader *readers, const ReaderPlan *plan, const ReadOptions *options)
{
    SessionWants wants = { options->is_simple     ? SESSION_SIMPLE
                           : options->is_extended ? SESSION_EXTENDED
                                                  : SESSION_STRUCTURED,
                           NULL };
    Address address;

    address_init(&address, options->uri);
    for (guint i = 0; i < (guint)options->connections; i++) {
        session_open(&readers[i].session, &address, &wants);
        if (readers[i].session.size != readers[0].session.size)
            fail("the size of the export has changed");
        if (readers[i].session.size == 0)
            fail("the export is empty");
        if (plan->bytes > readers[i].session.most || plan->bytes % readers[i].session.least != 0)
            fail("--size is %" PRIu64 ", the server reads multiples of %u, at most %u", plan->bytes,
                 readers[i].session.least, readers[i].session.most);
        if (plan->dont_fragment && (readers[i].session.flags & NBD_FLAG_SEND_DF) == 0)
            fail("the server knows no NBD_CMD_FLAG_DF");
        readers[i].plan = plan;
        readers[i].session.wire.n_received = 0;
        if (options->drops)
            wire_use_sink(&readers[i].session.wire);
        wire_poll(&readers[i].session.wire, (guint)options->poll);
        plan_reader(&readers[i], options, i, (guint)options->connections);
    }
    address_clear(&address);
}

static ReadTotal *
add_up(const Reader *readers, guint n)
{
    ReadTotal *total = g_new0(ReadTotal, 1);

    for (guint i = 0; i < n; i++) {
        total->n_requests += readers[i].n_done;
        total->n_bytes += readers[i].n_bytes;
        total->n_hole_bytes += readers[i].n_hole_bytes;
        total->n_chunks += readers[i].n_chunks;
        total->n_received += readers[i].session.wire.n_received;
        content_digest_join(&total->digest, &readers[i].digest);
        latency_join(&total->latency, &readers[i].latency);
    }
    return total;
}

static void
print(const ReadOptions *options, const ReadTotal *total, double seconds, double cpu)
{
    printf("{\"load\": \"read\", \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"requests\": %" PRIu64
           ", \"bytes\": %" PRIu64 ", \"hole_bytes\": %" PRIu64 ", \"chunks\": %" PRIu64
           ", \"received\": %" PRIu64 ", \"requests_per_second\": %.1f, \"mib_per_second\": %.1f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"digest\": ",
           seconds, cpu, total->n_requests, total->n_bytes, total->n_hole_bytes, total->n_chunks,
           total->n_received, (double)total->n_requests / seconds,
           (double)total->n_bytes / seconds / (1024 * 1024), latency_quantile(&total->latency, 0.5),
           latency_quantile(&total->latency, 0.99));
    if (options->has_digest)
        printf("\"%016" PRIx64 "\"}\n", content_digest_value(&total->digest));
    else
        puts("null}");
}

static void
run_with(const ReadOptions *options)
{
    guint n = (guint)options->connections;
    g_autofree Reader *readers = g_new0(Reader, n);
    g_autofree ReadTotal *total = NULL;
    ContentFile file = { 0 };
    Clock clock;
    ReaderPlan plan = { .bytes = (guint64)options->bytes,
                        .depth = (guint)options->depth,
                        .is_random = options->is_random,
                        .dont_fragment = options->dont_fragment,
                        .has_digest = options->has_digest,
                        .file = options->verify != NULL ? &file : NULL,
                        .clock = &clock };
    double seconds, cpu;

    open_readers(readers, &plan, options);
    if (options->verify != NULL)
        content_file_open(&file, options->verify, readers[0].session.size);
    load_wait(options->waits);
    clock_start(&clock, options->seconds);
    load_run_all(run_reader, readers, sizeof *readers, n);
    seconds = clock_seconds(&clock);
    cpu = clock_cpu_seconds(&clock);
    total = add_up(readers, n);
    print(options, total, seconds, cpu);
    for (guint i = 0; i < n; i++)
        session_close(&readers[i].session);
    if (options->verify != NULL)
        content_file_close(&file);
}

void
load_read(int argc, char **argv)
{
    ReadOptions options = { .bytes = 256 * 1024, .depth = 4, .connections = 1 };
    const GOptionEntry entries[] = {
        { "random", 0, 0, G_OPTION_ARG_NONE, &options.is_random,
          "anywhere, at multiples of the size (default: one after the other)", NULL },
        { "size", 0, 0, G_OPTION_ARG_INT64, &options.bytes, "of a read (default: 262144)",
          "BYTES" },
        { "depth", 0, 0, G_OPTION_ARG_INT, &options.depth,
          "requests in flight on a connection, to 64 (default: 4)", "N" },
        { "connections", 0, 0, G_OPTION_ARG_INT, &options.connections,
          "each with its part of the export (default: 1)", "N" },
        { "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &options.seconds, "ends after that time", "N" },
        { "count", 0, 0, G_OPTION_ARG_INT64, &options.count, "requests of all connections", "N" },
        { "passes", 0, 0, G_OPTION_ARG_INT, &options.passes,
          "as many requests as there are blocks, N times (default: 1)", "N" },
        { "seed", 0, 0, G_OPTION_ARG_INT64, &options.seed, "of --random (default: 0)", "N" },
        { "simple", 0, 0, G_OPTION_ARG_NONE, &options.is_simple, "simple replies", NULL },
        { "extended", 0, 0, G_OPTION_ARG_NONE, &options.is_extended, "extended headers", NULL },
        { "df", 0, 0, G_OPTION_ARG_NONE, &options.dont_fragment, "a single chunk for a read",
          NULL },
        { "drop", 0, 0, G_OPTION_ARG_NONE, &options.drops,
          "drops what was read without copying it: for large reads", NULL },
        { "poll", 0, 0, G_OPTION_ARG_INT, &options.poll,
          "looks out for answers so long before it sleeps (default: 0)", "USEC" },
        { "digest", 0, 0, G_OPTION_ARG_NONE, &options.has_digest,
          "adds up what was read (takes time)", NULL },
        { "verify", 0, 0, G_OPTION_ARG_FILENAME, &options.verify,
          "compares with a raw file (takes time)", "FILE" },
        { "wait", 0, 0, G_OPTION_ARG_NONE, &options.waits,
          "says \"connected\" and begins when a line comes", NULL },
        { NULL },
    };
    g_auto(GStrv) words = load_parse(argc, argv, entries, "URI", "Reads from an export.", 1, FALSE);

    options.uri = words[0];
    if (options.count == 0 && options.seconds <= 0 && options.passes == 0)
        options.passes = 1;
    check_options(&options);
    run_with(&options);
    g_free(options.verify);
}
