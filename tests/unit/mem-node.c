/* SPDX-License-Identifier: LGPL-2.1-or-later
 * mem-node.c - a driver whose nodes answer from memory. */
#include "mem-node.h"

#include <string.h>

#include <strata/resolve.h>

#include "bits.h"
#include "error.h"

#define NO_FAULT G_MAXUINT64

typedef struct {
    guint8 *bytes; /* a leaf's content, else NULL */
    GArray *extents;
    gsize max_answers;
    guint64 fault;
    guint units_per_table;            /* of a node with tables */
    gint n_calls, n_answers, n_reads; /* atomic */
} MemState;

/* What the script says of the byte at @offset, and for how many bytes from there. */
static StrataAnswer
script_at(StrataNode *node, guint64 offset)
{
    MemState *state = node->state;
    guint64 end = node->size;

    if (state->bytes)
        return (StrataAnswer){ .length = end - offset, .kind = STRATA_ANSWER_OWN };
    for (guint i = 0; i < state->extents->len; i++) {
        const MemExtent *extent = &g_array_index(state->extents, MemExtent, i);
        StrataAnswer answer = extent->answer;
        guint64 into = offset - extent->offset;

        if (offset < extent->offset) {
            end = MIN(end, extent->offset);
            break;
        }
        if (into >= answer.length)
            continue;
        answer.length -= into;
        if (answer.kind == STRATA_ANSWER_DATA || answer.kind == STRATA_ANSWER_FORWARD)
            answer.child_offset += into;
        return answer;
    }
    return (StrataAnswer){ .length = end - offset, .kind = STRATA_ANSWER_ABSENT };
}

static gsize
answer_ranges(StrataNode *node, const StrataRange *ranges, gsize n_ranges, StrataAnswer *answers,
              gsize max_answers, GError **error)
{
    MemState *state = node->state;
    gsize n = 0;

    for (gsize i = 0; i < n_ranges; i++) {
        guint64 at = ranges[i].offset;
        guint64 end = at + ranges[i].length;

        g_assert_cmpuint(at, <, end);
        g_assert_cmpuint(end, <=, node->size);
        for (; at < end && n < max_answers; n++) {
            answers[n] = script_at(node, at);
            answers[n].length = MIN(answers[n].length, end - at);
            if (at <= state->fault && state->fault - at < answers[n].length)
                answers[n].length = state->fault - at;
            if (answers[n].length == 0) {
                if (n == 0)
                    strata_throw(error, node, STRATA_ERROR_DAMAGED,
                                 "fault at 0x%" G_GINT64_MODIFIER "x", at);
                return n;
            }
            at += answers[n].length;
        }
        if (at < end)
            return n;
    }
    return n;
}

static gsize
mem_map(StrataNode *node, const StrataRange *ranges, gsize n_ranges, StrataAnswer *answers,
        gsize max_answers, GError **error)
{
    MemState *state = node->state;
    gsize n =
        answer_ranges(node, ranges, n_ranges, answers, MIN(max_answers, state->max_answers), error);

    g_atomic_int_inc(&state->n_calls);
    g_atomic_int_add(&state->n_answers, n);
    return n;
}

static gboolean
mem_read(StrataNode *node, guint64 offset, gsize length, guint8 *buffer, GError **error)
{
    MemState *state = node->state;

    if (!state->bytes)
        return strata_throw(error, node, STRATA_ERROR_UNSUPPORTED, "scripted nodes hold no bytes");
    g_assert_cmpuint(offset + length, <=, node->size);
    g_atomic_int_inc(&state->n_reads);
    memcpy(buffer, state->bytes + offset, length);
    return TRUE;
}

static void
mem_close(StrataNode *node)
{
    MemState *state = node->state;

    g_free(state->bytes);
    g_array_unref(state->extents);
    g_free(state);
}

/* -- Nodes with tables -- */

static guint64
unit_size(const StrataNode *node)
{
    return G_GUINT64_CONSTANT(1) << node->unit_bits;
}

static gboolean
is_damaged(StrataNode *node, guint64 offset)
{
    const MemState *state = node->state;

    return state->fault < node->size &&
           state->fault >> node->unit_bits == offset >> node->unit_bits;
}

static gboolean
is_own(StrataNode *node, guint64 offset)
{
    return is_damaged(node, offset) || script_at(node, offset).kind != STRATA_ANSWER_ABSENT;
}

static gboolean
mem_seek_slice(StrataNode *node, StrataSlice *slice, guint64 offset, guint64 limit, GError **error)
{
    MemState *state = node->state;
    guint64 span = (guint64)state->units_per_table << node->unit_bits;

    g_assert_cmpuint(offset, <, node->size);
    g_assert_cmpuint(limit, <=, node->size);
    if (slice_tells_of(slice, offset))
        return TRUE;
    g_atomic_int_inc(&state->n_calls);
    slice->begin = offset - offset % span;
    slice->end = slice->begin + span;
    slice->is_empty = TRUE;
    for (guint64 at = slice->begin; at < MIN(slice->end, node->size); at += unit_size(node))
        slice->is_empty &= !is_own(node, at);
    return TRUE;
}

static void
mem_peek_slice(StrataNode *node, StrataSlice *slice, guint64 offset, guint64 limit)
{
    if (offset / 16 % 2) /* it may or may not */
        mem_seek_slice(node, slice, offset, limit, NULL);
}

static void
mem_find_own(StrataNode *node, const StrataSlice *slice, gsize first, gsize n_units, guint64 *bits)
{
    MemState *state = node->state;

    g_assert_cmpuint(first + n_units, <=, state->units_per_table);
    for (gsize i = 0; i < n_units; i++) {
        guint64 at = slice->begin + ((guint64)(first + i) << node->unit_bits);

        g_assert_false(bits_get(bits, i));
        if (at < node->size && is_own(node, at))
            bits_fill(bits, i, 1);
    }
}

static guint16
unit_kind_of(const StrataAnswer *answer)
{
    if (answer->kind == STRATA_ANSWER_DATA)
        return STRATA_UNIT_DATA;
    if (answer->kind == STRATA_ANSWER_ZERO)
        return STRATA_UNIT_ZERO;
    return answer->flags & STRATA_RUN_COMPRESSED ? STRATA_UNIT_COMPRESSED : STRATA_UNIT_ENCRYPTED;
}

static gsize
mem_tell_units(StrataNode *node, const StrataSlice *slice, gsize first, gsize n_units,
               const guint64 *wanted, StrataUnits *units)
{
    MemState *state = node->state;

    for (gsize i = bits_find(wanted, 0, n_units); i < n_units;
         i = bits_find(wanted, i + 1, n_units)) {
        guint64 at = slice->begin + ((guint64)(first + i) << node->unit_bits);
        StrataAnswer answer = script_at(node, at);

        g_assert_true(is_own(node, at));
        g_atomic_int_inc(&state->n_answers);
        if (is_damaged(node, at))
            return i;
        units->kinds[i] = units->tag + unit_kind_of(&answer);
        units->places[i] = answer.kind == STRATA_ANSWER_DATA ? answer.child_offset : at;
        if (answer.kind != STRATA_ANSWER_DATA)
            continue;
        units->lowest = MIN(units->lowest, answer.child_offset);
        units->highest = MAX(units->highest, answer.child_offset);
    }
    return n_units;
}

static void
mem_throw_damage(StrataNode *node, const StrataSlice *slice, gsize unit, GError **error)
{
    guint64 at = slice->begin + ((guint64)unit << node->unit_bits);

    g_assert_true(is_damaged(node, at));
    strata_throw(error, node, STRATA_ERROR_DAMAGED, "fault at 0x%" G_GINT64_MODIFIER "x", at);
}

static const StrataDriver mem_table_driver = {
    .name = "mem-table",
    .close = mem_close,
    .seek_slice = mem_seek_slice,
    .peek_slice = mem_peek_slice,
    .find_own = mem_find_own,
    .tell_units = mem_tell_units,
    .throw_damage = mem_throw_damage,
    .read = mem_read,
};

static const StrataDriver mem_sparse_leaf_driver = {
    .name = "mem-sparse-leaf",
    .is_protocol = TRUE,
    .close = mem_close,
    .map = mem_map,
    .is_quick_to_map = TRUE,
    .read = mem_read,
};

static const StrataDriver mem_leaf_driver = {
    .name = "mem-leaf",
    .is_protocol = TRUE,
    .close = mem_close,
    .map = mem_map,
    .read = mem_read,
};

static const StrataDriver mem_driver = {
    .name = "mem",
    .close = mem_close,
    .map = mem_map,
    .read = mem_read,
};

static StrataNode *
new_node(const StrataDriver *driver, const char *name, guint64 size)
{
    StrataNode *node = g_new0(StrataNode, 1);
    MemState *state = g_new0(MemState, 1);

    state->extents = g_array_new(FALSE, FALSE, sizeof(MemExtent));
    state->max_answers = G_MAXSIZE;
    state->fault = NO_FAULT;
    node->driver = driver;
    node->name = g_strdup(name);
    node->size = size;
    node->claims = TRUE;
    node->state = state;
    return node;
}

StrataNode *
mem_leaf_new(const char *name, const guint8 *bytes, gsize size)
{
    StrataNode *node = new_node(&mem_leaf_driver, name, size);
    MemState *state = node->state;

    state->bytes = g_malloc(MAX(size, 1));
    if (size)
        memcpy(state->bytes, bytes, size);
    return node;
}

StrataNode *
mem_node_new(const char *name, guint64 size, const MemExtent *extents, gsize n_extents)
{
    StrataNode *node = new_node(&mem_driver, name, size);
    MemState *state = node->state;

    node->forward_roles = (1 << STRATA_N_ROLES) - 1;
    g_array_append_vals(state->extents, extents, n_extents);
    return node;
}

StrataNode *
mem_table_node_new(const char *name, guint64 size, const MemExtent *extents, gsize n_extents,
                   guint unit_bits, guint units_per_table)
{
    StrataNode *node = new_node(&mem_table_driver, name, size);
    MemState *state = node->state;

    node->forward_roles = 1 << STRATA_ROLE_BACKING;
    node->unit_bits = unit_bits;
    node->data_role = STRATA_ROLE_FILE;
    state->units_per_table = units_per_table;
    g_array_append_vals(state->extents, extents, n_extents);
    return node;
}

StrataNode *
mem_sparse_leaf_new(const char *name, guint64 size, const MemExtent *extents, gsize n_extents)
{
    StrataNode *node = new_node(&mem_sparse_leaf_driver, name, size);
    MemState *state = node->state;

    g_array_append_vals(state->extents, extents, n_extents);
    return node;
}

gboolean
mem_node_tell(StrataNode *node, guint64 offset, StrataAnswer *out_answer)
{
    const MemState *state = node->state;
    gboolean has_tables = node->driver == &mem_table_driver;

    *out_answer = script_at(node, offset);
    out_answer->length = 1;
    if (has_tables && out_answer->kind == STRATA_ANSWER_ABSENT &&
        node->children[STRATA_ROLE_BACKING])
        *out_answer = (StrataAnswer){
            .length = 1,
            .kind = STRATA_ANSWER_FORWARD,
            .role = STRATA_ROLE_BACKING,
            .child_offset = offset,
        };
    return has_tables ? !is_damaged(node, offset) : offset != state->fault;
}

StrataNode *
mem_window_new(const char *name, guint64 size, guint64 offset)
{
    MemExtent all = { 0,
                      { .length = size,
                        .child_offset = offset,
                        .kind = STRATA_ANSWER_FORWARD,
                        .role = STRATA_ROLE_FILE } };
    StrataNode *node = mem_node_new(name, size, &all, 1);

    node->claims = FALSE;
    node->forward_roles = 1 << STRATA_ROLE_FILE;
    node->forward_offset = offset;
    node->is_plain = TRUE;
    return node;
}

void
mem_node_set_max_answers(StrataNode *node, gsize max_answers)
{
    ((MemState *)node->state)->max_answers = max_answers;
}

void
mem_node_set_fault(StrataNode *node, guint64 offset)
{
    ((MemState *)node->state)->fault = offset;
}

guint
mem_node_get_n_calls(StrataNode *node)
{
    return g_atomic_int_get(&((MemState *)node->state)->n_calls);
}

guint
mem_node_get_n_answers(StrataNode *node)
{
    return g_atomic_int_get(&((MemState *)node->state)->n_answers);
}

guint
mem_node_get_n_reads(StrataNode *node)
{
    return g_atomic_int_get(&((MemState *)node->state)->n_reads);
}

StrataNode *
mem_node_attach(StrataNode *parent, StrataRole role, StrataNode *child)
{
    g_assert_null(parent->children[role]);
    parent->children[role] = child;
    child->parent = parent;
    child->role = role;
    return parent;
}

/* Chains in tests may be long, so this does not recurse. */
static void
add_with_children(StrataGraph *graph, StrataNode *top)
{
    g_ptr_array_add(graph->nodes, top);
    for (guint i = 0; i < graph->nodes->len; i++) {
        StrataNode *node = graph->nodes->pdata[i];

        node->graph = graph;
        g_hash_table_insert(graph->names, node->name, node);
        for (int role = 0; role < STRATA_N_ROLES; role++)
            if (node->children[role])
                g_ptr_array_add(graph->nodes, node->children[role]);
    }
}

StrataGraph *
mem_graph_new(StrataNode *top)
{
    StrataGraph *graph = graph_new(NULL);

    add_with_children(graph, top);
    graph_number(graph, 0);
    return graph;
}
