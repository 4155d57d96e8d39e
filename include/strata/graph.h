/* SPDX-License-Identifier: LGPL-2.1-or-later
 * graph.h - open a graph of images and look at its nodes.
 *
 *      raw ──file──> overlay(qcow2) ──backing──> base(qcow2) ──file──> base.qcow2(file)
 *                        └──file──> overlay.qcow2(file)
 *
 * A graph is a tree: a node has at most one child in each role, and one parent at most. */
#ifndef STRATA_GRAPH_H
#define STRATA_GRAPH_H

#include <strata/policy.h>
#include <strata/spec.h>

G_BEGIN_DECLS

/**
 * StrataGraph:
 * Opened images. Everything is opened read-only. Immutable once open, reference-counted, and safe
 * to use from any number of threads at once.
 */
typedef struct _StrataGraph StrataGraph;

/**
 * StrataNode:
 * A driver with its options and children. Owned by its graph and valid as long as that.
 */
typedef struct _StrataNode StrataNode;

/**
 * StrataRole: what a child is to its parent.
 *
 * @STRATA_ROLE_FILE: storage: where a format or window keeps, or looks through to, its bytes
 * @STRATA_ROLE_DATA_FILE: storage: qcow2's external data file
 * @STRATA_ROLE_BACKING: copy-on-write: whom an overlay defers to for what it does not hold
 */
typedef enum {
    STRATA_ROLE_FILE,
    STRATA_ROLE_DATA_FILE,
    STRATA_ROLE_BACKING,
} StrataRole;
#define STRATA_N_ROLES 3

/**
 * strata_role_to_string:
 * Returns: "file", "data-file" or "backing"
 */
const char *strata_role_to_string(StrataRole role);

/**
 * strata_graph_open:
 * @spec: what to open
 * @policy: (nullable): what image headers may lead to; %NULL for the default policy
 * @error: any code; the message says which file and why
 *
 * Opens every file of the graph and reads headers; scans no table. Blocks on disk. A graph holds
 * at most 2048 nodes, and storage (file, data-file) nests at most 64 deep; a cycle is refused.
 *
 * Returns: (transfer full): the graph, or %NULL with @error set and nothing left open
 */
StrataGraph *strata_graph_open(StrataSpec *spec, StrataPolicy *policy, GError **error);

/** strata_graph_ref: Thread-safe. Returns: (transfer full): @graph */
StrataGraph *strata_graph_ref(StrataGraph *graph);

/**
 * strata_graph_unref:
 * Gives up one reference; the last closes every file and frees all nodes. Thread-safe. A walk holds
 * a reference of its own.
 */
void strata_graph_unref(StrataGraph *graph);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StrataGraph, strata_graph_unref)

/**
 * strata_graph_is_current:
 * @graph: a graph
 *
 * Looks at the names of the host files again, and at the headers of files that were written to.
 * Blocks on disk. Thread-safe.
 *
 * Returns: whether to open the graph again would lead to the same files, of the same size, with
 *   headers that say the same. It does not tell whether their content has changed.
 */
gboolean strata_graph_is_current(StrataGraph *graph);

/**
 * strata_graph_get_top:
 * Returns: (transfer none): the topmost node
 */
StrataNode *strata_graph_get_top(StrataGraph *graph);

/**
 * strata_graph_get_n_nodes:
 * Returns: how many nodes there are, at least 1
 */
guint strata_graph_get_n_nodes(StrataGraph *graph);

/**
 * strata_graph_get_node:
 * @index: below strata_graph_get_n_nodes()
 *
 * Returns: (transfer none): the node at that place of the pre-order (a node, then its file,
 *   data-file and backing subtrees); the order is the same at every start
 */
StrataNode *strata_graph_get_node(StrataGraph *graph, guint index);

/**
 * strata_graph_find_node:
 * @name: a node name
 *
 * Returns: (transfer none) (nullable): the node of that name
 */
StrataNode *strata_graph_find_node(StrataGraph *graph, const char *name);

/**
 * strata_node_get_name:
 * Returns: (transfer none): the name given as "node-name", else one made from the base name of the
 *   node's file; unique in the graph, the same at every start, printable, without '@' and ':'. A
 *   layer behind an NBD server is called NODE/REMOTE-NODE.
 */
const char *strata_node_get_name(StrataNode *node);

/**
 * strata_node_get_driver:
 * Returns: (transfer none): "file", "luks", "nbd", "qcow2", "raw"; "remote" for a layer behind an
 *   NBD server that told of it
 */
const char *strata_node_get_driver(StrataNode *node);

/** strata_node_get_size: Returns: the node's virtual size in bytes; any number, 0 included */
guint64 strata_node_get_size(StrataNode *node);

/**
 * strata_node_get_filename:
 * Returns: (nullable): the host file of a "file" leaf or the URI of an "nbd" leaf, else %NULL
 */
const char *strata_node_get_filename(StrataNode *node);

/** strata_node_get_child: Returns: (transfer none) (nullable): the child in that role */
StrataNode *strata_node_get_child(StrataNode *node, StrataRole role);

/** strata_node_get_parent: Returns: (transfer none) (nullable): the parent; %NULL for the top */
StrataNode *strata_node_get_parent(StrataNode *node);

/** strata_node_get_role: Returns: what the node is to its parent; meaningless for the top */
StrataRole strata_node_get_role(StrataNode *node);

/** strata_node_is_protocol: Returns: whether the node is a leaf that gets bytes ("file", "nbd") */
gboolean strata_node_is_protocol(StrataNode *node);

/**
 * strata_node_is_storage:
 * Returns: whether the node is a protocol leaf that only holds bytes, so that the raw node above it
 *   is a layer. An "nbd" leaf whose server tells depth is none: the walk goes on over there.
 */
gboolean strata_node_is_storage(StrataNode *node);

/**
 * strata_node_is_within:
 * @node: a node
 * @ancestor: a node of the same graph
 *
 * Returns: whether @node is @ancestor or stands anywhere below it. A run of strata_walk_resolve()
 *   is claimed before the walk reaches NODE exactly when it has a claimant that is not within NODE.
 */
gboolean strata_node_is_within(StrataNode *node, StrataNode *ancestor);

/**
 * strata_node_list_layers:
 * @node: where the walk begins
 *
 * Returns: (transfer container) (element-type StrataNode): the nodes that can be the claimant of
 *   some range when @node is resolved, in the order in which a walk meets them; never %NULL
 */
GPtrArray *strata_node_list_layers(StrataNode *node);

/**
 * strata_node_list_path:
 * @node: where the walk begins
 *
 * Returns: (transfer container) (element-type StrataNode): @node and every node that a walk from
 *   it can be forwarded to before somebody claims, in walk order: the layers and the windows
 *   between them; never %NULL
 */
GPtrArray *strata_node_list_path(StrataNode *node);

/**
 * strata_node_describe:
 * Returns: (transfer full): what the driver tells of the node beyond name, size and children, for
 *   people and for "strata info": an "a{sv}" of the driver's own keys, such as "cluster-size" (t)
 *   or "offset" (t). Text in it may come from an image: escape it before printing.
 */
GVariant *strata_node_describe(StrataNode *node);

G_END_DECLS

#endif
