/* SPDX-License-Identifier: LGPL-2.1-or-later
 * export-view.h - what one export name leads to: a graph as seen from one of its nodes. */
#ifndef STRATA_EXPORT_VIEW_H
#define STRATA_EXPORT_VIEW_H

#include <strata/strata.h>

#include "open-snapshots.h"

/* Immutable, so that all threads of a connection share it. */
typedef struct {
    char *name; /* canonical: as NBD_OPT_LIST tells it */
    char *description;
    OpenSnapshot *snapshot; /* (nullable) owned: the graph is one that was opened for it */
    StrataGraph *graph;     /* owned */
    StrataNode *node;
    GPtrArray *layers;         /* StrataNode: strata_node_list_layers() */
    GHashTable *layer_numbers; /* StrataNode -> its place in layers, counted from 1 */
    GPtrArray *bitmaps;        /* StrataBitmap: strata_node_list_bitmaps() */
    GHashTable *bitmap_names;  /* name -> StrataBitmap */
} ExportView;

/* @name, @description, @snapshot (nullable): taken over. */
ExportView *export_view_new(StrataGraph *graph, StrataNode *node, char *name, char *description,
                            OpenSnapshot *snapshot);
void export_view_free(ExportView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ExportView, export_view_free)

/* Returns: @node's number as a layer of @view; 0 for %NULL and for what is no layer */
guint export_view_layer_number(const ExportView *view, StrataNode *node);

/* Returns: (nullable): the bitmap of that name that a walk from the view's node comes by */
StrataBitmap *export_view_find_bitmap(const ExportView *view, const char *name);

#endif
