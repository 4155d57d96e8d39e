/* SPDX-License-Identifier: LGPL-2.1-or-later
 * exports.c - export names: an export's own NAME, NAME@NODE for the image as seen from NODE down,
 * and NAME@NODE:SNAPSHOT for that image at an internal snapshot. */
#include "exports.h"

#include "describe.h"
#include "open-graphs.h"
#include "protocol/proto.h"
#include "snapshot-names.h"

#include <string.h>

/* How many snapshots a list tells of, so that it stays a list; an image may have 65,536. The others
 * are there when asked for. */
#define MAX_LISTED_SNAPSHOTS 1024

/* So that a client that connects again and again does not open again and again. */
#define LINGER_SECONDS 5

struct _StrataExports {
    GMutex lock;        /* guards .table; never held while something is opened */
    ExportTable *table; /* owned */
    OpenGraphs graphs;
};

/* An export whose graph is open. */
typedef struct {
    Export *export;     /* owned */
    OpenGraph *open;    /* (nullable) owned: the graph is open on demand */
    StrataGraph *graph; /* kept open by one of them */
    guint64 number;     /* of this opening */
} Held;

/* A name that somebody asks for. */
typedef struct {
    StrataExports *exports;
    const ExportTable *table; /* what is served at that time */
    const Peer *peer;         /* (nullable) */
    const char *name;
} Question;

/* What a name says, taken apart. */
typedef struct {
    Held held;
    StrataNode *node;
    const char *snapshot; /* what stands behind the ':'; NULL: there is none */
} Address;

static void
held_clear(Held *held)
{
    g_clear_pointer(&held->open, open_graph_release);
    g_clear_pointer(&held->export, export_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Held, held_clear)

static void
address_clear(Address *address)
{
    held_clear(&address->held);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Address, address_clear)

StrataExports *
strata_exports_new(void)
{
    StrataExports *exports = g_new0(StrataExports, 1);

    g_mutex_init(&exports->lock);
    exports->table = export_table_new();
    open_graphs_init(&exports->graphs);
    return exports;
}

void
strata_exports_free(StrataExports *exports)
{
    open_graphs_clear(&exports->graphs);
    export_table_unref(exports->table);
    g_mutex_clear(&exports->lock);
    g_free(exports);
}

gboolean
strata_exports_add(StrataExports *exports, const char *name, const char *description,
                   StrataGraph *graph, GError **error)
{
    g_autoptr(Export) export = export_new(name);

    export->description = g_strdup(description);
    export->graph = strata_graph_ref(graph);
    return export_table_add(exports->table, export, error);
}

void
strata_exports_set_table(StrataExports *exports, ExportTable *table)
{
    ExportTable *before;

    g_mutex_lock(&exports->lock);
    before = exports->table;
    exports->table = export_table_ref(table);
    g_mutex_unlock(&exports->lock);
    export_table_unref(before);
}

static ExportTable *
take_table(StrataExports *exports)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&exports->lock);

    return export_table_ref(exports->table);
}

G_DEFINE_QUARK(exports - error - hidden - quark, exports_error_hidden)

static StrataGraph *
open_image(gconstpointer data, GError **error)
{
    return image_open(data, error);
}

/* A name of somebody else's that leads nowhere is trouble of the server's: the export is there. */
static OpenGraph *
open_on_demand(StrataExports *exports, const GraphSource *source, const char *what, GError **error)
{
    GError *local_error = NULL;
    OpenGraph *open = open_graphs_acquire(&exports->graphs, source, &local_error);

    if (open != NULL)
        return open;
    if (g_error_matches(local_error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND))
        local_error->code = STRATA_ERROR_IO;
    g_propagate_prefixed_error(error, local_error, "cannot open the %s: ", what);
    return NULL;
}

/* Opens @export if it is not open. It is for out_held to keep, whatever comes of it. */
static gboolean
hold(StrataExports *exports, Export *export, Held *out_held, GError **error)
{
    const GraphSource source = {
        .key = export->key,
        .open = open_image,
        .data = export->image,
        .linger_seconds = LINGER_SECONDS,
        .is_by_name = TRUE,
    };
    g_autoptr(GError) local_error = NULL;

    *out_held = (Held){ .export = export_ref(export) };
    if (export->graph != NULL) {
        out_held->graph = export->graph;
        out_held->number = export->number;
        return TRUE;
    }
    out_held->open = open_on_demand(exports, &source, "image", &local_error);
    if (out_held->open == NULL) {
        if (export->hides_layers)
            g_set_error_literal(error, EXPORTS_ERROR_HIDDEN, 0, local_error->message);
        else
            g_propagate_error(error, g_steal_pointer(&local_error));
        return FALSE;
    }
    out_held->graph = open_graph_get_graph(out_held->open);
    out_held->number = open_graph_get_number(out_held->open);
    return TRUE;
}

/* The user's words are about NAME. NAME@NODE always tells its chain, the top node's as well. */
static char *
describe(const Export *export, StrataGraph *graph)
{
    if (export->description != NULL)
        return g_strdup(export->description);
    if (graph == NULL)
        return g_strdup("an image that is opened when it is asked for");
    if (export->hides_layers)
        return g_strdup_printf("a disk of %" G_GUINT64_FORMAT " bytes",
                               strata_node_get_size(strata_graph_get_top(graph)));
    return exports_describe_chain(strata_graph_get_top(graph));
}

/* A leaf that only stores what a format keeps in it is no disk that anybody would want to see; and
 * a layer behind a server cannot be read but through those above it over there. */
static gboolean
can_be_seen_from(StrataGraph *graph, StrataNode *node)
{
    g_autoptr(GPtrArray) path = NULL;

    if (g_str_equal(strata_node_get_driver(node), "remote"))
        return FALSE;
    if (!strata_node_is_storage(node))
        return TRUE;
    path = strata_node_list_path(strata_graph_get_top(graph));
    return g_ptr_array_find(path, node, NULL);
}

/* The node that @rest, which stands behind an '@', names up to its first ':'; NULL if there is
 * none. */
static StrataNode *
find_seen_node(StrataGraph *graph, const char *rest)
{
    g_autofree char *name = g_strndup(rest, strcspn(rest, ":"));
    StrataNode *node = strata_graph_find_node(graph, name);

    return node != NULL && can_be_seen_from(graph, node) ? node : NULL;
}

/* Reads @name with the '@' at @at as the one in front of a node. FALSE with no @error if it is not:
 * the export is not there, or not for @peer, or has no such node. */
static gboolean
read_address_at(const Question *question, ExportTableFind find, const char *at,
                Address *out_address, GError **error)
{
    g_autofree char *export_name = g_strndup(question->name, (gsize)(at - question->name));
    const char *colon = strchr(at, ':');
    g_autoptr(Export) export = find(question->table, question->peer, export_name);
    g_auto(Address) address = { 0 };

    if (export == NULL || export->hides_layers ||
        !hold(question->exports, export, &address.held, error))
        return FALSE;
    address.node = find_seen_node(address.held.graph, at + 1);
    if (address.node == NULL)
        return FALSE;
    address.snapshot = colon != NULL ? colon + 1 : NULL;
    *out_address = address;
    address = (Address){ 0 };
    return TRUE;
}

/* Neither '@' nor ':' can be in a node's name; so an '@' that has another one behind it before any
 * ':' is not the one. Of several exports that @name could belong to, the one of the longest name is
 * meant. FALSE without @error: none. */
static gboolean
read_address(const Question *question, ExportTableFind find, Address *out_address, GError **error)
{
    for (gsize i = strlen(question->name); i-- > 0;) {
        const char *at = question->name + i;
        GError *local_error = NULL;

        if (*at != '@' || at[1 + strcspn(at + 1, "@:")] == '@')
            continue;
        if (read_address_at(question, find, at, out_address, &local_error))
            return TRUE;
        if (local_error != NULL) {
            g_propagate_error(error, local_error);
            return FALSE;
        }
    }
    return FALSE;
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

typedef struct {
    StrataNode *node;
    const StrataSnapshot *snapshot;
} SnapshotPlace;

static StrataGraph *
open_snapshot(gconstpointer data, GError **error)
{
    const SnapshotPlace *place = data;

    return strata_node_open_snapshot(place->node, place->snapshot->id, error);
}

/* The key holds for this opening of the export's graph and for no other. */
static OpenGraph *
hold_snapshot(StrataExports *exports, const Address *address, const StrataSnapshot *snapshot,
              GError **error)
{
    const SnapshotPlace place = { .node = address->node, .snapshot = snapshot };
    g_autofree char *key =
        g_strdup_printf("snapshot %" G_GUINT64_FORMAT "@%s:%s", address->held.number,
                        strata_node_get_name(address->node), snapshot->id);
    const GraphSource source = {
        .key = key,
        .open = open_snapshot,
        .data = &place,
        .below = address->held.open,
    };

    return open_on_demand(exports, &source, "snapshot", error);
}

static ExportView *
view_snapshot(StrataExports *exports, const Address *address, const char *name, GError **error)
{
    StrataNode *node = address->node;
    const StrataSnapshot *snapshot = strata_node_find_snapshot(node, address->snapshot);
    g_autofree char *at_node = name_at_node(address->held.export, node);
    g_auto(SnapshotNames) names = { 0 };
    const char *listed;
    OpenGraph *open;
    StrataGraph *graph;

    if (snapshot == NULL || *address->snapshot == '\0')
        return refuse_unknown(error);
    open = hold_snapshot(exports, address, snapshot, error);
    if (open == NULL)
        return NULL;
    graph = open_graph_get_graph(open);
    snapshot_names_init(&names, node);
    listed = snapshot_names_choose(&names, snapshot);
    return export_view_new(address->held.export, strata_graph_get_top(graph), graph, open,
                           listed != NULL ? g_strconcat(at_node, ":", listed, NULL)
                                          : g_strdup(name),
                           describe_snapshot(node, snapshot));
}

static ExportView *
view_export(StrataExports *exports, Export *export, GError **error)
{
    g_auto(Held) held = { 0 };

    if (!hold(exports, export, &held, error))
        return NULL;
    return export_view_new(export, strata_graph_get_top(held.graph), held.graph,
                           g_steal_pointer(&held.open), g_strdup(export->name),
                           describe(export, held.graph));
}

static ExportView *
view_node(Address *address, const char *name)
{
    return export_view_new(address->held.export, address->node, address->held.graph,
                           g_steal_pointer(&address->held.open), g_strdup(name),
                           exports_describe_chain(address->node));
}

/* Among what @find finds. NULL without @error: none */
static ExportView *
answer(const Question *question, ExportTableFind find, GError **error)
{
    g_autoptr(Export) export = find(question->table, question->peer, question->name);
    g_auto(Address) address = { 0 };

    if (export != NULL)
        return view_export(question->exports, export, error);
    if (!read_address(question, find, &address, error))
        return NULL;
    if (address.snapshot != NULL)
        return view_snapshot(question->exports, &address, question->name, error);
    return view_node(&address, question->name);
}

/* Whoever may put files into the directory does not choose what a name of the table's own means,
 * NAME@NODE neither. */
ExportView *
exports_find(StrataExports *exports, const Peer *peer, const char *name, GError **error)
{
    static const ExportTableFind finds[] = { export_table_find_own, export_table_find_file };
    g_autoptr(ExportTable) table = take_table(exports);
    const Question question = { exports, table, peer, name };

    for (gsize i = 0; i < G_N_ELEMENTS(finds); i++) {
        GError *local_error = NULL;
        ExportView *view = answer(&question, finds[i], &local_error);

        if (view != NULL)
            return view;
        if (local_error != NULL) {
            g_propagate_error(error, local_error);
            return NULL;
        }
    }
    return refuse_unknown(error);
}

static gboolean
is_there(const ExportTable *table, const Peer *peer, const char *name)
{
    g_autoptr(Export) own = export_table_find_own(table, peer, name);
    g_autoptr(Export) file = own != NULL ? NULL : export_table_find_file(table, peer, name);

    return own != NULL || file != NULL;
}

static gboolean
keeps_out(const ExportTable *table, const Peer *peer, const char *name)
{
    return !is_there(table, peer, name) && is_there(table, NULL, name);
}

gboolean
exports_keep_out(StrataExports *exports, const Peer *peer, const char *name)
{
    g_autoptr(ExportTable) table = take_table(exports);

    if (keeps_out(table, peer, name))
        return TRUE;
    for (const char *at = strchr(name, '@'); at != NULL; at = strchr(at + 1, '@')) {
        g_autofree char *front = g_strndup(name, (gsize)(at - name));

        if (keeps_out(table, peer, front))
            return TRUE;
    }
    return FALSE;
}

/* What a list is made of. */
typedef struct {
    ExportsFunc func;
    DirectoryOverFunc is_over_func; /* (nullable) */
    gpointer user_data;
    const ExportTable *table;
    const Peer *peer;  /* (nullable) */
    guint n_snapshots; /* that were listed so far */
    gboolean is_over;
} Listing;

static void
list_one(Listing *listing, const char *name, const char *description)
{
    if (!listing->is_over && strlen(name) <= NBD_MAX_STRING)
        listing->is_over = !listing->func(name, description, listing->user_data);
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
    for (gsize i = 0; i < n && listing->n_snapshots < MAX_LISTED_SNAPSHOTS && !listing->is_over;
         i++) {
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

    for (guint i = 0; i < path->len && !listing->is_over; i++) {
        StrataNode *node = g_ptr_array_index(path, i);
        g_autofree char *name = name_at_node(export, node);
        g_autofree char *description = NULL;

        if (!can_be_seen_from(export->graph, node))
            continue;
        description = exports_describe_chain(node);
        list_one(listing, name, description);
        list_snapshots(listing, node, name);
    }
}

static void
list_export(Listing *listing, const Export *export)
{
    g_autofree char *description = describe(export, export->graph);

    list_one(listing, export->name, description);
    if (export->graph != NULL && !export->hides_layers)
        list_nodes(listing, export);
}

/* Whether @name is NAME@NODE of an export of the table's own. */
static gboolean
is_node(const Listing *listing, const char *name)
{
    for (const char *at = strchr(name, '@'); at != NULL; at = strchr(at + 1, '@')) {
        g_autofree char *front = g_strndup(name, (gsize)(at - name));
        g_autoptr(Export) export = export_table_find_own(listing->table, listing->peer, front);

        if (export != NULL && export->graph != NULL && !export->hides_layers &&
            find_seen_node(export->graph, at + 1) != NULL)
            return TRUE;
    }
    return FALSE;
}

/* A file whose name is that of an export of the table's own is not served by it. */
static gboolean
list_file(const char *name, const char *description, gpointer user_data)
{
    Listing *listing = user_data;

    if (!g_hash_table_contains(listing->table->names, name) && !is_node(listing, name))
        list_one(listing, name, description);
    return !listing->is_over;
}

static gboolean
is_over(gpointer user_data)
{
    const Listing *listing = user_data;

    return listing->is_over_func != NULL && listing->is_over_func(listing->user_data);
}

gboolean
exports_list(StrataExports *exports, const Peer *peer, ExportsFunc func,
             DirectoryOverFunc is_over_func, gpointer user_data)
{
    g_autoptr(ExportTable) table = take_table(exports);
    Listing listing = {
        .func = func,
        .is_over_func = is_over_func,
        .user_data = user_data,
        .table = table,
        .peer = peer,
    };

    for (guint i = 0; i < table->list->len && !listing.is_over; i++) {
        const Export *export = g_ptr_array_index(table->list, i);

        if (export_admits(export, peer))
            list_export(&listing, export);
    }
    if (!listing.is_over && table->directory != NULL && directory_admits(table->directory, peer))
        listing.is_over =
            is_over(&listing) || !directory_list(table->directory, list_file, is_over, &listing);
    return !listing.is_over;
}
