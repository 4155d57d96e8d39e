/* SPDX-License-Identifier: LGPL-2.1-or-later
 * mem-node.c - a driver whose nodes answer from memory. */
#include "mem-node.h"

#include <string.h>

#include "error.h"

#define NO_FAULT G_MAXUINT64

typedef struct {
    guint8 *bytes; /* a leaf's content, else NULL */
    GArray *extents;
    gsize max_answers;
    guint64 fault;
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
    StrataGraph *graph = graph_new();

    add_with_children(graph, top);
    graph_number(graph, 0);
    return graph;
}
