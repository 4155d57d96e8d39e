/* SPDX-License-Identifier: LGPL-2.1-or-later
 * cycle.h - headers that lead back to where they began. */
#ifndef STRATA_CYCLE_H
#define STRATA_CYCLE_H

#include <strata/graph.h>

/* Whether @node, which a header named, is none of its own ancestors met again; else DAMAGED, with
 * the way round in the message. */
gboolean cycle_check(StrataNode *node, GError **error);

#endif
