/* SPDX-License-Identifier: LGPL-2.1-or-later
 * image.c - opening what the command line names. */
#include "image.h"

/* What a message lists of names before it says how many more there are. */
#define MAX_NAMES 20

typedef gboolean (*PolicyFunc)(StrataPolicy *policy, const char *value, GError **error);

/* @values: (nullable), NULL-terminated */
static gboolean
for_each_value(StrataPolicy *policy, char **values, PolicyFunc func, GError **error)
{
    for (; values != NULL && *values != NULL; values++)
        if (!func(policy, *values, error))
            return FALSE;
    return TRUE;
}

static StrataPolicy *
make_policy(const Options *options, GError **error)
{
    g_autoptr(StrataPolicy) policy = strata_policy_new();

    strata_policy_set_force_share(policy, options->force_share);
    strata_policy_set_probe(policy, options->probe);
    if (!for_each_value(policy, options->allow, strata_policy_allow_dir, error) ||
        !for_each_value(policy, options->allow_protocols, strata_policy_allow_protocols, error) ||
        !for_each_value(policy, options->objects, strata_policy_add_object, error))
        return NULL;
    if (options->backing_format != NULL &&
        !strata_policy_set_backing_format(policy, options->backing_format, error))
        return NULL;
    return g_steal_pointer(&policy);
}

static StrataGraph *
open_graph(const Options *options, GError **error)
{
    StrataSpecSyntax syntax = options->image_opts ? STRATA_SPEC_IMAGE_OPTS : STRATA_SPEC_FILENAME;
    g_autoptr(StrataPolicy) policy = make_policy(options, error);
    g_autoptr(StrataSpec) spec = NULL;

    if (policy == NULL)
        return NULL;
    spec = strata_spec_parse(options->image, syntax, options->format, error);
    if (spec == NULL)
        return NULL;
    return strata_graph_open(spec, policy, error);
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
load_snapshot(StrataGraph *graph, const Options *options, GError **error)
{
    StrataNode *top = strata_graph_get_top(graph);
    const StrataSnapshot *snapshot = snapshot_query_find(&options->snapshot_query, top);
    g_autofree char *wanted = NULL;
    g_autofree char *there = NULL;

    if (snapshot != NULL)
        return strata_node_open_snapshot(top, snapshot->id, error);
    wanted = strata_escape(options->load_snapshot);
    there = list_snapshots(top);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND,
                "--load-snapshot: '%s' is no snapshot of the topmost image, the node '%s' (%s); "
                "snapshots there: %s",
                wanted, strata_node_get_name(top), strata_node_get_driver(top), there);
    return NULL;
}

static gboolean
throw_untrusted_bitmap(StrataBitmap *bitmap, GError **error)
{
    const char *node = strata_node_get_name(strata_bitmap_get_node(bitmap));
    const char *damage = strata_bitmap_get_damage(bitmap);
    g_autofree char *shown = strata_escape(strata_bitmap_get_name(bitmap));

    if (damage != NULL)
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED,
                    "--bitmap: '%s' of node '%s' %s, so that it cannot be trusted", shown, node,
                    damage);
    else
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED,
                    "--bitmap: '%s' of node '%s' is in use: a program that wrote to the image has "
                    "not closed it, so that the bitmap may have missed writes; remove it with "
                    "qemu-img bitmap --remove",
                    shown, node);
    return FALSE;
}

/* All bitmaps are offered anyway; but who names one wants to know now if it is not there. */
static gboolean
check_bitmap(StrataGraph *graph, const char *name, GError **error)
{
    StrataNode *top = strata_graph_get_top(graph);
    StrataBitmap *bitmap = strata_node_find_bitmap(top, name);
    g_autoptr(GPtrArray) bitmaps = NULL;
    g_autofree char *shown = strata_escape(name);
    g_autofree char *there = NULL;

    if (bitmap != NULL && strata_bitmap_is_consistent(bitmap))
        return TRUE;
    if (bitmap != NULL)
        return throw_untrusted_bitmap(bitmap, error);
    bitmaps = strata_node_list_bitmaps(top);
    there = list_bitmaps(bitmaps);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND,
                "--bitmap: the image has no bitmap '%s'; bitmaps there: %s", shown, there);
    return FALSE;
}

StrataGraph *
image_open(const Options *options, GError **error)
{
    g_autoptr(StrataGraph) graph = open_graph(options, error);

    if (graph != NULL && options->load_snapshot != NULL) {
        StrataGraph *before = graph;

        graph = load_snapshot(before, options, error);
        strata_graph_unref(before);
    }
    if (graph == NULL)
        return NULL;
    for (char **name = options->bitmaps; name != NULL && *name != NULL; name++)
        if (!check_bitmap(graph, *name, error))
            return NULL;
    return g_steal_pointer(&graph);
}
