/* SPDX-License-Identifier: LGPL-2.1-or-later
 * status-list.c - lists of extents: merged, and written once, as they are sent. */
#include "status-list.h"

/* How many runs a context is asked about at a time, on the stack. */
#define RUNS_PER_CALL 256

/* What a context that tells of ranges itself is asked for at a time, on the stack. */
#define EXTENTS_PER_CALL 256

/* A piece begins with this, which is as long as an extent or two: what is before a piece's first
 * extent lies in the piece, too. The extents follow. */
struct _StatusPiece {
    StatusPiece *next;
    guint64 unused;
};

static gsize
extent_size(gboolean is_wide)
{
    return is_wide ? sizeof(NbdExtExtent) : sizeof(NbdExtent);
}

gsize
status_piece_size(guint n_extents, gboolean is_wide)
{
    return sizeof(StatusPiece) + n_extents * extent_size(is_wide);
}

guint
status_memory_piece_holds(const StatusMemory *memory, gboolean is_wide)
{
    return (guint)((memory->piece_size - sizeof(StatusPiece)) / extent_size(is_wide));
}

void
status_memory_init(StatusMemory *self, gpointer memory, gsize size, gsize piece_size)
{
    *self = (StatusMemory){
        .next = memory,
        .piece_size = piece_size,
        .n_free = (guint)(size / piece_size),
    };
}

static void
add_piece(StatusList *list)
{
    StatusMemory *memory = list->memory;
    gsize size = extent_size(list->is_wide);
    StatusPiece *piece = (gpointer)memory->next;

    memory->next += memory->piece_size;
    memory->n_free--;
    piece->next = NULL;
    if (list->last != NULL)
        list->last->next = piece;
    else
        list->first = piece;
    list->last = piece;
    list->at = (guint8 *)(piece + 1) - size;
    list->room =
        MIN(status_memory_piece_holds(memory, list->is_wide), list->limit - list->n_extents);
}

void
status_list_init(StatusList *list, const Context *context, guint32 id, StatusMemory *memory,
                 gboolean is_wide, guint limit)
{
    *list = (StatusList){
        .context = context,
        .id = id,
        .memory = memory,
        .is_wide = is_wide,
        .limit = limit,
    };
    add_piece(list);
}

/* A list that ends early is an answer: the client asks again from there. */
static gboolean
make_room(StatusList *list)
{
    if (list->room > 0)
        return TRUE;
    if (list->n_extents == list->limit || list->memory->n_free <= list->memory->n_kept)
        list->full = TRUE;
    else
        add_piece(list);
    return !list->full;
}

/* The form of NBD_REPLY_TYPE_BLOCK_STATUS. No value has more than 32 bits: contexts that have are
 * not selected without extended headers. */
static inline void
store_narrow(guint8 *at, guint64 length, guint64 value)
{
    *(guint64 *)(gpointer)at = GUINT64_TO_BE(length << 32 | (guint32)value);
}

/* The form of NBD_REPLY_TYPE_BLOCK_STATUS_EXT. */
static inline void
store_wide(guint8 *at, guint64 length, guint64 value)
{
    *(NbdExtExtent *)(gpointer)at = (NbdExtExtent){
        .length = GUINT64_TO_BE(length),
        .flags = GUINT64_TO_BE(value),
    };
}

static void
store_last(const StatusList *list)
{
    if (list->is_wide)
        store_wide(list->at, list->length, list->value);
    else
        store_narrow(list->at, list->length, list->value);
}

static void
lengthen(StatusList *list, guint64 length)
{
    list->length += length;
    store_last(list);
}

/* Counts the extents that were made where there was room for them, up to @at. */
static void
set_last(StatusList *list, guint8 *at, guint64 length, guint64 value)
{
    guint n = (guint)((gsize)(at - list->at) / extent_size(list->is_wide));

    list->at = at;
    list->room -= n;
    list->n_extents += n;
    list->length = length;
    list->value = value;
}

static void
append(StatusList *list, guint64 length, guint64 value)
{
    if (!make_room(list))
        return;
    set_last(list, list->at + extent_size(list->is_wide), length, value);
    store_last(list);
}

/* Puts @extents, for which there is room if none goes on in another; the first does not in the one
 * before. Without a branch, which would be guessed wrong half the time: each is written to the
 * place of the last one or to the next place, and over it the next, until that begins an extent of
 * its own. */
static G_ALWAYS_INLINE inline void
put(StatusList *list, const ContextExtent *extents, gsize n, gsize size,
    void (*store)(guint8 *at, guint64 length, guint64 value))
{
    guint8 *at = list->at + size;
    guint64 length = extents[0].length;
    guint64 value = extents[0].value;

    store(at, length, value);
    for (gsize i = 1; i < n; i++) {
        guint64 joined = (guint64)(extents[i].value != value) - 1; /* all ones or none */

        length = extents[i].length + (length & joined);
        value = extents[i].value;
        at += size & ~joined;
        store(at, length, value);
    }
    set_last(list, at, length, value);
}

/* Returns how many of @extents, from the first, go on in the last one of the list, which gets as
 * much longer. */
static gsize
join_alike(StatusList *list, const ContextExtent *extents, gsize n)
{
    guint64 length = 0;
    gsize joined;

    if (list->n_extents == 0)
        return 0;
    for (joined = 0; joined < n && extents[joined].value == list->value; joined++)
        length += extents[joined].length;
    if (joined > 0)
        lengthen(list, length);
    return joined;
}

void
status_list_add(StatusList *list, const ContextExtent *extents, gsize n)
{
    while (n > 0 && !list->full) {
        gsize taken = join_alike(list, extents, n);

        extents += taken;
        n -= taken;
        if (n == 0 || !make_room(list))
            return;
        taken = MIN(n, list->room);
        if (list->is_wide)
            put(list, extents, taken, sizeof(NbdExtExtent), store_wide);
        else
            put(list, extents, taken, sizeof(NbdExtent), store_narrow);
        extents += taken;
        n -= taken;
    }
}

static gboolean
goes_on(const StatusList *list, StrataNode *leaf, guint64 place)
{
    return list->n_extents > 0 && list->leaf == leaf &&
           (leaf == NULL || list->value + list->length == place);
}

static void
add_place(StatusList *list, const ContextExtent *extent, StrataNode *leaf)
{
    if (list->full)
        return;
    if (goes_on(list, leaf, extent->value))
        lengthen(list, extent->length);
    else
        append(list, extent->length, extent->value);
    list->leaf = leaf;
}

static void
add_some_runs(StatusList *list, const StrataRun *runs, gsize n_runs)
{
    ContextExtent extents[RUNS_PER_CALL];

    context_tell(list->context, runs, n_runs, extents);
    if (!context_is_of_places(list->context)) {
        status_list_add(list, extents, n_runs);
        return;
    }
    for (gsize i = 0; i < n_runs; i++)
        add_place(list, &extents[i], extents[i].value != CONTEXT_NO_PLACE ? runs[i].leaf : NULL);
}

void
status_list_add_runs(StatusList *list, const StrataRun *runs, gsize n_runs)
{
    for (gsize done = 0; done < n_runs && !list->full; done += RUNS_PER_CALL)
        add_some_runs(list, runs + done, MIN(n_runs - done, RUNS_PER_CALL));
}

/* For one extent more than there is room for and no further: that one shows where the last ends. */
gsize
status_list_ask(StatusList *list, guint64 *offset, guint64 end, GError **error)
{
    ContextExtent extents[EXTENTS_PER_CALL];
    gsize wanted = MIN(list->limit - list->n_extents + 1, EXTENTS_PER_CALL);
    gsize n = context_map(list->context, *offset, end - *offset, extents, wanted, error);

    status_list_add(list, extents, n);
    for (gsize i = 0; i < n; i++)
        *offset += extents[i].length;
    return n;
}

guint
status_list_count_pieces(const StatusList *list)
{
    guint n = 0;

    for (const StatusPiece *piece = list->first; piece != NULL; piece = piece->next)
        n++;
    return n;
}

void
status_list_get_pieces(const StatusList *list, struct iovec *out_pieces)
{
    gsize size = extent_size(list->is_wide);
    gsize capacity = status_memory_piece_holds(list->memory, list->is_wide);
    guint n = 0;

    for (StatusPiece *piece = list->first; piece != NULL; piece = piece->next, n++)
        out_pieces[n] = (struct iovec){ .iov_base = piece + 1, .iov_len = capacity * size };
    out_pieces[n - 1].iov_len = (gsize)(list->at - (guint8 *)(list->last + 1)) + size;
}
