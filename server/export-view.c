/* SPDX-License-Identifier: LGPL-2.1-or-later
 * export-view.c - what one export name leads to. */
#include "export-view.h"

static GHashTable *
number_layers(GPtrArray *layers)
{
    GHashTable *numbers = g_hash_table_new(NULL, NULL);

    for (guint i = 0; i < layers->len; i++)
        g_hash_table_insert(numbers, layers->pdata[i], GUINT_TO_POINTER(i + 1));
    return numbers;
}

static GHashTable *
index_bitmaps(GPtrArray *bitmaps)
{
    GHashTable *names = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < bitmaps->len; i++)
        g_hash_table_insert(names, (gpointer)strata_bitmap_get_name(bitmaps->pdata[i]),
                            bitmaps->pdata[i]);
    return names;
}

ExportView *
export_view_new(StrataGraph *graph, StrataNode *node, char *name, char *description,
                OpenSnapshot *snapshot)
{
    ExportView *view = g_new0(ExportView, 1);

    view->name = name;
    view->description = description;
    view->snapshot = snapshot;
    view->graph = strata_graph_ref(graph);
    view->node = node;
    view->layers = strata_node_list_layers(node);
    view->layer_numbers = number_layers(view->layers);
    view->bitmaps = strata_node_list_bitmaps(node);
    view->bitmap_names = index_bitmaps(view->bitmaps);
    return view;
}

void
export_view_free(ExportView *view)
{
    g_free(view->name);
    g_free(view->description);
    g_ptr_array_unref(view->layers);
    g_hash_table_unref(view->layer_numbers);
    g_ptr_array_unref(view->bitmaps);
    g_hash_table_unref(view->bitmap_names);
    strata_graph_unref(view->graph);
    g_clear_pointer(&view->snapshot, open_snapshot_release);
    g_free(view);
}

guint
export_view_layer_number(const ExportView *view, StrataNode *node)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(view->layer_numbers, node));
}

StrataBitmap *
export_view_find_bitmap(const ExportView *view, const char *name)
{
    return g_hash_table_lookup(view->bitmap_names, name);
}
