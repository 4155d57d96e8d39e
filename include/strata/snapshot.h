/* SPDX-License-Identifier: LGPL-2.1-or-later
 * snapshot.h - internal snapshots of images: a disk as it was, kept in the same file. */
#ifndef STRATA_SNAPSHOT_H
#define STRATA_SNAPSHOT_H

#include <strata/graph.h>

G_BEGIN_DECLS

/**
 * StrataSnapshot: an entry of an image's snapshot table (qcow2 specification, "Snapshots"). Owned
 * by its node's graph, immutable. Text in it comes from the image: escape it before printing.
 *
 * @id: unique in the image, mostly a number
 * @name: may be empty, and need not be unique
 * @disk_size: virtual size of the disk in bytes when the snapshot was taken
 * @vm_state_size: bytes of saved machine state; 0 for none
 * @date_sec: when it was taken, seconds since the epoch
 * @vm_clock_nsec: how long the guest had run then, in nanoseconds
 */
typedef struct {
    const char *id;
    const char *name;
    guint64 disk_size;
    guint64 vm_state_size;
    gint64 date_sec;
    guint64 vm_clock_nsec;
} StrataSnapshot;

/**
 * strata_node_get_snapshots:
 * @node: a node
 * @out_n: (out): how many there are
 *
 * Thread-safe.
 *
 * Returns: (transfer none) (array length=out_n) (nullable): the snapshots in the order of the
 *   image's table; %NULL where there are none
 */
const StrataSnapshot *strata_node_get_snapshots(StrataNode *node, gsize *out_n);

/**
 * strata_node_find_snapshot:
 * @node: a node
 * @id_or_name: what a user calls it
 *
 * As qemu-img and qemu-nbd do: an ID goes before a name; of equal names the first is taken.
 *
 * Returns: (transfer none) (nullable): the snapshot
 */
const StrataSnapshot *strata_node_find_snapshot(StrataNode *node, const char *id_or_name);

/**
 * strata_node_open_snapshot:
 * @node: a node that keeps snapshots (its driver is "qcow2")
 * @id_or_name: which, as for strata_node_find_snapshot()
 * @error: %STRATA_ERROR_NOT_FOUND if there is no such snapshot, and all of strata_graph_open()
 *
 * Opens the image as it is seen from @node down, with the snapshot in place of the disk of today:
 * the same files, under the policy that the graph was opened with. Nodes have the names that they
 * have in the graph of @node. Blocks on disk.
 *
 * Returns: (transfer full): a graph of its own, whose top is @node at that snapshot
 */
StrataGraph *strata_node_open_snapshot(StrataNode *node, const char *id_or_name, GError **error);

G_END_DECLS

#endif
