/* SPDX-License-Identifier: LGPL-2.1-or-later
 * recheck.h - whether the nodes of a graph still are what they were when they were opened. Who
 * comes to a node first after a file below it has changed asks its driver; who comes meanwhile
 * waits; whoever never comes there is not held up. */
#ifndef STRATA_RECHECK_H
#define STRATA_RECHECK_H

#include <strata/graph.h>

typedef struct _Recheck Recheck;

Recheck *recheck_new(guint n_nodes);
void recheck_free(Recheck *recheck);

/* @node is asked before anybody is told anything of it. Does not wait. Thread-safe. */
void recheck_make_due(Recheck *recheck, const StrataNode *node);

/* FALSE with @error if the node is not what it was, or if that cannot be told just now. May read
 * what lies below the node, and waits for nothing else. Thread-safe. */
gboolean recheck_node(Recheck *recheck, StrataNode *node, GError **error);

#endif
