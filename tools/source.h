/* SPDX-License-Identifier: LGPL-2.1-or-later
 * source.h - where a map comes from: a local graph or a remote server, the layers of an image or a
 * bitmap. */
#ifndef STRATA_TOOL_SOURCE_H
#define STRATA_TOOL_SOURCE_H

#include "extent.h"

typedef struct _MapSource MapSource;

struct _MapSource {
    guint64 size;        /* bytes */
    GPtrArray *layers;   /* char *, untrusted text: the name of layer n at n - 1; owned */
    gboolean has_layers; /* whether extents tell their layer */
    gboolean has_depth;
    gboolean has_leaf;
    gboolean is_bitmap; /* extents are dirty or clean, and tell nothing else */

    /* Hands the extents of [@offset, @offset + @length), which lies within the image, to @sink: in
     * order, without a gap, until it wants no more. What cannot be told is an extent too
     * (CONTENT_ERROR), and the map goes on after it. Returns FALSE with @error set only when it
     * cannot go on at all. */
    gboolean (*each)(MapSource *source, guint64 offset, guint64 length, ExtentSink sink,
                     gpointer data, GError **error);
    void (*free)(MapSource *source);
};

/* source-local.c: a graph that libstrata has opened; takes a reference. */
MapSource *source_new_local(StrataGraph *graph);

/* source-local.c: one run as an extent; what layer numbers mean is told by @source. */
Extent source_extent_of_run(MapSource *source, const StrataRun *run);

/* source-local.c: how many bytes of @run, from its beginning on, lie within their leaf. An image
 * may keep data past the end of its file, where it was cut short: a walk finds it, a read fails. */
guint64 source_readable_part(const StrataRun *run);

/* source-local.c: why @run, which begins past the end of its leaf, cannot be read. g_free(). */
char *source_explain_missing(const StrataRun *run);

/* source-bitmap.c: a dirty bitmap of the graph's image; takes a reference. */
MapSource *source_new_bitmap(StrataGraph *graph, const char *name, GError **error);

/* source-nbd.c: a remote export; connects. @bitmap: (nullable): the name of one of its dirty
 * bitmaps, whose map is wanted instead of that of its layers. */
MapSource *source_new_nbd(const char *uri, const char *bitmap, GError **error);

static inline void
map_source_free(MapSource *source)
{
    source->free(source);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MapSource, map_source_free)

#endif
