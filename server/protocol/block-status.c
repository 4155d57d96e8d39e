/* SPDX-License-Identifier: LGPL-2.1-or-later
 * block-status.c - NBD_CMD_BLOCK_STATUS: one walk, from whose runs the lists of most contexts are
 * made, and a list of its own for each bitmap. Lists may end at different places, as proto.md
 * allows, but each tells something: a byte that one context cannot tell is an error for all. */
#include "block-status.h"

#include "commands.h"

/* How many extents one reply may hold, all contexts together: 2 MiB of memory, so that an answer
 * about a fragmented image costs a bounded amount. A client asks again from where an answer ends.
 */
#define EXTENTS_PER_REPLY (128 * 1024)

/* How many values one reply is made of, whether or not they end up as extents of their own: a
 * client may select a thousand contexts, or ask for one extent of an image with millions. */
#define VALUES_PER_REPLY (4 * 1024 * 1024)

/* For how many extents a list has room at first; it doubles that whenever it is full. */
#define FIRST_EXTENTS 64

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

/* Returns FALSE if there is no memory; then the list is as it was. */
static gboolean
reserve(StatusList *list, guint n)
{
    gpointer extents = g_try_realloc_n(list->extents, n, sizeof *list->extents);

    if (extents == NULL)
        return FALSE;
    list->extents = extents;
    list->n_allocated = n;
    return TRUE;
}

gboolean
status_list_init(StatusList *list, const Context *context, guint32 id, guint limit)
{
    *list = (StatusList){ .context = context, .id = id, .limit = limit };
    return reserve(list, MIN(limit, FIRST_EXTENTS));
}

void
status_list_clear(StatusList *list)
{
    g_clear_pointer(&list->extents, g_free);
}

/* Returns: (nullable): the last extent, which a further one may make longer */
static NbdExtExtent *
last_extent(const StatusList *list)
{
    return list->n_extents > 0 ? &list->extents[list->n_extents - 1] : NULL;
}

static gboolean
has_room(StatusList *list)
{
    if (list->n_extents >= list->limit)
        return FALSE;
    return list->n_extents < list->n_allocated ||
           reserve(list, MIN(list->limit, 2 * list->n_allocated));
}

/* A list that ends early, for want of memory too, is an answer: the client asks again from there.
 */
static void
append(StatusList *list, guint64 length, guint64 value)
{
    if (has_room(list))
        list->extents[list->n_extents++] = (NbdExtExtent){ .length = length, .flags = value };
    else
        list->full = TRUE;
}

void
status_list_add(StatusList *list, guint64 length, guint64 value)
{
    NbdExtExtent *last = last_extent(list);

    if (list->full)
        return;
    if (last != NULL && last->flags == value)
        last->length += length;
    else
        append(list, length, value);
}

static void
add_place(StatusList *list, guint64 length, guint64 value, StrataNode *leaf)
{
    NbdExtExtent *last = last_extent(list);

    if (list->full)
        return;
    if (last != NULL && list->leaf == leaf && (leaf == NULL || last->flags + last->length == value))
        last->length += length;
    else
        append(list, length, value);
    list->leaf = leaf;
}

void
status_list_add_runs(StatusList *list, const StrataRun *runs, gsize n_runs)
{
    const Context *context = list->context;

    if (context_is_of_places(context))
        for (gsize i = 0; i < n_runs; i++)
            add_place(list, runs[i].length, context_value(context, &runs[i]),
                      context_leaf(&runs[i]));
    else
        for (gsize i = 0; i < n_runs; i++)
            status_list_add(list, runs[i].length, context_value(context, &runs[i]));
}

/* For one extent more than there is room for and no further: that one shows where the last ends. */
gsize
status_list_ask(StatusList *list, guint64 *offset, guint64 end, GError **error)
{
    ContextExtent extents[EXTENTS_PER_CALL];
    gsize wanted = MIN(list->limit - list->n_extents + 1, EXTENTS_PER_CALL);
    gsize n = context_map(list->context, *offset, end - *offset, extents, wanted, error);

    for (gsize i = 0; i < n; i++) {
        status_list_add(list, extents[i].length, extents[i].value);
        *offset += extents[i].length;
    }
    return n;
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

        if (context_is_of_runs(list->context))
            status_list_add_runs(list, runs, n_runs);
    }
    status->budget -= MIN(n_runs * status->n_of_runs, status->budget);
}

static gboolean
is_unwanted(Worker *worker)
{
    return connection_is_stopping(worker->connection) || connection_is_gone(worker->connection);
}

/* Whether the answer may go on: with a turn, but for the first step about little. A server that
 * stops tells the first step in any case. */
static gboolean
may_go_on(Worker *worker, Turn *turn, const Request *request, gboolean first)
{
    if (first && request->length <= COMMAND_LIGHT_BYTES)
        return TRUE;
    if (!turn_continue(turn, &worker->connection->taker))
        return first && !connection_is_cut(worker->connection);
    return first || !is_unwanted(worker);
}

/* Fails only if there is nothing to tell: where the range begins well and is damaged further on,
 * the answer ends before the damage. */
static gboolean
collect_runs(Worker *worker, const Request *request, Status *status, GError **error)
{
    guint64 offset = request->offset;
    guint64 end = offset + request->length;
    g_auto(Turn) turn = { 0 };

    while (offset < end && !is_enough(status) &&
           may_go_on(worker, &turn, request, offset == request->offset)) {
        g_autoptr(GError) local_error = NULL;
        gsize n_runs;
        const StrataRun *runs;

        runs = strata_walk_resolve(worker_get_walk(worker), offset, end - offset, &n_runs,
                                   &local_error);
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
    g_auto(Turn) turn = { 0 };

    while (offset < status->end && !list->full) {
        gboolean first = offset == request->offset;
        gsize n;

        if (!first && (status->budget == 0 || !turn_continue(&turn, &worker->connection->taker) ||
                       is_unwanted(worker)))
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
        const StatusList *list = &status->lists[i];

        if (!reply_status(worker->connection, request, list->id, list->extents, list->n_extents,
                          i + 1 == status->n_lists))
            return;
    }
}

/* Makes a list for each context that @request chooses. Returns FALSE if there is no memory. */
static gboolean
init_lists(Status *status, GPtrArray *contexts, const Request *request, guint n_chosen)
{
    for (guint i = 0; i < contexts->len; i++) {
        const Context *context = g_ptr_array_index(contexts, i);

        if (!request_chooses(request, i))
            continue;
        if (!status_list_init(&status->lists[status->n_lists++], context, i + 1,
                              status->one ? 1 : EXTENTS_PER_REPLY / n_chosen))
            return FALSE;
        status->n_of_runs += context_is_of_runs(context);
    }
    return TRUE;
}

/* A list that grows is copied, and is there twice meanwhile. */
guint64
command_block_status_memory(const Negotiation *negotiation, const Request *request)
{
    return WORKER_WALK_SIZE + (request->flags & NBD_CMD_FLAG_REQ_ONE
                                   ? 0
                                   : (guint64)2 * EXTENTS_PER_REPLY * sizeof(NbdExtExtent));
}

void
command_block_status(Worker *worker, const Request *request)
{
    GPtrArray *contexts = worker->connection->negotiation.contexts;
    guint n_chosen = request->n_chosen > 0 ? request->n_chosen : contexts->len;
    g_autofree StatusList *lists = g_new0(StatusList, n_chosen);
    Status status = {
        .lists = lists,
        .one = (request->flags & NBD_CMD_FLAG_REQ_ONE) != 0,
        .budget = VALUES_PER_REPLY,
        .end = request->offset + request->length,
    };
    g_autoptr(GError) error = NULL;

    if (!init_lists(&status, contexts, request, n_chosen))
        command_fail(worker, request, NBD_ENOMEM, "there is no memory for the reply");
    else if (collect(worker, request, &status, &error))
        send_lists(worker, request, &status);
    else
        command_fail(worker, request, NBD_EIO, error->message);
    for (guint i = 0; i < status.n_lists; i++)
        status_list_clear(&lists[i]);
}
