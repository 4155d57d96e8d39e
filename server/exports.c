/* SPDX-License-Identifier: LGPL-2.1-or-later
 * exports.c - export names: a graph's own NAME, NAME@NODE for the image as seen from NODE down, and
 * NAME@NODE:SNAPSHOT for that image at an internal snapshot. */
#include "exports.h"

#include "describe.h"
#include "proto.h"
#include "snapshot-names.h"

#include <string.h>

/* How many snapshots a list tells of, so that it stays a list; an image may have 65,536. The others
 * are there when asked for. */
#define MAX_LISTED_SNAPSHOTS 1024

typedef struct {
    char *name;
    char *description; /* NULL: the chain in a line */
    StrataGraph *graph;
} Export;

struct _StrataExports {
    GPtrArray *list; /* Export, in the order in which they were added */
    OpenSnapshots snapshots;
};

/* What a name says, taken apart. */
typedef struct {
    const Export *export;
    StrataNode *node;
    const char *snapshot; /* what stands behind the ':'; NULL: there is none */
} Address;

static void
export_free(gpointer data)
{
    Export *export = data;

    g_free(export->name);
    g_free(export->description);
    strata_graph_unref(export->graph);
    g_free(export);
}

StrataExports *
strata_exports_new(void)
{
    StrataExports *exports = g_new0(StrataExports, 1);

    exports->list = g_ptr_array_new_with_free_func(export_free);
    open_snapshots_init(&exports->snapshots);
    return exports;
}

void
strata_exports_free(StrataExports *exports)
{
    open_snapshots_clear(&exports->snapshots);
    g_ptr_array_unref(exports->list);
    g_free(exports);
}

static const Export *
find_exact(StrataExports *exports, const char *name)
{
    for (guint i = 0; i < exports->list->len; i++) {
        const Export *export = g_ptr_array_index(exports->list, i);

        if (g_str_equal(export->name, name))
            return export;
    }
    return NULL;
}

/* proto.md: a string is UTF-8 of at most 4096 bytes. */
static gboolean
check_string(const char *what, const char *text, GError **error)
{
    if (strlen(text) > NBD_MAX_STRING) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "the %s is %zu bytes long, but the NBD protocol allows %d at most", what,
                    strlen(text), NBD_MAX_STRING);
        return FALSE;
    }
    if (!g_utf8_validate(text, -1, NULL)) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "the %s is not UTF-8, which the NBD protocol demands", what);
        return FALSE;
    }
    return TRUE;
}

gboolean
strata_exports_add(StrataExports *exports, const char *name, const char *description,
                   StrataGraph *graph, GError **error)
{
    Export *export;

    if (!check_string("export name", name, error))
        return FALSE;
    if (description != NULL && !check_string("description", description, error))
        return FALSE;
    if (find_exact(exports, name) != NULL) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "there are two exports of the name \"%s\"; give each its own", name);
        return FALSE;
    }
    export = g_new0(Export, 1);
    export->name = g_strdup(name);
    export->description = g_strdup(description);
    export->graph = strata_graph_ref(graph);
    g_ptr_array_add(exports->list, export);
    return TRUE;
}

/* The user's words are about NAME. NAME@NODE always tells its chain, the top node's as well. */
static char *
describe(const Export *export)
{
    if (export->description != NULL)
        return g_strdup(export->description);
    return exports_describe_chain(strata_graph_get_top(export->graph));
}

/* A leaf that only stores what a format keeps in it is no disk that anybody would want to see; and
 * a layer behind a server cannot be read but through those above it over there. */
static gboolean
can_be_seen_from(const Export *export, StrataNode *node)
{
    g_autoptr(GPtrArray) path = NULL;

    if (g_str_equal(strata_node_get_driver(node), "remote"))
        return FALSE;
    if (!strata_node_is_storage(node))
        return TRUE;
    path = strata_node_list_path(strata_graph_get_top(export->graph));
    return g_ptr_array_find(path, node, NULL);
}

/* Reads @name as @export's name, '@', a node's name and perhaps ':' and a snapshot. Neither '@' nor
 * ':' can be in a node's name, so there is one way to read it; in a snapshot's name anything may
 * be. */
static gboolean
read_as(const Export *export, const char *name, Address *out_address)
{
    gsize length = strlen(export->name);
    const char *node_name, *colon;
    g_autofree char *copy = NULL;
    StrataNode *node;

    if (strncmp(name, export->name, length) != 0 || name[length] != '@')
        return FALSE;
    node_name = name + length + 1;
    colon = strchr(node_name, ':');
    copy = colon != NULL ? g_strndup(node_name, (gsize)(colon - node_name)) : g_strdup(node_name);
    node = strata_graph_find_node(export->graph, copy);
    if (node == NULL || !can_be_seen_from(export, node))
        return FALSE;
    *out_address = (Address){
        .export = export,
        .node = node,
        .snapshot = colon != NULL ? colon + 1 : NULL,
    };
    return TRUE;
}

/* Of several exports that @name could belong to, the one of the longest name is meant. */
static gboolean
read_address(StrataExports *exports, const char *name, Address *out_address)
{
    *out_address = (Address){ 0 };
    for (guint i = 0; i < exports->list->len; i++) {
        const Export *export = g_ptr_array_index(exports->list, i);
        Address address;

        if (read_as(export, name, &address) &&
            (out_address->export == NULL ||
             strlen(export->name) > strlen(out_address->export->name)))
            *out_address = address;
    }
    return out_address->export != NULL;
}

static char *
name_at_node(const Export *export, StrataNode *node)
{
    return g_strdup_printf("%s@%s", export->name, strata_node_get_name(node));
}

static ExportView *
refuse_unknown(GError **error)
{
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND,
                "there is no such export; NBD_OPT_LIST tells those that there are");
    return NULL;
}

/* A file that is not there is trouble of the server's, unlike a name that leads nowhere. */
static OpenSnapshot *
open_snapshot(StrataExports *exports, StrataNode *node, const StrataSnapshot *snapshot,
              GError **error)
{
    GError *local_error = NULL;
    OpenSnapshot *open = open_snapshots_acquire(&exports->snapshots, node, snapshot, &local_error);

    if (open != NULL)
        return open;
    if (local_error->code == STRATA_ERROR_NOT_FOUND)
        local_error->code = STRATA_ERROR_IO;
    g_propagate_prefixed_error(error, local_error, "cannot open the snapshot: ");
    return NULL;
}

static ExportView *
view_snapshot(StrataExports *exports, const Address *address, const char *name, GError **error)
{
    StrataNode *node = address->node;
    const StrataSnapshot *snapshot = strata_node_find_snapshot(node, address->snapshot);
    g_autofree char *at_node = name_at_node(address->export, node);
    g_auto(SnapshotNames) names = { 0 };
    const char *listed;
    OpenSnapshot *open;
    StrataGraph *graph;

    if (snapshot == NULL || *address->snapshot == '\0')
        return refuse_unknown(error);
    open = open_snapshot(exports, node, snapshot, error);
    if (open == NULL)
        return NULL;
    graph = open_snapshot_get_graph(open);
    snapshot_names_init(&names, node);
    listed = snapshot_names_choose(&names, snapshot);
    return export_view_new(graph, strata_graph_get_top(graph),
                           listed != NULL ? g_strconcat(at_node, ":", listed, NULL)
                                          : g_strdup(name),
                           describe_snapshot(node, snapshot), open);
}

ExportView *
exports_find(StrataExports *exports, const char *name, GError **error)
{
    const Export *export = find_exact(exports, name);
    Address address;

    if (export != NULL)
        return export_view_new(export->graph, strata_graph_get_top(export->graph), g_strdup(name),
                               describe(export), NULL);
    if (!read_address(exports, name, &address))
        return refuse_unknown(error);
    if (address.snapshot != NULL)
        return view_snapshot(exports, &address, name, error);
    return export_view_new(address.export->graph, address.node, g_strdup(name),
                           exports_describe_chain(address.node), NULL);
}

/* What a list is made of. */
typedef struct {
    ExportsFunc func;
    gpointer user_data;
    guint n_snapshots; /* that were listed so far */
} Listing;

static void
list_one(Listing *listing, const char *name, const char *description)
{
    if (strlen(name) <= NBD_MAX_STRING)
        listing->func(name, description, listing->user_data);
}

static void
list_snapshots(Listing *listing, StrataNode *node, const char *at_node)
{
    g_auto(SnapshotNames) names = { 0 };
    gsize n;
    const StrataSnapshot *snapshots = strata_node_get_snapshots(node, &n);

    if (n == 0)
        return;
    snapshot_names_init(&names, node);
    for (gsize i = 0; i < n && listing->n_snapshots < MAX_LISTED_SNAPSHOTS; i++) {
        const char *word = snapshot_names_choose(&names, &snapshots[i]);
        g_autofree char *name = NULL;
        g_autofree char *description = NULL;

        if (word == NULL)
            continue;
        name = g_strconcat(at_node, ":", word, NULL);
        description = describe_snapshot(node, &snapshots[i]);
        list_one(listing, name, description);
        listing->n_snapshots++;
    }
}

static void
list_nodes(Listing *listing, const Export *export)
{
    g_autoptr(GPtrArray) path = strata_node_list_path(strata_graph_get_top(export->graph));

    for (guint i = 0; i < path->len; i++) {
        StrataNode *node = g_ptr_array_index(path, i);
        g_autofree char *name = name_at_node(export, node);
        g_autofree char *description = NULL;

        if (!can_be_seen_from(export, node))
            continue;
        description = exports_describe_chain(node);
        list_one(listing, name, description);
        list_snapshots(listing, node, name);
    }
}

void
exports_list(StrataExports *exports, ExportsFunc func, gpointer user_data)
{
    Listing listing = { .func = func, .user_data = user_data };

    for (guint i = 0; i < exports->list->len; i++) {
        const Export *export = g_ptr_array_index(exports->list, i);
        g_autofree char *description = describe(export);

        list_one(&listing, export->name, description);
        list_nodes(&listing, export);
    }
}
