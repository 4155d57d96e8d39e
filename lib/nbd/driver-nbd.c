/* SPDX-License-Identifier: LGPL-2.1-or-later
 * driver-nbd.c - an export of an NBD server: a leaf that holds bytes or, where the server tells
 * depth, a whole chain on another machine (docs/resolving.md).
 *
 * Nothing that the server says of a range is remembered beyond a call, so that an answer never
 * depends on what was asked before. */
#include "driver.h"
#include "error.h"
#include "nbd/ask.h"
#include "nbd/bitmaps.h"
#include "node.h"

/* One request answers for ranges of several pieces as long as no gap between them is longer than
 * this: a server is fast at telling a gap, and a round trip costs more. */
#define MAX_GAP (64 * 1024 * 1024)

/* Bytes of a name that a remote layer keeps here. */
#define MAX_LAYER_NAME 255

/* What is asked for at once is never less. */
#define MIN_SPAN (1024 * 1024)

typedef struct {
    RemoteTarget *target;
    RemotePool *pool;
    RemoteMeaning meaning;
    guint64 span; /* atomic: bytes whose status was worth asking for at once, learnt from replies */
} NbdState;

static gint
find_context(const RemoteExport *export, const char *name)
{
    for (guint i = 0; i < export->contexts->len; i++)
        if (g_str_equal(export->contexts->pdata[i], name))
            return i;
    return -1;
}

static gboolean
add_layers(StrataNode *node, StrataOpener *opener, const GPtrArray *layers, GError **error)
{
    for (guint i = 0; i < layers->len; i++) {
        g_autofree char *name = g_strndup(layers->pdata[i], MAX_LAYER_NAME);

        if (!*name)
            return strata_throw(error, node, STRATA_ERROR_REMOTE,
                                "the server lists a layer without a name");
        if (!strata_opener_add_layer(opener, node, name, error))
            return FALSE;
    }
    return TRUE;
}

/* What the contexts of the server make of the node. */
static gboolean
use_contexts(StrataNode *node, StrataOpener *opener, const RemoteExport *export, GError **error)
{
    NbdState *state = node->state;
    RemoteMeaning *meaning = &state->meaning;

    meaning->allocation = find_context(export, "base:allocation");
    meaning->depth = find_context(export, "qemu:allocation-depth");
    meaning->joint = find_context(export, "strata:joint");
    node->tells_depth = meaning->depth >= 0;
    node->claims = meaning->joint < 0;
    if (meaning->joint >= 0 && !add_layers(node, opener, export->layers, error))
        return FALSE;
    meaning->n_layers = node->n_layers;
    return TRUE;
}

static gboolean
nbd_leaf_open(StrataNode *node, StrataOpener *opener, GError **error)
{
    NbdState *state = g_new0(NbdState, 1);
    const RemoteExport *export;

    node->state = state;
    state->span = G_MAXUINT64;
    state->target = remote_target_new(node, opener, error);
    if (!state->target)
        return FALSE;
    state->pool = remote_pool_new(node, state->target, NULL, error);
    if (!state->pool)
        return FALSE;
    export = remote_pool_get_export(state->pool);
    node->size = export->size;
    remote_bitmaps_add(node, state->target, export);
    return use_contexts(node, opener, export, error);
}

static void
nbd_leaf_close(StrataNode *node)
{
    NbdState *state = node->state;

    if (!state)
        return;
    g_clear_pointer(&node->bitmaps, g_ptr_array_unref); /* they use the target */
    remote_pool_free(state->pool);
    remote_target_free(state->target);
    g_free(state);
}

/* The ranges that one request is to answer for: the first, and those that follow it without a long
 * gap. Returns where they end. */
static guint64
find_span(const StrataRange *ranges, gsize n_ranges)
{
    guint64 end = ranges[0].offset + ranges[0].length;

    for (gsize i = 1; i < n_ranges; i++) {
        if (ranges[i].offset < end || ranges[i].offset - end > MAX_GAP)
            break;
        end = ranges[i].offset + ranges[i].length;
    }
    return end;
}

/* A reply has room for more than the caller of map() has: the rest of a fragmented one is told in
 * vain. Only how much is asked is learnt, and nothing of what was answered. */
static void
learn_span(NbdState *state, const RemoteStatus *status, guint64 asked, gsize max_answers)
{
    guint64 span = __atomic_load_n(&state->span, __ATOMIC_RELAXED);
    guint n_extents = 0;

    for (guint i = 0; i < REMOTE_MAX_CONTEXTS; i++)
        n_extents = MAX(n_extents, status->extents[i]->len);
    if (n_extents > 2 * max_answers)
        span = MAX(asked / (n_extents / max_answers), MIN_SPAN);
    else if (asked >= span && span <= G_MAXUINT64 / 4)
        span *= 4;
    __atomic_store_n(&state->span, span, __ATOMIC_RELAXED);
}

/* A reply on its way into the answers to ranges. */
typedef struct {
    const RemoteMeaning *meaning;
    RemoteCursor cursor;
    guint64 offset; /* of the cursor, in the export */
    const char *wrong;
} Reading;

/* Moves on to @offset. FALSE if the reply ends before. */
static gboolean
skip_to(Reading *reading, guint64 offset)
{
    guint32 values[REMOTE_MAX_CONTEXTS];

    /* Moves forward: no extent is empty. */
    while (reading->offset < offset) {
        guint64 step = MIN(offset - reading->offset, remote_cursor_peek(&reading->cursor, values));

        if (step == 0)
            return FALSE;
        remote_cursor_advance(&reading->cursor, step);
        reading->offset += step;
    }
    return TRUE;
}

static gboolean
same_answer(const StrataAnswer *a, const StrataAnswer *b)
{
    return a->kind == b->kind && a->flags == b->flags && a->depth == b->depth &&
           a->layer == b->layer;
}

/* The answers to a range, as far as the reply and the room go: adds them after @n others, and
 * returns how many there are then. */
static gsize
read_range(Reading *reading, const StrataRange *range, StrataAnswer *answers, gsize n,
           gsize max_answers)
{
    guint32 values[REMOTE_MAX_CONTEXTS];
    guint64 end = range->offset + range->length;
    gsize first = n;
    guint64 length;

    /* Moves forward: no extent is empty. */
    while (reading->offset < end && (length = remote_cursor_peek(&reading->cursor, values)) > 0) {
        StrataAnswer answer;

        reading->wrong = remote_meaning_answer(reading->meaning, values, &answer);
        if (reading->wrong)
            break;
        answer.length = MIN(length, end - reading->offset);
        if (n > first && same_answer(&answers[n - 1], &answer))
            answers[n - 1].length += answer.length;
        else if (n < max_answers)
            answers[n++] = answer;
        else
            break;
        remote_cursor_advance(&reading->cursor, answer.length);
        reading->offset += answer.length;
    }
    return n;
}

static gsize
nbd_leaf_map(StrataNode *node, const StrataRange *ranges, gsize n_ranges, StrataAnswer *answers,
             gsize max_answers, GError **error)
{
    NbdState *state = node->state;
    guint64 start = ranges[0].offset;
    guint64 wanted =
        MIN(find_span(ranges, n_ranges) - start, __atomic_load_n(&state->span, __ATOMIC_RELAXED));
    g_auto(RemoteStatus) status = { 0 };
    Reading reading = { .meaning = &state->meaning, .offset = start };
    gsize n = 0;

    if (remote_pool_get_export(state->pool)->contexts->len == 0)
        return strata_map_all_as_own(ranges, n_ranges, 0, answers, max_answers);
    remote_status_init(&status);
    if (!remote_ask_status(state->pool, start, wanted, &status, &reading.cursor, error))
        return 0;
    learn_span(state, &status, wanted, max_answers);
    for (gsize i = 0; i < n_ranges; i++) {
        if (ranges[i].offset < reading.offset || !skip_to(&reading, ranges[i].offset))
            break;
        n = read_range(&reading, &ranges[i], answers, n, max_answers);
        if (reading.offset < ranges[i].offset + ranges[i].length)
            break;
    }
    if (n == 0)
        remote_ask_throw(state->pool, start, reading.wrong, error);
    return n;
}

static gboolean
nbd_leaf_read(StrataNode *node, guint64 offset, gsize length, guint8 *buffer, GError **error)
{
    const NbdState *state = node->state;

    return remote_ask_content(state->pool, offset, length, buffer, error);
}

static gsize
nbd_leaf_map_bitmap(StrataNode *node, const StrataBitmap *bitmap, StrataRange range,
                    StrataBitmapRun *runs, gsize max_runs, GError **error)
{
    return remote_bitmaps_map(node, bitmap, range, runs, max_runs, error);
}

static void
nbd_leaf_describe(StrataNode *node, GVariantDict *dict)
{
    const NbdState *state = node->state;
    const RemoteExport *export = remote_pool_get_export(state->pool);

    g_variant_dict_insert(dict, "export", "s", state->target->export);
    g_variant_dict_insert_value(
        dict, "contexts",
        g_variant_new_strv((const char *const *)export->contexts->pdata, export->contexts->len));
    g_variant_dict_insert(dict, "connections", "u",
                          export->is_multi_conn ? state->target->max_connections : 1);
    g_variant_dict_insert(dict, "tls", "b", export->has_tls);
}

const StrataDriver strata_driver_nbd = {
    .name = "nbd",
    .is_protocol = TRUE,
    .options = remote_target_options,
    .ignored_options = remote_target_ignored_options,
    .open = nbd_leaf_open,
    .close = nbd_leaf_close,
    .map = nbd_leaf_map,
    .read = nbd_leaf_read,
    .map_bitmap = nbd_leaf_map_bitmap,
    .describe = nbd_leaf_describe,
};
