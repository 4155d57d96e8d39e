/* SPDX-License-Identifier: LGPL-2.1-or-later
 * reopen.h - the spec of nodes that are open, for opening the same ones again. */
#ifndef STRATA_REOPEN_H
#define STRATA_REOPEN_H

#include <strata/graph.h>
#include <strata/spec.h>

/* What is open from @node down, with the names that the nodes have: nothing in it is left to
 * headers. What came from a header is still marked so, and stays confined. @key is set to the text
 * @value for @node itself. */
StrataSpec *reopen_make_spec(StrataNode *node, const char *key, const char *value);

#endif
