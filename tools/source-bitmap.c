/* SPDX-License-Identifier: LGPL-2.1-or-later
 * source-bitmap.c - the map of a dirty bitmap that an image on this machine keeps. */
#include "source.h"

#include "damage.h"

/* How many runs libstrata is asked for at once. */
#define RUNS_PER_CALL 256

/* As in source-local.c: to ask again is cheap. */
#define FINE_STEPS 65536

typedef struct {
    MapSource source; /* first: a BitmapSource is a MapSource */
    StrataGraph *graph;
    StrataNode *top;
    StrataBitmap *bitmap;
    DamageSearch search;
} BitmapSource;

static gboolean
source_bitmap_probe(guint64 offset, gpointer data)
{
    BitmapSource *self = data;
    StrataBitmapRun run;

    return strata_bitmap_map(self->bitmap, self->top, offset, 1, &run, 1, NULL) > 0;
}

static Extent
source_bitmap_extent(const StrataBitmapRun *run)
{
    return (Extent){
        .offset = run->offset,
        .length = run->length,
        .content = run->is_dirty ? CONTENT_DIRTY : CONTENT_CLEAN,
        .depth = EXTENT_UNKNOWN,
        .layer = EXTENT_UNKNOWN,
    };
}

/* Hands over what one call tells and moves @offset past it; says whether more are wanted. */
static gboolean
source_bitmap_some(BitmapSource *self, guint64 *offset, guint64 end, ExtentSink sink, gpointer data)
{
    g_autoptr(GError) error = NULL;
    StrataBitmapRun runs[RUNS_PER_CALL];
    gsize n = strata_bitmap_map(self->bitmap, self->top, *offset, end - *offset, runs,
                                G_N_ELEMENTS(runs), &error);

    if (n == 0) {
        Extent damage = damage_find_extent(&self->search, *offset, end, source_bitmap_probe, self,
                                           error->message);

        *offset += damage.length;
        return sink(&damage, data);
    }
    for (gsize i = 0; i < n; i++) {
        Extent extent = source_bitmap_extent(&runs[i]);

        *offset = runs[i].offset + runs[i].length;
        if (!sink(&extent, data))
            return FALSE;
    }
    return TRUE;
}

static gboolean
source_bitmap_each(MapSource *source, guint64 offset, guint64 length, ExtentSink sink,
                   gpointer data, GError **error)
{
    BitmapSource *self = (BitmapSource *)source;
    guint64 end = offset + length;

    while (offset < end && source_bitmap_some(self, &offset, end, sink, data))
        continue;
    return TRUE;
}

static void
source_bitmap_free(MapSource *source)
{
    BitmapSource *self = (BitmapSource *)source;

    g_ptr_array_unref(source->layers);
    strata_graph_unref(self->graph);
    g_free(self);
}

/* "'b0', 'b1'", for a message; "none" if there are none. */
static char *
source_bitmap_list_names(StrataNode *top)
{
    g_autoptr(GPtrArray) bitmaps = strata_node_list_bitmaps(top);
    g_autoptr(GString) names = g_string_new(NULL);

    for (guint i = 0; i < bitmaps->len; i++) {
        g_autofree char *shown = strata_escape(strata_bitmap_get_name(bitmaps->pdata[i]));

        g_string_append_printf(names, "%s'%s'", i > 0 ? ", " : "", shown);
    }
    return bitmaps->len > 0 ? g_string_free(g_steal_pointer(&names), FALSE) : g_strdup("none");
}

/* One that cannot be trusted is refused as a whole, in the library's words. */
static StrataBitmap *
source_bitmap_find(StrataNode *top, const char *name, GError **error)
{
    StrataBitmap *bitmap = strata_node_find_bitmap(top, name);
    g_autofree char *shown = strata_escape(name);
    g_autofree char *names = NULL;
    StrataBitmapRun run;

    if (bitmap != NULL)
        return strata_bitmap_is_consistent(bitmap) || strata_node_get_size(top) == 0 ||
                       strata_bitmap_map(bitmap, top, 0, 1, &run, 1, error) > 0
                   ? bitmap
                   : NULL;
    names = source_bitmap_list_names(top);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND,
                "the image has no dirty bitmap '%s'; those that it has: %s", shown, names);
    return NULL;
}

MapSource *
source_new_bitmap(StrataGraph *graph, const char *name, GError **error)
{
    StrataNode *top = strata_graph_get_top(graph);
    StrataBitmap *bitmap = source_bitmap_find(top, name, error);
    BitmapSource *self;

    if (bitmap == NULL)
        return NULL;
    self = g_new0(BitmapSource, 1);
    self->graph = strata_graph_ref(graph);
    self->top = top;
    self->bitmap = bitmap;
    self->search = (DamageSearch){ MAX(strata_bitmap_get_granularity(bitmap), 512), FINE_STEPS,
                                   DAMAGE_PATIENCE };
    self->source = (MapSource){
        .size = strata_node_get_size(top),
        .layers = g_ptr_array_new_with_free_func(g_free),
        .is_bitmap = TRUE,
        .each = source_bitmap_each,
        .free = source_bitmap_free,
    };
    return &self->source;
}
