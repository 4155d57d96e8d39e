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

static GPtrArray *
choose_bitmaps(const Export *export, StrataNode *node)
{
    GPtrArray *bitmaps = strata_node_list_bitmaps(node);

    for (guint i = bitmaps->len; export->bitmaps != NULL && i-- > 0;)
        if (!g_strv_contains((const char *const *)export->bitmaps,
                             strata_bitmap_get_name(bitmaps->pdata[i])))
            g_ptr_array_remove_index(bitmaps, i);
    return bitmaps;
}

ExportView *
export_view_new(Export *export, StrataNode *node, StrataGraph *graph, OpenGraph *open, char *name,
                char *description)
{
    ExportView *view = g_new0(ExportView, 1);

    view->ref_count = 1;
    view->name = name;
    view->description = description;
    view->export = export_ref(export);
    view->open = open;
    view->graph = strata_graph_ref(graph);
    view->node = node;
    view->hides_layers = export->hides_layers;
    view->layers = strata_node_list_layers(node);
    view->layer_numbers = number_layers(view->layers);
    view->bitmaps = choose_bitmaps(export, node);
    view->bitmap_names = index_bitmaps(view->bitmaps);
    return view;
}

ExportView *
export_view_ref(ExportView *view)
{
    g_atomic_int_inc(&view->ref_count);
    return view;
}

void
export_view_free(ExportView *view)
{
    if (!g_atomic_int_dec_and_test(&view->ref_count))
        return;
    g_free(view->name);
    g_free(view->description);
    g_ptr_array_unref(view->layers);
    g_hash_table_unref(view->layer_numbers);
    g_ptr_array_unref(view->bitmaps);
    g_hash_table_unref(view->bitmap_names);
    strata_graph_unref(view->graph);
    g_clear_pointer(&view->open, open_graph_release);
    export_unref(view->export);
    g_free(view);
}

const char *
export_view_get_label(const ExportView *view)
{
    return view->export->name;
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
