/* SPDX-License-Identifier: LGPL-2.1-or-later
 * open.c - from a spec to an open graph.
 *
 * A node's storage (file, data-file) is opened by recursion, bounded by STRATA_MAX_STORAGE_NESTING;
 * a chain of backing files in a loop, because it may be as long as a graph has nodes. A child is
 * what the spec says or, where it says nothing, what the header names (policy.c makes a spec of
 * that name). */
#include <strata/snapshot.h>
#include <string.h>

#include "cycle.h"
#include "error.h"
#include "names.h"
#include "node.h"
#include "opener.h"
#include "read-ahead.h"
#include "recognise.h"
#include "reopen.h"
#include "spec.h"

/* A child to be opened, and why. */
typedef struct {
    StrataNode *parent; /* NULL for the top */
    StrataRole role;
    StrataSpec *spec;     /* owned */
    guint nesting;        /* storage edges on the way down from the top */
    char *name_in_header; /* owned; NULL when the user's spec names the child */
} Wanted;

/* The opening of one graph. */
typedef struct {
    StrataGraph *graph;        /* nodes stand in the order of their opening, parents first */
    PolicyGate *gate;          /* the graph's */
    StrataGraph *again;        /* (nullable) what is opened again, by a spec that says every child
                                  (reopen.h): headers name no others */
    GHashTable *header_places; /* cycle.h */
    KeptBudget kept;
} Opening;

static void
wanted_free(Wanted *wanted)
{
    strata_spec_unref(wanted->spec);
    g_free(wanted->name_in_header);
    g_free(wanted);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Wanted, wanted_free)

static void
opening_clear(Opening *opening)
{
    g_clear_pointer(&opening->header_places, g_hash_table_unref);
    g_clear_pointer(&opening->graph, strata_graph_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Opening, opening_clear)

static void
opener_clear(StrataOpener *opener)
{
    for (int role = 0; role < STRATA_N_ROLES; role++) {
        g_free(opener->named[role].name);
        g_free(opener->named[role].format);
    }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(StrataOpener, opener_clear)

void
strata_opener_name_child(StrataOpener *opener, StrataRole role, const char *name,
                         const char *format)
{
    NamedChild *child = &opener->named[role];

    g_free(child->name);
    g_free(child->format);
    child->name = g_strdup(name);
    child->format = g_strdup(format);
}

/* @node is the last of the graph then, or its layers are: a protocol leaf has no other children. */
gboolean
strata_opener_add_layer(StrataOpener *opener, StrataNode *node, const char *name, GError **error)
{
    GPtrArray *nodes = node->graph->nodes;
    StrataNode *parent = nodes->pdata[nodes->len - 1];
    StrataNode *layer;

    if (nodes->len >= STRATA_MAX_NODES)
        return strata_throw(error, node, STRATA_ERROR_LIMIT,
                            "its server has more layers than fit: a graph has at most %d nodes",
                            STRATA_MAX_NODES);
    layer = g_new0(StrataNode, 1);
    layer->graph = node->graph;
    layer->driver = &strata_driver_remote;
    layer->parent = parent;
    layer->role = STRATA_ROLE_BACKING;
    layer->size = node->size;
    layer->claims = TRUE;
    layer->state = g_strdup(name);
    parent->children[STRATA_ROLE_BACKING] = layer;
    parent->forward_roles = 1u << STRATA_ROLE_BACKING;
    g_ptr_array_add(nodes, layer);
    node->n_layers++;
    return TRUE;
}

/* A node that the graph owns, linked to its parent, with nothing opened yet. */
static StrataNode *
add_node(Opening *opening, const Wanted *wanted)
{
    StrataNode *node = g_new0(StrataNode, 1);

    node->graph = opening->graph;
    node->spec = strata_spec_ref(wanted->spec);
    node->parent = wanted->parent;
    node->role = wanted->role;
    if (wanted->parent)
        wanted->parent->children[wanted->role] = node;
    g_ptr_array_add(opening->graph->nodes, node);
    return node;
}

static gboolean
check_limits(Opening *opening, const Wanted *wanted, GError **error)
{
    if (opening->graph->nodes->len >= STRATA_MAX_NODES) {
        return strata_throw(error, wanted->parent, STRATA_ERROR_LIMIT,
                            "its \"%s\" child would be one node too many; a graph has at most %d",
                            strata_role_to_string(wanted->role), STRATA_MAX_NODES);
    }
    if (wanted->nesting > STRATA_MAX_STORAGE_NESTING) {
        return strata_throw(error, wanted->parent, STRATA_ERROR_LIMIT,
                            "its \"%s\" child nests too deep; storage nests at most %d deep",
                            strata_role_to_string(wanted->role), STRATA_MAX_STORAGE_NESTING);
    }
    return TRUE;
}

/* What the user can do about a child of a header that does not open, added to why it does not. */
static gboolean
explain_named_child(GError **error, StrataNode *parent, StrataRole role, const char *name,
                    const GError *reason)
{
    g_autofree char *shown = strata_escape(name);
    const char *way_out = "";

    if (reason->code == STRATA_ERROR_NOT_FOUND) {
        way_out = role == STRATA_ROLE_BACKING
                      ? " (\"backing\": null in json:, or \"backing=\" in --image-opts, opens the "
                        "overlay alone)"
                      : " (\"data-file\" in the spec can name it where it is)";
    }
    return strata_throw(
        error, parent, (StrataError)reason->code, "its header names the %s file '%s': %s%s",
        role == STRATA_ROLE_BACKING ? "backing" : "data", shown, reason->message, way_out);
}

/* What is to be opened as the child of @node in @role: what the user's spec says, completed by the
 * header. With *@out_wanted NULL neither names a child. */
static gboolean
find_child(Opening *opening, StrataNode *node, StrataRole role, const NamedChild *named,
           Wanted **out_wanted, GError **error)
{
    StrataSpec *given = spec_get_child(node->spec, role);
    gboolean is_refused = role == STRATA_ROLE_BACKING && spec_is_without_backing(node->spec);
    g_autoptr(StrataSpec) spec = NULL;
    g_autoptr(GError) reason = NULL;

    *out_wanted = NULL;
    if (is_refused || (!given && (!named->name || opening->again)))
        return TRUE;
    spec = opening->again ? strata_spec_ref(given)
                          : policy_gate_admit(opening->gate, node, role, named->name, named->format,
                                              given, &reason);
    if (!spec && given)
        return strata_throw(error, node, (StrataError)reason->code, "%s", reason->message);
    if (!spec)
        return explain_named_child(error, node, role, named->name, reason);
    *out_wanted = g_new0(Wanted, 1);
    (*out_wanted)->parent = node;
    (*out_wanted)->role = role;
    if (spec_is_from_header(spec_get_leaf(spec)))
        (*out_wanted)->name_in_header = g_strdup(named->name);
    (*out_wanted)->spec = g_steal_pointer(&spec);
    return TRUE;
}

static gboolean open_subtree(Opening *opening, const Wanted *wanted, GError **error);

/* The file child, which only a spec can name: a header is read through it. */
static gboolean
open_file_child(Opening *opening, StrataNode *node, guint nesting, GError **error)
{
    Wanted wanted = {
        .parent = node,
        .role = STRATA_ROLE_FILE,
        .spec = spec_get_child(node->spec, STRATA_ROLE_FILE),
        .nesting = nesting + 1,
    };

    return !wanted.spec || open_subtree(opening, &wanted, error);
}

static gboolean
open_data_file(Opening *opening, StrataNode *node, guint nesting, const NamedChild *named,
               GError **error)
{
    g_autoptr(Wanted) wanted = NULL;

    if (!find_child(opening, node, STRATA_ROLE_DATA_FILE, named, &wanted, error))
        return FALSE;
    if (wanted)
        wanted->nesting = nesting + 1;
    return !wanted || open_subtree(opening, wanted, error);
}

/* Nesting does not grow along a chain: a backing file is walked to, not read through. */
static gboolean
find_backing(Opening *opening, StrataNode *node, guint nesting, const NamedChild *named,
             Wanted **out_wanted, GError **error)
{
    if (!find_child(opening, node, STRATA_ROLE_BACKING, named, out_wanted, error))
        return FALSE;
    if (*out_wanted)
        (*out_wanted)->nesting = nesting;
    return TRUE;
}

/* The user's own image of no given format, or a backing file of which nobody says it (--probe). */
static gboolean
use_recognised_format(StrataNode *node, GError **error)
{
    const char *where = node->parent ? strata_role_to_string(node->role) : "the topmost node";
    StrataNode *file = node->children[STRATA_ROLE_FILE];
    const char *format = NULL;
    StrataSpec *spec = NULL;

    if (!file)
        return strata_throw(error, node, STRATA_ERROR_SPEC,
                            "%s has no \"file\" in which its format could be recognised; write "
                            "file.filename=NAME, or say its \"driver\"",
                            where);
    format = recognise_format(file, error);
    if (format)
        spec = spec_with_driver(node->spec, format, where, error);
    if (!spec)
        return FALSE;
    strata_spec_unref(node->spec);
    node->spec = spec;
    node->driver = strata_driver_find(format);
    return TRUE;
}

/* The spec's parser has seen to it that a driver is there, and that it is known; only the top, and
 * with --probe a backing file, may be without. */
static gboolean
find_driver(Opening *opening, StrataNode *node, guint nesting, GError **error)
{
    const char *name = spec_get_driver(node->spec);

    node->driver = name ? strata_driver_find(name) : NULL;
    if (!open_file_child(opening, node, nesting, error) ||
        (!node->driver && !use_recognised_format(node, error)))
        return FALSE;
    if (node->driver->required_roles & 1 << STRATA_ROLE_FILE && !node->children[STRATA_ROLE_FILE]) {
        return strata_throw(error, node, STRATA_ERROR_SPEC,
                            "driver \"%s\" needs a \"file\", as in file.filename=NAME",
                            node->driver->name);
    }
    return TRUE;
}

/* Or within a json: text that stands there. */
static gboolean
is_named_in_header(StrataNode *node)
{
    return spec_is_from_header(spec_get_leaf(node->spec));
}

/* Opens a node with all its storage, and finds out which backing file it has, if any. */
static gboolean
open_node(Opening *opening, const Wanted *wanted, Wanted **out_backing, GError **error)
{
    g_auto(StrataOpener) opener = { .gate = opening->gate, .kept = &opening->kept };
    StrataNode *node;

    if (!check_limits(opening, wanted, error))
        return FALSE;
    node = add_node(opening, wanted);
    if (opening->again)
        opener.again = strata_graph_find_node(opening->again, spec_get_node_name(node->spec));
    return find_driver(opening, node, wanted->nesting, error) &&
           (!cycle_places_have(opening->header_places, node) || !is_named_in_header(node) ||
            cycle_check(node, error)) &&
           node->driver->open(node, &opener, error) &&
           open_data_file(opening, node, wanted->nesting, &opener.named[STRATA_ROLE_DATA_FILE],
                          error) &&
           (!node->driver->storage_ready || node->driver->storage_ready(node, error)) &&
           find_backing(opening, node, wanted->nesting, &opener.named[STRATA_ROLE_BACKING],
                        out_backing, error);
}

static gboolean
open_wanted(Opening *opening, const Wanted *wanted, Wanted **out_backing, GError **error)
{
    g_autoptr(GError) reason = NULL;

    if (!wanted->name_in_header)
        return open_node(opening, wanted, out_backing, error);
    if (open_node(opening, wanted, out_backing, &reason))
        return TRUE;
    return explain_named_child(error, wanted->parent, wanted->role, wanted->name_in_header, reason);
}

/* Opens a node and all that stands below it, and numbers them, so that whoever stands above can
 * read through the whole of it: an image may lie inside an overlay. */
static gboolean
open_subtree(Opening *opening, const Wanted *wanted, GError **error)
{
    guint start = opening->graph->nodes->len;
    g_autoptr(Wanted) backing = NULL;

    if (!open_wanted(opening, wanted, &backing, error))
        return FALSE;
    while (backing) {
        g_autoptr(Wanted) next = g_steal_pointer(&backing);

        if (!open_wanted(opening, next, &backing, error))
            return FALSE;
    }
    graph_number(opening->graph, start);
    return TRUE;
}

/* Takes @gate over. */
static StrataGraph *
open_graph(StrataSpec *spec, PolicyGate *gate, StrataGraph *again, GError **error)
{
    g_auto(Opening) opening = { .gate = gate, .again = again };
    const Wanted top = { .spec = spec };

    opening.header_places = cycle_places_new();
    opening.graph = graph_new(gate);
    if (!open_subtree(&opening, &top, error))
        return NULL;
    names_assign(opening.graph);
    read_ahead_rest(opening.graph->ahead);
    changes_start(opening.graph->changes);
    return g_steal_pointer(&opening.graph);
}

StrataGraph *
strata_graph_open(StrataSpec *spec, StrataPolicy *policy, GError **error)
{
    const char *top_filename = spec_get_text(spec_get_leaf(spec), "filename");

    return open_graph(spec, policy_gate_new(policy, top_filename), NULL, error);
}

StrataGraph *
strata_node_open_snapshot(StrataNode *node, const char *id_or_name, GError **error)
{
    const char *const *options = node->driver->options;
    g_autoptr(StrataSpec) spec = NULL;

    if (!options || !g_strv_contains(options, "snapshot")) {
        strata_throw(error, node, STRATA_ERROR_NOT_FOUND,
                     "it has no snapshots: images of format qcow2 have them, this is \"%s\"",
                     node->driver->name);
        return NULL;
    }
    spec = reopen_make_spec(node, "snapshot", id_or_name);
    return open_graph(spec, policy_gate_ref(node->graph->gate), node->graph, error);
}
