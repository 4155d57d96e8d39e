/* SPDX-License-Identifier: LGPL-2.1-or-later
 * export-view.h - what one export name leads to: a graph as seen from one of its nodes. */
#ifndef STRATA_EXPORT_VIEW_H
#define STRATA_EXPORT_VIEW_H

#include <strata/strata.h>

#include "export.h"
#include "open-graphs.h"

/* Immutable and reference-counted, so that all threads of a connection share it. */
typedef struct {
    gint ref_count; /* atomic */
    char *name;     /* canonical: as NBD_OPT_LIST tells it */
    char *description;
    Export *export;     /* owned: that the name belongs to */
    OpenGraph *open;    /* (nullable) owned: the graph is one that is open on demand */
    StrataGraph *graph; /* owned */
    StrataNode *node;
    gboolean hides_layers;     /* neither nodes nor their numbers are told to clients */
    GPtrArray *layers;         /* StrataNode: strata_node_list_layers() */
    GHashTable *layer_numbers; /* StrataNode -> its place in layers, counted from 1 */
    GPtrArray *bitmaps;        /* StrataBitmap: of strata_node_list_bitmaps(), those offered */
    GHashTable *bitmap_names;  /* name -> StrataBitmap */
} ExportView;

/* @name, @description, @open (nullable): taken over. */
ExportView *export_view_new(Export *export, StrataNode *node, StrataGraph *graph, OpenGraph *open,
                            char *name, char *description);
ExportView *export_view_ref(ExportView *view);

/* Gives up one reference; the last may close the graph, which can block on disk. */
void export_view_free(ExportView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ExportView, export_view_free)

/* The export that @view is of, as it was configured: what counters are kept by. */
const char *export_view_get_label(const ExportView *view);

/* Returns: @node's number as a layer of @view; 0 for %NULL and for what is no layer */
guint export_view_layer_number(const ExportView *view, StrataNode *node);

/* Returns: (nullable): the bitmap of that name that a walk from the view's node comes by */
StrataBitmap *export_view_find_bitmap(const ExportView *view, const char *name);

#endif
