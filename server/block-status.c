/* SPDX-License-Identifier: LGPL-2.1-or-later
 * block-status.c - NBD_CMD_BLOCK_STATUS: one walk, from whose runs the lists of most contexts are
 * made, and a list of its own for each bitmap. Lists may end at different places, as proto.md
 * allows, but each tells something: a byte that one context cannot tell is an error for all. */
#include "block-status.h"

#include "commands.h"

/* How many extents one reply may hold, all contexts together: 2 MiB, so that an answer about
 * a fragmented image costs bounded memory. A client asks again from where an answer ends. */
#define EXTENTS_PER_REPLY (256 * 1024)

/* How many values one reply is made of, whether or not they end up as extents of their own: a
 * client may select a thousand contexts, or ask for one extent of an image with millions. */
#define VALUES_PER_REPLY (4 * 1024 * 1024)

/* What a context that tells of ranges itself is asked for at a time, on the stack. */
#define EXTENTS_PER_CALL 256

typedef struct {
    StatusList *lists;
    guint n_lists;
    guint n_of_runs; /* how many of them are made from runs */
    gboolean one;    /* NBD_CMD_FLAG_REQ_ONE */
    guint64 budget;  /* of values that may still be computed */
    guint64 end;     /* as far as bitmaps are asked */
} Status;

void
status_list_init(StatusList *list, const Context *context, guint limit)
{
    *list = (StatusList){ .context = context, .limit = limit };
    list->extents = g_array_new(FALSE, FALSE, sizeof(NbdExtent));
}

void
status_list_clear(StatusList *list)
{
    g_clear_pointer(&list->extents, g_array_unref);
}

void
status_list_add(StatusList *list, guint64 length, guint32 value)
{
    NbdExtent extent = { .length = (guint32)length, .flags = value };
    NbdExtent *last = NULL;

    if (list->full)
        return;
    if (list->extents->len > 0)
        last = &g_array_index(list->extents, NbdExtent, list->extents->len - 1);
    if (last != NULL && last->flags == extent.flags)
        last->length += extent.length;
    else if (list->extents->len == list->limit)
        list->full = TRUE;
    else
        g_array_append_val(list->extents, extent);
}

/* For one extent more than there is room for and no further: that one shows where the last ends. */
gsize
status_list_ask(StatusList *list, guint64 *offset, guint64 end, GError **error)
{
    ContextExtent extents[EXTENTS_PER_CALL];
    gsize wanted = MIN(list->limit - list->extents->len + 1, EXTENTS_PER_CALL);
    gsize n = context_map(list->context, *offset, end - *offset, extents, wanted, error);

    for (gsize i = 0; i < n; i++) {
        status_list_add(list, extents[i].length, extents[i].value);
        *offset += extents[i].length;
    }
    return n;
}

NbdExtent *
status_list_finish(StatusList *list)
{
    NbdExtent *extents = (NbdExtent *)(gpointer)list->extents->data;

    for (guint i = 0; i < list->extents->len; i++) {
        extents[i].length = GUINT32_TO_BE(extents[i].length);
        extents[i].flags = GUINT32_TO_BE(extents[i].flags);
    }
    return extents;
}

/* Nothing is gained by going on once a list is full, since the client asks again from its end; but
 * where only one extent per context is wanted, all shall have it at its full length. */
static gboolean
is_enough(const Status *status)
{
    guint n_full = 0;

    if (status->budget == 0)
        return TRUE;
    for (guint i = 0; i < status->n_lists; i++)
        n_full += status->lists[i].full;
    return n_full > 0 && (!status->one || n_full == status->n_of_runs);
}

static void
add_runs(Status *status, const StrataRun *runs, gsize n_runs)
{
    for (guint i = 0; i < status->n_lists; i++) {
        StatusList *list = &status->lists[i];

        for (gsize r = 0; context_is_of_runs(list->context) && r < n_runs; r++)
            status_list_add(list, runs[r].length, context_value(list->context, &runs[r]));
    }
    status->budget -= MIN(n_runs * status->n_of_runs, status->budget);
}

static gboolean
is_unwanted(Worker *worker)
{
    return connection_is_stopping(worker->connection) || connection_is_gone(worker->connection);
}

/* Fails only if there is nothing to tell: where the range begins well and is damaged further on,
 * the answer ends before the damage. */
static gboolean
collect_runs(Worker *worker, const Request *request, Status *status, GError **error)
{
    StrataWalk *walk = worker_get_walk(worker);
    guint64 offset = request->offset;
    guint64 end = offset + request->length;

    while (offset < end && !is_enough(status)) {
        g_autoptr(GError) local_error = NULL;
        gsize n_runs;
        const StrataRun *runs;

        if (offset > request->offset && is_unwanted(worker))
            break;
        runs = strata_walk_resolve(walk, offset, end - offset, &n_runs, &local_error);
        if (runs == NULL && offset > request->offset)
            break;
        if (runs == NULL) {
            g_propagate_error(error, g_steal_pointer(&local_error));
            return FALSE;
        }
        add_runs(status, runs, n_runs);
        offset = runs[n_runs - 1].offset + runs[n_runs - 1].length;
    }
    if (!status->one)
        status->end = offset;
    return TRUE;
}

/* As collect_runs(), for a context that tells of ranges itself. */
static gboolean
collect_from(Worker *worker, const Request *request, Status *status, StatusList *list,
             GError **error)
{
    guint64 offset = request->offset;

    while (offset < status->end && !list->full) {
        gboolean first = offset == request->offset;
        gsize n;

        if (!first && (status->budget == 0 || is_unwanted(worker)))
            break;
        n = status_list_ask(list, &offset, status->end, first ? error : NULL);
        if (n == 0)
            return !first;
        status->budget -= MIN(n, status->budget);
    }
    return TRUE;
}

/* Each goes as far as the runs that were found, since the client asks again from there. */
static gboolean
collect_others(Worker *worker, const Request *request, Status *status, GError **error)
{
    for (guint i = 0; i < status->n_lists; i++) {
        StatusList *list = &status->lists[i];
        g_autofree char *name = NULL;

        if (context_is_of_runs(list->context) || collect_from(worker, request, status, list, error))
            continue;
        name = strata_escape(list->context->name);
        g_prefix_error(error, "%s: ", name);
        return FALSE;
    }
    return TRUE;
}

static gboolean
collect(Worker *worker, const Request *request, Status *status, GError **error)
{
    return (status->n_of_runs == 0 || collect_runs(worker, request, status, error)) &&
           collect_others(worker, request, status, error);
}

static void
send_lists(Worker *worker, const Request *request, Status *status)
{
    for (guint i = 0; i < status->n_lists; i++) {
        StatusList *list = &status->lists[i];
        NbdExtent *extents = status_list_finish(list);

        if (!reply_status(worker->connection, request, i + 1, extents, list->extents->len,
                          i + 1 == status->n_lists))
            return;
    }
}

void
command_block_status(Worker *worker, const Request *request)
{
    GPtrArray *contexts = worker->connection->negotiation.contexts;
    gboolean one = (request->flags & NBD_CMD_FLAG_REQ_ONE) != 0;
    g_autofree StatusList *lists = g_new0(StatusList, contexts->len);
    Status status = {
        .lists = lists,
        .n_lists = contexts->len,
        .one = one,
        .budget = VALUES_PER_REPLY,
        .end = request->offset + request->length,
    };
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < contexts->len; i++) {
        const Context *context = g_ptr_array_index(contexts, i);

        status_list_init(&lists[i], context, one ? 1 : EXTENTS_PER_REPLY / contexts->len);
        status.n_of_runs += context_is_of_runs(context);
    }
    if (collect(worker, request, &status, &error))
        send_lists(worker, request, &status);
    else
        command_fail(worker, request, NBD_EIO, error->message);
    for (guint i = 0; i < contexts->len; i++)
        status_list_clear(&lists[i]);
}
