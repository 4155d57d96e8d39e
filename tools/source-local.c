/* SPDX-License-Identifier: LGPL-2.1-or-later
 * source-local.c - the map of a graph on this machine, through libstrata. */
#include "source.h"

#include "damage.h"

/* Asking a local graph again is cheap (microseconds), so this many fine steps are no wait. */
#define LOCAL_FINE_STEPS 65536

typedef struct {
    MapSource source; /* first: a LocalSource is a MapSource */
    StrataGraph *graph;
    StrataWalk *walk;
    GHashTable *numbers; /* StrataNode -> its layer number, in the pointer */
    DamageSearch search;
    StrataRun missing; /* past the end of its leaf, and not handed over yet: more of the same may
                          follow; .length is 0 where there is none */
} LocalSource;

/* Damage is at least a cluster wide, or one of its 32 subclusters. */
static guint64
source_local_step(StrataGraph *graph)
{
    guint64 step = 1024 * 1024;

    for (guint i = 0; i < strata_graph_get_n_nodes(graph); i++) {
        g_autoptr(GVariant) details = strata_node_describe(strata_graph_get_node(graph, i));
        guint64 cluster_size;
        gboolean has_subclusters = FALSE;

        if (!g_variant_lookup(details, "cluster-size", "t", &cluster_size))
            continue;
        g_variant_lookup(details, "extended-l2", "b", &has_subclusters);
        step = MIN(step, has_subclusters ? cluster_size / 32 : cluster_size);
    }
    return MAX(step, 512);
}

Extent
source_extent_of_run(MapSource *source, const StrataRun *run)
{
    LocalSource *self = (LocalSource *)source;
    guint layer = 0;

    if (run->claimant != NULL)
        layer = GPOINTER_TO_UINT(g_hash_table_lookup(self->numbers, run->claimant));
    return (Extent){
        .offset = run->offset,
        .length = run->length,
        .content = run->flags & STRATA_RUN_ZERO ? CONTENT_ZERO : CONTENT_DATA,
        .depth = run->depth,
        .layer = layer,
        .flags = run->flags,
        .leaf = run->leaf,
        .leaf_offset = run->leaf_offset,
    };
}

guint64
source_readable_part(const StrataRun *run)
{
    guint64 size;

    if (run->leaf == NULL || run->flags & STRATA_RUN_ZERO)
        return run->length;
    size = strata_node_get_size(run->leaf);
    return run->leaf_offset < size ? MIN(run->length, size - run->leaf_offset) : 0;
}

char *
source_explain_missing(const StrataRun *run)
{
    const char *filename = strata_node_get_filename(run->leaf);
    g_autofree char *shown = strata_escape(filename ? filename : strata_node_get_name(run->leaf));

    return g_strdup_printf("the bytes at 0x%" G_GINT64_MODIFIER "x lie past the end of %s'%s' "
                           "(0x%" G_GINT64_MODIFIER "x) and cannot be read",
                           run->leaf_offset, filename ? "" : "node ", shown,
                           strata_node_get_size(run->leaf));
}

/* Hands over what is missing, if anything is; says whether more are wanted. */
static gboolean
source_local_flush_missing(LocalSource *self, ExtentSink sink, gpointer data)
{
    g_autofree char *message = NULL;
    Extent extent = {
        .offset = self->missing.offset,
        .length = self->missing.length,
        .content = CONTENT_ERROR,
        .depth = EXTENT_UNKNOWN,
        .layer = EXTENT_UNKNOWN,
    };

    if (extent.length == 0)
        return TRUE;
    message = source_explain_missing(&self->missing);
    extent.message = message;
    self->missing.length = 0;
    return sink(&extent, data);
}

/* @run lies past the end of its leaf. Where libstrata cut its answer is not to be seen, so it waits
 * for what comes next. */
static gboolean
source_local_miss(LocalSource *self, const StrataRun *run, ExtentSink sink, gpointer data)
{
    StrataRun *missing = &self->missing;

    if (missing->length > 0 && missing->leaf == run->leaf && missing->claimant == run->claimant &&
        run->leaf_offset - missing->leaf_offset == missing->length) {
        missing->length += run->length;
        return TRUE;
    }
    if (!source_local_flush_missing(self, sink, data))
        return FALSE;
    *missing = *run;
    return TRUE;
}

/* A run in two parts at most: what can be read, and what lies past the end of its leaf. */
static gboolean
source_local_put_run(LocalSource *self, const StrataRun *run, ExtentSink sink, gpointer data)
{
    guint64 readable = source_readable_part(run);
    StrataRun rest = *run;

    if (readable > 0) {
        Extent extent = source_extent_of_run(&self->source, run);

        extent.length = readable;
        if (!source_local_flush_missing(self, sink, data) || !sink(&extent, data))
            return FALSE;
    }
    rest.offset += readable;
    rest.leaf_offset += readable;
    rest.length -= readable;
    return rest.length == 0 || source_local_miss(self, &rest, sink, data);
}

static gboolean
source_local_probe(guint64 offset, gpointer data)
{
    LocalSource *self = data;
    gsize n_runs;

    return strata_walk_resolve(self->walk, offset, 1, &n_runs, NULL) != NULL;
}

/* Hands over what one resolve tells and moves @offset past it; says whether more are wanted. */
static gboolean
source_local_some(LocalSource *self, guint64 *offset, guint64 end, ExtentSink sink, gpointer data)
{
    g_autoptr(GError) error = NULL;
    gsize n_runs = 0;
    const StrataRun *runs =
        strata_walk_resolve(self->walk, *offset, end - *offset, &n_runs, &error);

    if (runs == NULL) {
        Extent damage = damage_find_extent(&self->search, *offset, end, source_local_probe, self,
                                           error->message);

        *offset += damage.length;
        return source_local_flush_missing(self, sink, data) && sink(&damage, data);
    }
    for (gsize i = 0; i < n_runs; i++) {
        *offset = runs[i].offset + runs[i].length;
        if (!source_local_put_run(self, &runs[i], sink, data))
            return FALSE;
    }
    return TRUE;
}

static gboolean
source_local_each(MapSource *source, guint64 offset, guint64 length, ExtentSink sink, gpointer data,
                  GError **error)
{
    LocalSource *self = (LocalSource *)source;
    guint64 end = offset + length;
    gboolean more = TRUE;

    self->missing.length = 0;
    while (more && offset < end)
        more = source_local_some(self, &offset, end, sink, data);
    if (more)
        source_local_flush_missing(self, sink, data);
    return TRUE;
}

static void
source_local_free(MapSource *source)
{
    LocalSource *self = (LocalSource *)source;

    g_ptr_array_unref(source->layers);
    g_hash_table_unref(self->numbers);
    strata_walk_free(self->walk);
    strata_graph_unref(self->graph);
    g_free(self);
}

MapSource *
source_new_local(StrataGraph *graph)
{
    LocalSource *self = g_new0(LocalSource, 1);
    StrataNode *top = strata_graph_get_top(graph);
    g_autoptr(GPtrArray) layers = strata_node_list_layers(top);

    self->graph = strata_graph_ref(graph);
    self->walk = strata_walk_new(top);
    self->numbers = g_hash_table_new(NULL, NULL);
    self->search = (DamageSearch){ source_local_step(graph), LOCAL_FINE_STEPS, DAMAGE_PATIENCE };
    self->source = (MapSource){
        .size = strata_node_get_size(top),
        .layers = g_ptr_array_new_with_free_func(g_free),
        .has_layers = TRUE,
        .has_depth = TRUE,
        .has_leaf = TRUE,
        .each = source_local_each,
        .free = source_local_free,
    };
    for (guint i = 0; i < layers->len; i++) {
        StrataNode *layer = g_ptr_array_index(layers, i);

        g_hash_table_insert(self->numbers, layer, GUINT_TO_POINTER(i + 1));
        g_ptr_array_add(self->source.layers, g_strdup(strata_node_get_name(layer)));
    }
    return &self->source;
}
