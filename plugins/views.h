/* SPDX-License-Identifier: LGPL-2.1-or-later
 * views.h - what nbdkit's clients can open: an image, or some of its layers alone.
 *
 *      ""          the image
 *      "@NODE"     the image as seen from NODE down
 *      "only@NODE"   of the image, what NODE claims, and holes elsewhere
 *      "above@NODE"  of the image, what is claimed before the walk reaches NODE, holes elsewhere
 *
 * nbdkit can tell its clients hole, zero and data, and nothing of layers; so here a layer is an
 * export of its own, with the image's size and offsets. Map and bytes come from the same walk. */
#ifndef STRATA_PLUGIN_VIEWS_H
#define STRATA_PLUGIN_VIEWS_H

#include <strata/strata.h>

typedef struct _View View;

typedef enum {
    VIEW_DATA, /* may hold anything */
    VIEW_ZERO, /* claimed, and known to be zero: a copy of the layer must write it */
    VIEW_HOLE, /* reads as zeros; in a view of layers: none of them claims it */
} ViewContent;

/* The export names, in the order in which they are listed. Free with g_ptr_array_unref(). */
GPtrArray *view_list_names(StrataGraph *graph);

/* Opens the export @name, which is what a client sent: anything. Returns a view that holds a
 * reference to @graph and may be used from many threads at once, or NULL with @error. */
View *view_open(StrataGraph *graph, const char *name, GError **error);
void view_free(View *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(View, view_free)

guint64 view_get_size(View *view);

/* One line for people. Owned by @view. */
const char *view_get_description(View *view);

/* Ranges below must lie within the view's size and not be empty. */

gboolean view_read(View *view, guint64 offset, gsize length, void *buffer, GError **error);
gboolean view_prefetch(View *view, guint64 offset, guint64 length, GError **error);

/* Takes one extent; neighbours always differ in @content. Returns whether to go on. */
typedef gboolean (*ViewExtentFunc)(guint64 offset, guint64 length, ViewContent content,
                                   gpointer user_data);

/* Tells @func of the range from its beginning on: at most @max_extents, and where something cannot
 * be told the list ends before it. Fails only if that is the first byte. */
gboolean view_map(View *view, guint64 offset, guint64 length, gsize max_extents,
                  ViewExtentFunc func, gpointer user_data, GError **error);

#endif
