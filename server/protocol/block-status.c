/* SPDX-License-Identifier: LGPL-2.1-or-later
 * block-status.c - NBD_CMD_BLOCK_STATUS: one walk, from whose runs the lists of most contexts are
 * made, and a list of its own for each bitmap. Lists may end at different places, as proto.md
 * allows, but each tells something: a byte that one context cannot tell is an error for all. */
#include "commands.h"
#include "status-list.h"

/* How many values one reply is made of, whether or not they end up as extents of their own: a
 * client may select a thousand contexts, or ask for one extent of an image with millions. */
#define VALUES_PER_REPLY (4 * 1024 * 1024)

/* The lists of a reply share a buffer, so that an answer about a fragmented image costs a bounded
 * amount, in pieces of this size; in smaller ones where there are many lists, so that there are
 * some to share. No list has more than can be sent at once. A client asks again from where an
 * answer ends. */
#define MAX_PIECE_SIZE (16 * 1024)
#define MIN_PIECE_SIZE (WORKER_BUFFER_SIZE / CONTEXTS_MAX_SELECTED)

/* All that a buffer has of the largest; a chunk takes these in one message, behind its two headers
 * and what has gathered before. */
#define PIECES_PER_LIST (WORKER_BUFFER_SIZE / MAX_PIECE_SIZE)
G_STATIC_ASSERT(PIECES_PER_LIST + 3 <= MESSAGE_MAX_PIECES);

/* How many runs the contexts are asked about at a time, one after the other: what they need of them
 * stays in the processor's nearest cache. */
#define RUNS_AT_A_TIME 256

/* How long an extent of NBD_REPLY_TYPE_BLOCK_STATUS can be. */
#define LONGEST_NARROW ((guint64)G_MAXUINT32 - G_MAXUINT32 % NBD_PREFERRED_BLOCK)

typedef struct {
    StatusMemory memory;
    StatusList *lists;
    guint n_lists;
    guint n_of_runs;       /* how many of them are made from runs */
    StrataDetails details; /* what those need of runs */
    gboolean one;          /* NBD_CMD_FLAG_REQ_ONE */
    gboolean is_wide;      /* extended headers */
    guint64 budget;        /* of values that may still be computed */
    guint64 end;           /* as far as lists are made */
    gint64 looked;         /* in which turn it was looked whether the client is there */
} Status;

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

/* Returns where those of @runs end that were added: all, if there is need of so many. */
static guint64
add_runs(Status *status, const StrataRun *runs, gsize n_runs)
{
    gsize done = 0;

    do {
        gsize n = MIN(n_runs - done, RUNS_AT_A_TIME);

        for (guint i = 0; i < status->n_lists; i++)
            if (context_is_of_runs(status->lists[i].context))
                status_list_add_runs(&status->lists[i], runs + done, n);
        status->budget -= MIN((guint64)n * status->n_of_runs, status->budget);
        done += n;
    } while (done < n_runs && !is_enough(status));
    return runs[done - 1].offset + runs[done - 1].length;
}

/* The socket is looked at once in a turn. */
static gboolean
is_unwanted(Worker *worker, const Turn *turn, Status *status)
{
    if (connection_is_stopping(worker->connection))
        return TRUE;
    if (status->looked == turn->since)
        return FALSE;
    status->looked = turn->since;
    return connection_is_gone(worker->connection);
}

/* Whether the answer may go on: with a turn, but for the first step about little. A server that
 * stops tells the first step in any case. */
static gboolean
may_go_on(Worker *worker, Turn *turn, const Request *request, Status *status, gboolean first)
{
    if (first && request->length <= COMMAND_LIGHT_BYTES)
        return TRUE;
    if (!command_continue(worker, turn))
        return first && !connection_is_cut(worker->connection);
    if (first)
        status->looked = turn->since;
    return first || !is_unwanted(worker, turn, status);
}

/* Fails only if there is nothing to tell: where the range begins well and is damaged further on,
 * the answer ends before the damage. */
static gboolean
collect_runs(Worker *worker, const Request *request, Status *status, GError **error)
{
    StrataWalk *walk = worker_get_walk_for(worker, status->details);
    guint64 offset = request->offset;
    g_auto(Turn) turn = { 0 };

    while (offset < status->end && !is_enough(status) &&
           may_go_on(worker, &turn, request, status, offset == request->offset)) {
        g_autoptr(GError) local_error = NULL;
        gsize n_runs;
        const StrataRun *runs;

        runs = strata_walk_resolve(walk, offset, status->end - offset, &n_runs, &local_error);
        if (runs == NULL && offset > request->offset)
            break;
        if (runs == NULL) {
            g_propagate_error(error, g_steal_pointer(&local_error));
            return FALSE;
        }
        offset = add_runs(status, runs, n_runs);
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

        if (!first && (status->budget == 0 || !command_continue(worker, &turn) ||
                       is_unwanted(worker, &turn, status)))
            break;
        n = status_list_ask(list, &offset, status->end, first ? error : NULL);
        if (n == 0)
            return !first;
        status->budget -= MIN(n, status->budget);
    }
    return TRUE;
}

/* Has memory stay free for the @n_later lists of those @n_lists that are still to be made. */
static void
keep_memory(Status *status, guint n_later, guint n_lists)
{
    status->memory.n_kept = (guint)((guint64)status->memory.n_free * n_later / n_lists);
}

/* Each goes as far as the runs that were found, since the client asks again from there. */
static gboolean
collect_others(Worker *worker, const Request *request, Status *status, GError **error)
{
    guint n_left = status->n_lists - status->n_of_runs;

    for (guint i = 0; i < status->n_lists; i++) {
        StatusList *list = &status->lists[i];
        g_autofree char *name = NULL;

        if (context_is_of_runs(list->context))
            continue;
        keep_memory(status, n_left - 1, n_left);
        n_left--;
        if (collect_from(worker, request, status, list, error))
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
    keep_memory(status, status->n_lists - status->n_of_runs, status->n_lists);
    return (status->n_of_runs == 0 || collect_runs(worker, request, status, error)) &&
           collect_others(worker, request, status, error);
}

static gboolean
send_list(Worker *worker, const Request *request, const StatusList *list, gboolean last)
{
    struct iovec pieces[1 + PIECES_PER_LIST];
    guint n_pieces = 1 + status_list_count_pieces(list);

    status_list_get_pieces(list, pieces + 1);
    return reply_status(worker, request, list->id, pieces, n_pieces, list->n_extents, last);
}

static void
send_lists(Worker *worker, const Request *request, const Status *status)
{
    for (guint i = 0; i < status->n_lists; i++)
        if (!send_list(worker, request, &status->lists[i], i + 1 == status->n_lists))
            return;
}

static gsize
choose_piece_size(const Status *status, guint n_lists)
{
    gsize size = MAX_PIECE_SIZE;

    if (status->one)
        return status_piece_size(1, status->is_wide);
    while (size > MIN_PIECE_SIZE && WORKER_BUFFER_SIZE / size < (gsize)4 * n_lists)
        size /= 2;
    return size;
}

/* Makes a list for each context that @request chooses. */
static void
init_lists(Status *status, GPtrArray *contexts, const Request *request)
{
    guint limit =
        status->one ? 1
                    : PIECES_PER_LIST * status_memory_piece_holds(&status->memory, status->is_wide);

    for (guint i = 0; i < contexts->len; i++) {
        const Context *context = g_ptr_array_index(contexts, i);

        if (!request_chooses(request, i))
            continue;
        status_list_init(&status->lists[status->n_lists++], context, i + 1, &status->memory,
                         status->is_wide, limit);
        status->n_of_runs += context_is_of_runs(context);
        status->details |= context_get_details(context);
    }
}

/* An extent that is longer than can be told does not come up: the answer ends before. */
static guint64
find_end(const Request *request, gboolean is_wide)
{
    return request->offset + (is_wide ? request->length : MIN(request->length, LONGEST_NARROW));
}

guint64
command_block_status_memory(const Negotiation *negotiation, const Request *request)
{
    return command_walk_memory(negotiation) +
           (request->flags & NBD_CMD_FLAG_REQ_ONE ? 0 : WORKER_BUFFER_SIZE);
}

void
command_block_status(Worker *worker, const Request *request)
{
    const Negotiation *negotiation = &worker->connection->negotiation;
    gboolean one = (request->flags & NBD_CMD_FLAG_REQ_ONE) != 0;
    gboolean is_wide = negotiation->mode == MODE_EXTENDED;
    guint n_lists = request->n_chosen > 0 ? request->n_chosen : negotiation->contexts->len;
    g_autofree StatusList *lists = g_new(StatusList, n_lists);
    Status status = {
        .lists = lists,
        .one = one,
        .is_wide = is_wide,
        .budget = VALUES_PER_REPLY,
        .end = find_end(request, is_wide),
    };
    gsize piece_size = choose_piece_size(&status, n_lists);
    gsize size = one ? n_lists * piece_size : WORKER_BUFFER_SIZE;
    g_autofree gpointer small = one ? g_malloc(size) : NULL;
    gpointer memory = one ? small : worker_get_buffer(worker);
    g_autoptr(GError) error = NULL;

    if (memory == NULL) {
        command_fail(worker, request, NBD_ENOMEM, "there is no memory for the reply");
        return;
    }
    status_memory_init(&status.memory, memory, size, piece_size);
    init_lists(&status, negotiation->contexts, request);
    if (collect(worker, request, &status, &error))
        send_lists(worker, request, &status);
    else
        command_fail(worker, request, NBD_EIO, error->message);
}
