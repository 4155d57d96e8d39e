/* SPDX-License-Identifier: LGPL-2.1-or-later
 * image.c - opening what the command line or a configuration file names. */
#include "image.h"

#include "snapshot-query.h"

/* What a message lists of names before it says how many more there are. */
#define MAX_NAMES 20

struct _Image {
    StrataSpec *spec;     /* owned */
    StrataPolicy *policy; /* owned */
    char *load_snapshot;  /* owned; NULL: the disk of today */
    SnapshotQuery query;  /* what load_snapshot means */
    char **bitmaps;       /* owned; NULL: none has to be there */
    const char *snapshot_word;
    const char *bitmaps_word;
};

static StrataSpec *
parse_spec(const ImageSettings *settings, GError **error)
{
    StrataSpecSyntax syntax = settings->image_opts ? STRATA_SPEC_IMAGE_OPTS : STRATA_SPEC_FILENAME;

    if (settings->directory == NULL)
        return strata_spec_parse(settings->image, syntax, settings->format, error);
    return strata_spec_parse_in(settings->image, syntax, settings->format, settings->directory,
                                error);
}

Image *
image_new(const ImageSettings *settings, StrataPolicy *policy, GError **error)
{
    g_autoptr(Image) image = g_new0(Image, 1);

    image->spec = parse_spec(settings, error);
    if (image->spec == NULL)
        return NULL;
    image->policy = strata_policy_ref(policy);
    image->load_snapshot = g_strdup(settings->load_snapshot);
    image->bitmaps = g_strdupv(settings->bitmaps);
    image->snapshot_word = settings->snapshot_word;
    image->bitmaps_word = settings->bitmaps_word;
    if (image->load_snapshot != NULL &&
        !snapshot_query_parse(&image->query, image->load_snapshot, error))
        return NULL;
    return g_steal_pointer(&image);
}

void
image_free(Image *image)
{
    g_clear_pointer(&image->spec, strata_spec_unref);
    g_clear_pointer(&image->policy, strata_policy_unref);
    g_free(image->load_snapshot);
    snapshot_query_clear(&image->query);
    g_strfreev(image->bitmaps);
    g_free(image);
}

char **
image_list_filenames(const Image *image)
{
    return strata_spec_list_filenames(image->spec);
}

/* Adds one more of the names that a message lists. */
static void
add_name(GString *text, guint n_before, const char *name)
{
    g_autofree char *shown = strata_escape(name);

    if (n_before < MAX_NAMES)
        g_string_append_printf(text, "%s'%s'", n_before > 0 ? ", " : "", shown);
    else if (n_before == MAX_NAMES)
        g_string_append(text, " and more");
}

static char *
list_snapshots(StrataNode *node)
{
    g_autoptr(GString) text = g_string_new(NULL);
    gsize n;
    const StrataSnapshot *snapshots = strata_node_get_snapshots(node, &n);

    for (guint i = 0; i < n; i++)
        add_name(text, i, *snapshots[i].name != '\0' ? snapshots[i].name : snapshots[i].id);
    return n > 0 ? g_strdup(text->str) : g_strdup("none");
}

static char *
list_bitmaps(GPtrArray *bitmaps)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < bitmaps->len; i++)
        add_name(text, i, strata_bitmap_get_name(bitmaps->pdata[i]));
    return bitmaps->len > 0 ? g_strdup(text->str) : g_strdup("none");
}

/* As qemu-nbd does it: of the topmost image, and of no other. */
static StrataGraph *
load_snapshot(StrataGraph *graph, const Image *image, GError **error)
{
    StrataNode *top = strata_graph_get_top(graph);
    const StrataSnapshot *snapshot = snapshot_query_find(&image->query, top);
    g_autofree char *wanted = NULL;
    g_autofree char *there = NULL;

    if (snapshot != NULL)
        return strata_node_open_snapshot(top, snapshot->id, error);
    wanted = strata_escape(image->load_snapshot);
    there = list_snapshots(top);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND,
                "%s: '%s' is no snapshot of the topmost image, the node '%s' (%s); "
                "snapshots there: %s",
                image->snapshot_word, wanted, strata_node_get_name(top),
                strata_node_get_driver(top), there);
    return NULL;
}

static gboolean
throw_untrusted_bitmap(const char *word, StrataBitmap *bitmap, GError **error)
{
    const char *node = strata_node_get_name(strata_bitmap_get_node(bitmap));
    const char *damage = strata_bitmap_get_damage(bitmap);
    g_autofree char *shown = strata_escape(strata_bitmap_get_name(bitmap));

    if (damage != NULL)
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED,
                    "%s: '%s' of node '%s' %s, so that it cannot be trusted", word, shown, node,
                    damage);
    else
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED,
                    "%s: '%s' of node '%s' is in use: a program that wrote to the image has "
                    "not closed it, so that the bitmap may have missed writes; remove it with "
                    "qemu-img bitmap --remove",
                    word, shown, node);
    return FALSE;
}

/* Who names a bitmap wants to know now if it is not there. */
static gboolean
check_bitmap(const char *word, StrataGraph *graph, const char *name, GError **error)
{
    StrataNode *top = strata_graph_get_top(graph);
    StrataBitmap *bitmap = strata_node_find_bitmap(top, name);
    g_autoptr(GPtrArray) bitmaps = NULL;
    g_autofree char *shown = strata_escape(name);
    g_autofree char *there = NULL;

    if (bitmap != NULL && strata_bitmap_is_consistent(bitmap))
        return TRUE;
    if (bitmap != NULL)
        return throw_untrusted_bitmap(word, bitmap, error);
    bitmaps = strata_node_list_bitmaps(top);
    there = list_bitmaps(bitmaps);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND,
                "%s: the image has no bitmap '%s'; bitmaps there: %s", word, shown, there);
    return FALSE;
}

StrataGraph *
image_open(const Image *image, GError **error)
{
    g_autoptr(StrataGraph) graph = strata_graph_open(image->spec, image->policy, error);

    if (graph != NULL && image->load_snapshot != NULL) {
        StrataGraph *before = graph;

        graph = load_snapshot(before, image, error);
        strata_graph_unref(before);
    }
    if (graph == NULL)
        return NULL;
    for (char **name = image->bitmaps; name != NULL && *name != NULL; name++)
        if (!check_bitmap(image->bitmaps_word, graph, *name, error))
            return NULL;
    return g_steal_pointer(&graph);
}
