/* SPDX-License-Identifier: LGPL-2.1-or-later
 * graph.c - a graph's life, its order, and what it tells of its nodes. */
#include <strata/snapshot.h>

#include "node.h"
#include "policy.h"
#include "read-ahead.h"
#include "spec.h"

/* Who copies a disk reads it with several requests in flight on several connections, in the order
 * of their offsets. This is room for 32 clusters of the largest kind (2 MiB): two for each of 16
 * such readers, so that a cluster stays until the last of its small pieces has been read. */
#define CLUSTER_BUDGET (64 * 1024 * 1024)

/* Likewise, of any size. Who reads here and there in a large image wants a part of each cluster,
 * and no cluster twice. */
#define CLUSTERS_ON_TRIAL 32

static void
node_free(StrataNode *node)
{
    g_clear_pointer(&node->snapshots, g_array_unref);
    g_clear_pointer(&node->bitmaps, g_ptr_array_unref);
    g_clear_pointer(&node->spec, strata_spec_unref);
    g_free(node->uri);
    g_free(node->name);
    g_free(node);
}

StrataGraph *
graph_new(PolicyGate *gate)
{
    StrataGraph *graph = g_new0(StrataGraph, 1);

    graph->ref_count = 1;
    graph->nodes = g_ptr_array_new_with_free_func((GDestroyNotify)node_free);
    graph->names = g_hash_table_new(g_str_hash, g_str_equal);
    graph->gate = gate;
    graph->tables = table_cache_new(
        gate ? policy_gate_get_metadata_cache(gate) : POLICY_DEFAULT_METADATA_CACHE, 0);
    graph->ahead = read_ahead_new();
    graph->changes = changes_new(graph);
    graph->clusters = table_cache_new(CLUSTER_BUDGET, CLUSTERS_ON_TRIAL);
    return graph;
}

StrataGraph *
strata_graph_ref(StrataGraph *graph)
{
    g_atomic_int_inc(&graph->ref_count);
    return graph;
}

/* Parents stand before their children, in whatever order the nodes are, so children close first. */
static void
close_nodes(StrataGraph *graph)
{
    for (guint i = graph->nodes->len; i > 0; i--) {
        StrataNode *node = graph->nodes->pdata[i - 1];

        if (node->driver)
            node->driver->close(node);
    }
}

void
strata_graph_unref(StrataGraph *graph)
{
    if (!g_atomic_int_dec_and_test(&graph->ref_count))
        return;
    read_ahead_free(graph->ahead); /* first: its thread looks at nodes */
    close_nodes(graph);
    changes_free(graph->changes);
    table_cache_free(graph->tables);
    table_cache_free(graph->clusters);
    g_clear_pointer(&graph->gate, policy_gate_unref);
    g_hash_table_unref(graph->names);
    g_ptr_array_unref(graph->nodes);
    g_free(graph);
}

/* The storage of a node is pushed last, so that it is popped first. */
static void
order_nodes(StrataGraph *graph, guint start)
{
    g_autoptr(GPtrArray) stack = g_ptr_array_new();
    guint index = start;

    g_ptr_array_add(stack, graph->nodes->pdata[start]);
    while (stack->len) {
        StrataNode *node = g_ptr_array_steal_index_fast(stack, stack->len - 1);

        node->index = index;
        node->subtree_end = index + 1;
        graph->nodes->pdata[index++] = node;
        for (int role = STRATA_N_ROLES - 1; role >= 0; role--)
            if (node->children[role])
                g_ptr_array_add(stack, node->children[role]);
    }
    g_return_if_fail(index == graph->nodes->len);
}

/* Children stand behind their parents: from the back, every node's end is final when it is met. */
static void
find_subtree_ends(StrataGraph *graph, guint start)
{
    for (guint i = graph->nodes->len - 1; i > start; i--) {
        StrataNode *node = graph->nodes->pdata[i];

        node->parent->subtree_end = MAX(node->parent->subtree_end, node->subtree_end);
    }
}

void
graph_number(StrataGraph *graph, guint start)
{
    order_nodes(graph, start);
    find_subtree_ends(graph, start);
}

StrataNode *
strata_graph_get_top(StrataGraph *graph)
{
    return graph->nodes->pdata[0];
}

guint
strata_graph_get_n_nodes(StrataGraph *graph)
{
    return graph->nodes->len;
}

StrataNode *
strata_graph_get_node(StrataGraph *graph, guint index)
{
    g_return_val_if_fail(index < graph->nodes->len, NULL);
    return graph->nodes->pdata[index];
}

StrataNode *
strata_graph_find_node(StrataGraph *graph, const char *name)
{
    return g_hash_table_lookup(graph->names, name);
}

const char *
strata_node_get_name(StrataNode *node)
{
    return node->name;
}

const char *
strata_node_get_driver(StrataNode *node)
{
    return node->driver->name;
}

guint64
strata_node_get_size(StrataNode *node)
{
    return node->size;
}

const char *
strata_node_get_filename(StrataNode *node)
{
    if (node->uri)
        return node->uri;
    return node->spec && strata_node_is_protocol(node) ? spec_get_text(node->spec, "filename")
                                                       : NULL;
}

StrataNode *
strata_node_get_child(StrataNode *node, StrataRole role)
{
    g_return_val_if_fail((guint)role < STRATA_N_ROLES, NULL);
    return node->children[role];
}

StrataNode *
strata_node_get_parent(StrataNode *node)
{
    return node->parent;
}

StrataRole
strata_node_get_role(StrataNode *node)
{
    return node->role;
}

gboolean
strata_node_is_protocol(StrataNode *node)
{
    return node->driver && node->driver->is_protocol;
}

gboolean
strata_node_is_storage(StrataNode *node)
{
    return strata_node_is_protocol(node) && !node->tells_depth;
}

gboolean
strata_node_is_within(StrataNode *node, StrataNode *ancestor)
{
    return node->index >= ancestor->index && node->index < ancestor->subtree_end;
}

GPtrArray *
strata_node_list_path(StrataNode *node)
{
    GPtrArray *path = g_ptr_array_new();
    g_autoptr(GPtrArray) stack = g_ptr_array_new();

    g_ptr_array_add(stack, node);
    while (stack->len) {
        StrataNode *step = g_ptr_array_steal_index_fast(stack, stack->len - 1);

        g_ptr_array_add(path, step);
        for (int role = STRATA_N_ROLES - 1; role >= 0; role--)
            if (step->children[role] && step->forward_roles & 1u << role)
                g_ptr_array_add(stack, step->children[role]);
    }
    return path;
}

/* A node that is shorter than its overlay claims what lies past its end, a window too
 * (docs/resolving.md), if the walk from @from comes to it through that overlay. */
static gboolean
may_claim(StrataNode *node, StrataNode *from)
{
    gboolean is_short =
        node != from && node->role == STRATA_ROLE_BACKING && node->size < node->parent->size;

    return node->claims || is_short;
}

GPtrArray *
strata_node_list_layers(StrataNode *node)
{
    g_autoptr(GPtrArray) path = strata_node_list_path(node);
    GPtrArray *layers = g_ptr_array_new();

    for (guint i = 0; i < path->len; i++)
        if (may_claim(path->pdata[i], node))
            g_ptr_array_add(layers, path->pdata[i]);
    return layers;
}

const StrataSnapshot *
strata_node_get_snapshots(StrataNode *node, gsize *out_n)
{
    *out_n = node->snapshots ? node->snapshots->len : 0;
    return *out_n ? &g_array_index(node->snapshots, StrataSnapshot, 0) : NULL;
}

const StrataSnapshot *
strata_node_find_snapshot(StrataNode *node, const char *id_or_name)
{
    gsize n;
    const StrataSnapshot *snapshots = strata_node_get_snapshots(node, &n);

    for (gsize i = 0; i < n; i++)
        if (g_str_equal(snapshots[i].id, id_or_name))
            return &snapshots[i];
    for (gsize i = 0; i < n; i++)
        if (g_str_equal(snapshots[i].name, id_or_name))
            return &snapshots[i];
    return NULL;
}

GVariant *
strata_node_describe(StrataNode *node)
{
    g_auto(GVariantDict) dict = G_VARIANT_DICT_INIT(NULL);

    if (node->driver->describe)
        node->driver->describe(node, &dict);
    return g_variant_ref_sink(g_variant_dict_end(&dict));
}
