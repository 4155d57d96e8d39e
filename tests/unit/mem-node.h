/* SPDX-License-Identifier: LGPL-2.1-or-later
 * mem-node.h - nodes that live in memory: parsers and the resolver are tested without a disk. */
#ifndef TESTS_MEM_NODE_H
#define TESTS_MEM_NODE_H

#include "node.h"

/* One scripted answer: [offset, offset + answer.length) of the node. */
typedef struct {
    guint64 offset;
    StrataAnswer answer;
} MemExtent;

/* A protocol leaf that holds a copy of @bytes; map() says OWN for all of it. */
StrataNode *mem_leaf_new(const char *name, const guint8 *bytes, gsize size);

/* A node of @size bytes whose map() answers from @extents (ascending, not overlapping; copied).
 * What no extent covers is ABSENT. It claims, and may forward to any child. */
StrataNode *mem_node_new(const char *name, guint64 size, const MemExtent *extents, gsize n_extents);

/* A window on whatever is attached as its file: forwards everything, @offset further. */
StrataNode *mem_window_new(const char *name, guint64 size, guint64 offset);

/* The same for a node with tables (driver.h): the extents are DATA (of the file), OWN (compressed
 * or encrypted) and ZERO; each begins and ends at a multiple of 1 << @unit_bits bytes, or at the
 * end. What none covers is the backing file's. A table tells of @units_per_table units. */
StrataNode *mem_table_node_new(const char *name, guint64 size, const MemExtent *extents,
                               gsize n_extents, guint unit_bits, guint units_per_table);

/* A leaf as mem_node_new() makes nodes: of data (OWN) and holes (ZERO). map() is quick. */
StrataNode *mem_sparse_leaf_new(const char *name, guint64 size, const MemExtent *extents,
                                gsize n_extents);

/* What @node answers for that byte, whatever its kind. FALSE where it has a fault. */
gboolean mem_node_tell(StrataNode *node, guint64 offset, StrataAnswer *out_answer);

/* At most that many answers per call from now on, to see that callers ask again. */
void mem_node_set_max_answers(StrataNode *node, gsize max_answers);

/* map() fails (DAMAGED) where it would have to answer for this byte; of a node with tables its unit
 * is damaged. */
void mem_node_set_fault(StrataNode *node, guint64 offset);

/* How often map() was called, and how many answers it gave; of a node with tables: how often one
 * was opened, and how many units were told. */
guint mem_node_get_n_calls(StrataNode *node);
guint mem_node_get_n_answers(StrataNode *node);

/* How often bytes were read from a leaf. */
guint mem_node_get_n_reads(StrataNode *node);

/* Makes @child the child of @parent, before the graph is made. Returns @parent. */
StrataNode *mem_node_attach(StrataNode *parent, StrataRole role, StrataNode *child);

/* A graph of @top and all below it; owns them. */
StrataGraph *mem_graph_new(StrataNode *top);

#endif
