/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-map.c - load "map": the block status of an export, from its beginning to its end. */
#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>

#include "client-clock.h"
#include "client-extents.h"
#include "client-fail.h"
#include "client-load.h"
#include "client-reply.h"
#include "protocol/proto.h"

/* The most that 32 bits can ask for, in whole blocks of the largest minimum block size. */
#define MOST_OF_32_BITS 0xffff0000u

#define MAX_CONTEXTS 64

typedef struct {
    const char *uri, *contexts;
    gint bits;
    gint64 chunk;   /* bytes of a request */
    gint64 rounds;  /* 0: as many as there is time for */
    double seconds; /* 0: any number */
    gboolean waits;
} MapOptions;

typedef struct {
    Session session;
    char **names;
    guint n_contexts;
    guint64 chunk;
    guint64 n_requests, n_rounds;
    guint64 n_extents; /* of all rounds and contexts */
    Extents now[MAX_CONTEXTS];
    Extents last[MAX_CONTEXTS]; /* of the last round that was ended */
} Map;

static guint
find_context(const Map *map, guint32 id, guint64 told)
{
    for (guint i = 0; i < map->n_contexts; i++)
        if (map->session.context_ids[i] == id) {
            if ((told >> i & 1) != 0)
                fail("a reply tells context '%s' twice", map->names[i]);
            return i;
        }
    fail("a reply tells of a context with the id %u, which there is not", id);
}

/* The extents of a payload, as they come in. */
static void
take_extents(Wire *wire, Extents *extents, const Request *request, guint64 size, guint64 left,
             gboolean is_wide)
{
    ExtentsBounds bounds = { request->offset, request->offset + request->length, size };
    gsize one = is_wide ? sizeof(NbdExtExtent) : sizeof(NbdExtent);

    while (left > 0) {
        const guint8 *data;
        gsize length, n;

        wire_need(wire, one);
        data = wire_some(wire, WIRE_BUFFER, &length);
        n = MIN(length / one, left);
        extents_take(extents, &bounds, data, n, is_wide);
        wire_take(wire, n * one);
        left -= n;
    }
}

static void
take_status(Map *map, const Reply *reply, const Request *request, guint64 *told)
{
    gboolean is_wide = map->session.mode == SESSION_EXTENDED;
    gsize one = is_wide ? sizeof(NbdExtExtent) : sizeof(NbdExtent);
    gsize before = is_wide ? sizeof(NbdExtStatusHeader) : sizeof(guint32);
    guint16 type = is_wide ? NBD_REPLY_TYPE_BLOCK_STATUS_EXT : NBD_REPLY_TYPE_BLOCK_STATUS;
    NbdExtStatusHeader header = { 0 };
    guint64 n;
    guint i;

    if (reply->type != type)
        fail("a chunk of type %u in reply to NBD_CMD_BLOCK_STATUS", reply->type);
    if (reply->length < before + one || (reply->length - before) % one != 0)
        fail("a block status of %" PRIu64 " bytes", reply->length);
    n = (reply->length - before) / one;
    memcpy(&header, wire_need(&map->session.wire, before), before);
    wire_take(&map->session.wire, before);
    if (header.n_extents != 0 && GUINT32_FROM_BE(header.n_extents) != n)
        fail("a block status of %" PRIu64 " extents says that it has %u", n,
             GUINT32_FROM_BE(header.n_extents));
    i = find_context(map, GUINT32_FROM_BE(header.context_id), *told);
    *told |= G_GUINT64_CONSTANT(1) << i;
    map->n_extents += n;
    take_extents(&map->session.wire, &map->now[i], request, map->session.size, n, is_wide);
}

static void
ask(Map *map, guint64 offset)
{
    Request request = { .type = NBD_CMD_BLOCK_STATUS,
                        .cookie = ++map->n_requests,
                        .offset = offset,
                        .length = MIN(map->chunk, map->session.size - offset) };
    guint64 told = 0;
    Reply reply = { 0 };

    request_queue(&map->session, &request, NULL);
    while (!reply.is_done) {
        reply = reply_receive(&map->session);
        if (reply.cookie != request.cookie)
            fail("a reply has the cookie %" PRIu64 ", expected %" PRIu64, reply.cookie,
                 request.cookie);
        reply_check(&map->session, &reply, &request);
        if (reply.type != NBD_REPLY_TYPE_NONE)
            take_status(map, &reply, &request, &told);
    }
    for (guint i = 0; i < map->n_contexts; i++)
        if ((told >> i & 1) == 0)
            fail("a reply tells nothing of context '%s'", map->names[i]);
}

/* The first byte of which not every context is told. */
static guint64
position(const Map *map)
{
    guint64 least = map->session.size;

    for (guint i = 0; i < map->n_contexts; i++)
        least = MIN(least, map->now[i].position);
    return least;
}

static void
end_round(Map *map)
{
    for (guint i = 0; i < map->n_contexts; i++) {
        extents_finish(&map->now[i]);
        if (map->n_rounds > 0 && extents_digest(&map->now[i]) != extents_digest(&map->last[i]))
            fail("two rounds differ in context '%s'", map->names[i]);
    }
    memcpy(map->last, map->now, sizeof map->last);
    memset(map->now, 0, sizeof map->now);
    map->n_rounds++;
}

static void
run(Map *map, const Clock *clock, guint64 rounds)
{
    while (rounds == 0 || map->n_rounds < rounds) {
        ask(map, position(map));
        if (position(map) == map->session.size)
            end_round(map);
        if (clock_is_over(clock, map->session.wire.received_at))
            return;
    }
}

static void
print(const Map *map, const Clock *clock, guint64 received)
{
    double seconds = clock_seconds(clock);

    printf("{\"load\": \"map\", \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"bits\": %d, "
           "\"size\": %" PRIu64 ", \"rounds\": %" PRIu64 ", \"requests\": %" PRIu64
           ", \"bytes\": %" PRIu64 ", \"extents_per_second\": %.1f, \"contexts\": [",
           seconds, clock_cpu_seconds(clock), map->session.mode == SESSION_EXTENDED ? 64 : 32,
           map->session.size, map->n_rounds, map->n_requests, received,
           (double)map->n_extents / seconds);
    for (guint i = 0; i < map->n_contexts; i++) {
        g_autoptr(JsonNode) node = json_node_init_string(json_node_alloc(), map->names[i]);
        g_autofree char *name = json_to_string(node, FALSE);

        printf("%s{\"name\": %s, \"extents\": %" PRIu64 ", \"merged\": %" PRIu64
               ", \"digest\": \"%016" PRIx64 "\"}",
               i > 0 ? ", " : "", name, map->last[i].n_extents, map->last[i].n_merged,
               extents_digest(&map->last[i]));
    }
    puts("]}");
}

static void
check_options(const MapOptions *options)
{
    if (options->bits != 32 && options->bits != 64)
        fail("--bits is %d, expected 32 or 64", options->bits);
    if (options->chunk < 0 || (options->bits == 32 && options->chunk > G_MAXUINT32))
        fail("--chunk is %" PRId64 ", which %d bits do not hold", options->chunk, options->bits);
    if (options->rounds < 0 || options->seconds < 0)
        fail("--rounds and --seconds are not negative");
}

static void
run_with(MapOptions *options)
{
    g_autofree Map *map = g_new0(Map, 1);
    g_auto(GStrv) names = g_strsplit(options->contexts, ",", -1);
    SessionWants wants = { options->bits == 64 ? SESSION_EXTENDED : SESSION_STRUCTURED, names };
    Address address;
    Clock clock;
    guint64 before;

    check_options(options);
    map->names = names;
    map->n_contexts = g_strv_length(names);
    if (map->n_contexts == 0 || map->n_contexts > MAX_CONTEXTS)
        fail("--contexts has %u names, expected 1 to %d", map->n_contexts, MAX_CONTEXTS);
    map->chunk = options->chunk > 0 ? (guint64)options->chunk
                                    : (options->bits == 64 ? G_MAXUINT64 : MOST_OF_32_BITS);
    address_init(&address, options->uri);
    session_open(&map->session, &address, &wants);
    if (map->session.size == 0)
        fail("the export is empty");
    if (options->chunk % map->session.least != 0)
        fail("--chunk is %" PRId64 ", the server expects multiples of %u", options->chunk,
             map->session.least);
    load_wait(options->waits);
    before = map->session.wire.n_received;
    clock_start(&clock, options->seconds);
    run(map, &clock, (guint64)options->rounds);
    print(map, &clock, map->session.wire.n_received - before);
    session_close(&map->session);
    address_clear(&address);
}

void
load_map(int argc, char **argv)
{
    MapOptions options = { .bits = 32 };
    g_autofree char *contexts = NULL;
    const GOptionEntry entries[] = {
        { "contexts", 0, 0, G_OPTION_ARG_STRING, &contexts,
          "metadata contexts, by commas (default: base:allocation)", "NAMES" },
        { "bits", 0, 0, G_OPTION_ARG_INT, &options.bits,
          "of lengths: 32, or 64 with extended headers (default: 32)", "32|64" },
        { "chunk", 0, 0, G_OPTION_ARG_INT64, &options.chunk,
          "of a request (default: the most that the lengths allow)", "BYTES" },
        { "rounds", 0, 0, G_OPTION_ARG_INT64, &options.rounds,
          "how often (default: once, or until the time is over)", "N" },
        { "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &options.seconds, "ends after that time", "N" },
        { "wait", 0, 0, G_OPTION_ARG_NONE, &options.waits,
          "says \"connected\" and begins when a line comes", NULL },
        { NULL },
    };
    g_auto(GStrv) words = load_parse(argc, argv, entries, "URI",
                                     "Asks for the block status of the whole export.", 1, FALSE);

    options.uri = words[0];
    options.contexts = contexts != NULL ? contexts : "base:allocation";
    if (options.rounds == 0 && options.seconds == 0)
        options.rounds = 1;
    run_with(&options);
}
