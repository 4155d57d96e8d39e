/* SPDX-License-Identifier: LGPL-2.1-or-later
 * commands.c - from a request to who carries it out. */
#include "commands.h"

/* How many runs one NBD_CMD_CACHE is carried out for, and how many bytes of them are asked for. The
 * rest is left alone: the specification leaves it to the server how much can be cached at once. */
#define CACHE_MAX_RUNS  4096
#define CACHE_MAX_BYTES NBD_MAX_BLOCK

void
command_log(Worker *worker, const Request *request, guint32 error, const char *message)
{
    Connection *connection = worker->connection;
    LogRange range = { .offset = request->offset, .length = request->length };
    LogFields fields = connection_log_fields(connection, "request-failed");

    fields.command = proto_command_name(request->type);
    fields.range = &range;
    fields.error = proto_error_name(error);
    log_failure_with(connection->owner->log, &fields,
                     "%s of %" G_GUINT64_FORMAT " bytes at 0x%" G_GINT64_MODIFIER "x: %s",
                     fields.command, range.length, range.offset, message);
}

void
command_fail(Worker *worker, const Request *request, guint32 error, const char *message)
{
    command_log(worker, request, error, message);
    reply_error(worker, request, error,
                error == NBD_EIO ? command_client_message(worker, message) : message);
}

const char *
command_client_message(const Worker *worker, const char *message)
{
    return worker->connection->negotiation.view->hides_layers
               ? "reading the image failed: the server's log has the reason"
               : message;
}

/* The export is read-only, so whatever was written to it (nothing) is on the disk. */
static void
command_flush(Worker *worker, const Request *request)
{
    reply_done(worker, request);
}

/* Asks for the data of @runs, of which *@budget bytes are left. */
static void
prefetch(const StrataRun *runs, gsize n_runs, guint64 *budget)
{
    for (gsize i = 0; i < n_runs; i++) {
        guint64 length = MIN(runs[i].length, *budget);

        if (length == 0 || runs[i].flags & STRATA_RUN_ZERO)
            continue;
        strata_run_prefetch(&runs[i], 0, length);
        *budget -= length;
    }
}

gboolean
command_continue(Worker *worker, Turn *turn)
{
    TurnTaker *taker = &worker->connection->taker;

    if (turn_try(turn, taker))
        return TRUE;
    worker_before_long_work(worker);
    return turn_continue(turn, taker);
}

/* The client does not learn how much was cached, and may be told so at any time. */
static gboolean
may_go_on(Worker *worker, Turn *turn, const Request *request)
{
    return request->length <= COMMAND_LIGHT_BYTES || command_continue(worker, turn);
}

static void
command_cache(Worker *worker, const Request *request)
{
    guint64 offset = request->offset;
    guint64 end = offset + request->length;
    guint64 budget = CACHE_MAX_BYTES;
    gsize n_done = 0;
    g_auto(Turn) turn = { 0 };

    while (offset < end && budget > 0 && n_done < CACHE_MAX_RUNS &&
           may_go_on(worker, &turn, request)) {
        g_autoptr(GError) error = NULL;
        gsize n_runs;
        const StrataRun *runs = strata_walk_resolve(worker_get_reading_walk(worker), offset,
                                                    end - offset, &n_runs, &error);

        if (runs == NULL) {
            turn_end(&turn);
            command_fail(worker, request, NBD_EIO, error->message);
            return;
        }
        prefetch(runs, n_runs, &budget);
        n_done += n_runs;
        offset = runs[n_runs - 1].offset + runs[n_runs - 1].length;
    }
    turn_end(&turn);
    reply_done(worker, request);
}

static const struct {
    guint16 type;
    void (*run)(Worker *worker, const Request *request);
} commands[] = {
    { NBD_CMD_READ, command_read },
    { NBD_CMD_FLUSH, command_flush },
    { NBD_CMD_CACHE, command_cache },
    { NBD_CMD_BLOCK_STATUS, command_block_status },
};

guint64
command_walk_memory(const Negotiation *negotiation)
{
    return WORKER_WALK_SIZE +
           WORKER_WALK_PER_NODE * strata_graph_get_n_nodes(negotiation->view->graph);
}

guint64
command_memory(const Negotiation *negotiation, const Request *request)
{
    if (request->type == NBD_CMD_READ)
        return command_read_memory(negotiation, request);
    if (request->type == NBD_CMD_BLOCK_STATUS)
        return command_block_status_memory(negotiation, request);
    return request->type == NBD_CMD_CACHE ? command_walk_memory(negotiation) : 0;
}

static void
carry_out(Worker *worker, const Request *request)
{
    const char *message;
    guint32 error = request_check(&worker->connection->negotiation, request, &message);

    if (error != 0) {
        command_fail(worker, request, error, message);
        return;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++)
        if (commands[i].type == request->type)
            commands[i].run(worker, request);
}

void
command_run(Worker *worker, const Request *request)
{
    counters_begin(&worker->connection->counters, request->type);
    carry_out(worker, request);
    worker_answered(worker, request);
}

void
command_turn_down(Worker *worker, const Request *request, guint32 error, const char *message)
{
    counters_begin(&worker->connection->counters, request->type);
    reply_error(worker, request, error, message);
    worker_answered(worker, request);
}
