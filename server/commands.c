/* SPDX-License-Identifier: LGPL-2.1-or-later
 * commands.c - from a request to who carries it out. */
#include "commands.h"

void
command_log(Worker *worker, const Request *request, const char *message)
{
    connection_log_failure(worker->connection, "%s of %u bytes at 0x%" G_GINT64_MODIFIER "x: %s",
                           proto_command_name(request->type), request->length, request->offset,
                           message);
}

void
command_fail(Worker *worker, const Request *request, guint32 error, const char *message)
{
    command_log(worker, request, message);
    reply_error(worker->connection, request, error, message);
}

/* The export is read-only, so whatever was written to it (nothing) is on the disk. */
static void
command_flush(Worker *worker, const Request *request)
{
    reply_done(worker->connection, request);
}

static void
command_cache(Worker *worker, const Request *request)
{
    StrataWalk *walk = worker_get_walk(worker);
    guint64 offset = request->offset;
    guint64 end = offset + request->length;

    while (offset < end) {
        g_autoptr(GError) error = NULL;
        gsize n_runs;
        const StrataRun *runs = strata_walk_resolve(walk, offset, end - offset, &n_runs, &error);

        if (runs == NULL) {
            command_fail(worker, request, NBD_EIO, error->message);
            return;
        }
        for (gsize i = 0; i < n_runs; i++)
            if (!(runs[i].flags & STRATA_RUN_ZERO))
                strata_run_prefetch(&runs[i], 0, runs[i].length);
        offset = runs[n_runs - 1].offset + runs[n_runs - 1].length;
    }
    reply_done(worker->connection, request);
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

void
command_run(Worker *worker, const Request *request)
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
