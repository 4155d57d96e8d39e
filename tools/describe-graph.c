/* SPDX-License-Identifier: LGPL-2.1-or-later
 * describe-graph.c - what "strata info" tells of a graph on this machine. */
#include "describe.h"

#include <string.h>

/* Of StrataNode -> its layer number in the pointer. */
static GHashTable *
describe_number_layers(StrataGraph *graph)
{
    GHashTable *numbers = g_hash_table_new(NULL, NULL);
    g_autoptr(GPtrArray) layers = strata_node_list_layers(strata_graph_get_top(graph));

    for (guint i = 0; i < layers->len; i++)
        g_hash_table_insert(numbers, g_ptr_array_index(layers, i), GUINT_TO_POINTER(i + 1));
    return numbers;
}

/* How many storage edges lead to @node. Backing edges do not count: a chain is a list. */
static guint
describe_level(StrataNode *node)
{
    guint level = 0;

    for (; strata_node_get_parent(node) != NULL; node = strata_node_get_parent(node))
        level += strata_node_get_role(node) != STRATA_ROLE_BACKING;
    return level;
}

static void
describe_add_parent(GVariantBuilder *builder, StrataNode *node)
{
    StrataNode *parent = strata_node_get_parent(node);

    if (parent != NULL) {
        describe_add_text(builder, "role", strata_role_to_string(strata_node_get_role(node)));
        describe_add_text(builder, "parent", strata_node_get_name(parent));
    }
    g_variant_builder_add(builder, "{sv}", "level", g_variant_new_uint32(describe_level(node)));
}

static gint
describe_compare_keys(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The driver's own keys come in no order; people look for them in one. What it only counts is
 * listed as well. Returns a floating reference. */
static GVariant *
describe_sort(GVariant *dictionary)
{
    static const char *const counts[] = { "snapshots", "bitmaps", NULL };
    g_autoptr(GPtrArray) keys = g_ptr_array_new();
    GVariantIter iter;
    GVariantBuilder sorted;
    const char *key;

    g_variant_iter_init(&iter, dictionary);
    while (g_variant_iter_next(&iter, "{&sv}", &key, NULL))
        if (!g_strv_contains(counts, key))
            g_ptr_array_add(keys, (gpointer)key);
    g_ptr_array_sort(keys, describe_compare_keys);
    g_variant_builder_init(&sorted, G_VARIANT_TYPE_VARDICT);
    for (guint i = 0; i < keys->len; i++) {
        g_autoptr(GVariant) value =
            g_variant_lookup_value(dictionary, g_ptr_array_index(keys, i), NULL);

        g_variant_builder_add(&sorted, "{sv}", g_ptr_array_index(keys, i), value);
    }
    return g_variant_builder_end(&sorted);
}

static GVariant *
describe_node(StrataNode *node, GHashTable *numbers)
{
    g_autoptr(GVariant) details = strata_node_describe(node);
    guint layer = GPOINTER_TO_UINT(g_hash_table_lookup(numbers, node));
    const char *filename = strata_node_get_filename(node);
    GVariantBuilder builder;

    g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
    describe_add_text(&builder, "name", strata_node_get_name(node));
    describe_add_text(&builder, "driver", strata_node_get_driver(node));
    g_variant_builder_add(&builder, "{sv}", "size",
                          g_variant_new_uint64(strata_node_get_size(node)));
    describe_add_parent(&builder, node);
    if (layer != 0)
        g_variant_builder_add(&builder, "{sv}", "layer", g_variant_new_uint32(layer));
    if (filename != NULL)
        describe_add_text(&builder, "filename", filename);
    if (details != NULL && g_variant_n_children(details) > 0)
        g_variant_builder_add(&builder, "{sv}", "details", describe_sort(details));
    describe_add_snapshots(&builder, node);
    describe_add_bitmaps(&builder, node);
    return g_variant_builder_end(&builder);
}

GVariant *
describe_graph(StrataGraph *graph)
{
    g_autoptr(GHashTable) numbers = describe_number_layers(graph);
    guint64 size = strata_node_get_size(strata_graph_get_top(graph));
    GVariantBuilder info;
    GVariantBuilder nodes;

    g_variant_builder_init(&nodes, G_VARIANT_TYPE("aa{sv}"));
    for (guint i = 0; i < strata_graph_get_n_nodes(graph); i++)
        g_variant_builder_add_value(&nodes,
                                    describe_node(strata_graph_get_node(graph, i), numbers));
    g_variant_builder_init(&info, G_VARIANT_TYPE_VARDICT);
    g_variant_builder_add(&info, "{sv}", "size", g_variant_new_uint64(size));
    g_variant_builder_add(&info, "{sv}", "nodes", g_variant_builder_end(&nodes));
    return g_variant_ref_sink(g_variant_builder_end(&info));
}
