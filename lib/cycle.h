/* SPDX-License-Identifier: LGPL-2.1-or-later
 * cycle.h - headers that lead back to where they began. */
#ifndef STRATA_CYCLE_H
#define STRATA_CYCLE_H

#include <strata/graph.h>

/* Where headers of a graph were read: places in files. It does not outlive the graph. */
GHashTable *cycle_places_new(void);

/* Adds the place of the header of @node, if it has one. Returns whether another node has the same.
 */
gboolean cycle_places_have(GHashTable *places, StrataNode *node);

/* Whether @node, which a header named, is none of its own ancestors met again; else DAMAGED, with
 * the way round in the message. To be asked where another node has its place: it looks at all
 * ancestors, and chains are long. */
gboolean cycle_check(StrataNode *node, GError **error);

#endif
