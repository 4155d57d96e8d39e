/* SPDX-License-Identifier: LGPL-2.1-or-later
 * names.h - stable, unique node names. */
#ifndef STRATA_NAMES_H
#define STRATA_NAMES_H

#include <strata/graph.h>

/* Whether @name may stand as "node-name": a letter, then letters, digits, '.', '_' and '-'; at
 * most 255 bytes. */
gboolean names_is_valid(const char *name);

/* The name that @node gets if nobody else has it: its "node-name", else one made from its file.
 * Works on a node that is still being opened (messages). Free with g_free(). */
char *names_suggest(StrataNode *node);

/* Names every node of @graph, whose nodes stand in pre-order, and fills in graph->names. Explicit
 * names go first (the spec's parser has seen to it that they differ); a suggestion that is taken
 * gets "-2", "-3"... */
void names_assign(StrataGraph *graph);

#endif
