/* SPDX-License-Identifier: LGPL-2.1-or-later
 * exports.h - export names, inside the engine. */
#ifndef STRATA_EXPORTS_H
#define STRATA_EXPORTS_H

#include "engine.h"

/* What one export name leads to: a graph as seen from one of its nodes. Valid as long as the
 * StrataExports that it was found in. */
typedef struct {
    char *name; /* canonical: as NBD_OPT_LIST tells it */
    char *description;
    StrataGraph *graph; /* not owned */
    StrataNode *node;
    GPtrArray *layers;         /* StrataNode: strata_node_list_layers() */
    GHashTable *layer_numbers; /* StrataNode -> its place in layers, counted from 1 */
} ExportView;

/* Returns: (transfer full) (nullable): what @name leads to */
ExportView *exports_find(StrataExports *exports, const char *name);

void export_view_free(ExportView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ExportView, export_view_free)

/* Returns: @node's number as a layer of @view; 0 for %NULL and for what is no layer */
guint export_view_layer_number(const ExportView *view, StrataNode *node);

/* Calls @func for each name of the list, in order: a graph's own, then NAME@NODE from the top
 * down. */
typedef void (*ExportsFunc)(const char *name, const char *description, gpointer user_data);
void exports_list(StrataExports *exports, ExportsFunc func, gpointer user_data);

#endif
