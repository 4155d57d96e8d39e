/* SPDX-License-Identifier: LGPL-2.1-or-later
 * node.h - the structs behind the opaque types of graph.h. open.c fills them in; after
 * strata_graph_open() nothing in them changes, so that every thread may read them without a lock.
 * (What drivers remember in their state, and the tables, have locks of their own.)
 */
#ifndef STRATA_NODE_H
#define STRATA_NODE_H

#include <strata/graph.h>

#include "changes.h"
#include "driver.h"
#include "tables.h"

/* Hard limits, in the messages that report them. A chain is walked without recursion, so its
 * length is bounded for memory and descriptors only; storage nests by recursion (reading a table
 * of an image in an image reads the inner image), so its limit is what keeps the stack bounded. */
#define STRATA_MAX_NODES           2048
#define STRATA_MAX_STORAGE_NESTING 64

/* Where a node's byte 0 lies: a cycle is the same place met again on the way down. */
typedef struct {
    gboolean known;
    guint64 device; /* st_dev, or st_rdev of a block device */
    guint64 inode;  /* st_ino, or 0 for a block device */
    guint64 offset; /* bytes into that file, through the windows above it */
} StrataPlace;

struct _StrataNode {
    StrataGraph *graph; /* not owned: the graph owns its nodes */
    const StrataDriver *driver;
    char *name;
    StrataSpec *spec; /* owned */

    StrataNode *parent; /* NULL for the top */
    StrataRole role;    /* to the parent */
    StrataNode *children[STRATA_N_ROLES];
    guint index;       /* in the graph's pre-order */
    guint subtree_end; /* the index after that of the last node below this one */

    /* What the driver's open() found out. */
    guint64 size;        /* virtual size in bytes */
    gboolean claims;     /* may answer DATA or ZERO while nobody has claimed (a window does not) */
    guint forward_roles; /* 1 << role for each role that it may FORWARD to */
    StrataPlace place;
    gboolean tells_depth; /* a protocol leaf that answers for a chain of its own: no mere storage */
    guint n_layers;       /* nodes behind this one that are layers of its server */
    guint64 forward_offset; /* bytes: a child's offset less this node's, wherever it forwards */
    gboolean is_plain;      /* all of it lies in, or is looked for through, the file child: there
                               forward_offset further on */
    guint unit_bits;        /* of a node with tables: log2 of the bytes in a unit */
    StrataRole data_role;   /* likewise: the child that keeps its data */
    GArray *snapshots;  /* (nullable) StrataSnapshot, owned; its clear function frees the text */
    GPtrArray *bitmaps; /* (nullable) StrataBitmap, owned */
    gboolean bitmaps_unknown; /* there may be bitmaps besides these, of whatever names: each could
                                 hide one below, whose bits are clean for what was written here, so
                                 nobody looks for bitmaps beyond this node */
    char *uri;      /* (nullable) owned: what a leaf without host file shows as its file name */
    gpointer state; /* the driver's own, freed by its close() */
};

struct _StrataGraph {
    gint ref_count;           /* atomic */
    GPtrArray *nodes;         /* StrataNode, owned, in pre-order */
    GHashTable *names;        /* name -> StrataNode, neither owned */
    TableCache *tables;       /* metadata of all nodes, shared so that one budget bounds a graph */
    TableCache *clusters;     /* decompressed clusters of all nodes, likewise */
    struct _ReadAhead *ahead; /* owned */
    Changes *changes;         /* owned: what is noticed of files that change underneath */
    gint n_doubtful;          /* atomic: nodes that recheck.c is to ask, or that failed it */
    struct _PolicyGate *gate; /* owned: what the graph was opened through, for opening more of it */
};

/* FALSE with @error if the node no longer is what it was when it was opened. May read what lies
 * below the node, or wait for a thread that does: recheck.h. Relaxed: whoever began his work with
 * changes_begin() sees the doubts of before. Thread-safe. */
static inline gboolean
changes_check_node(StrataNode *node, GError **error)
{
    return G_LIKELY(__atomic_load_n(&node->graph->n_doubtful, __ATOMIC_RELAXED) == 0) ||
           changes_check_doubtful(node, error);
}

/* graph.c: a graph without nodes. @gate: (nullable) (transfer full): what it is opened through. */
StrataGraph *graph_new(struct _PolicyGate *gate);

/* graph.c: puts the nodes from @start to the last in pre-order, and sets their index and
 * subtree_end. They are the one at @start and all that stands below it. */
void graph_number(StrataGraph *graph, guint start);

#endif
