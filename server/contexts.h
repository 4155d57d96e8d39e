/* SPDX-License-Identifier: LGPL-2.1-or-later
 * contexts.h - metadata contexts: what a client can ask about a range. See strata-contexts(7). */
#ifndef STRATA_CONTEXTS_H
#define STRATA_CONTEXTS_H

#include "exports.h"

typedef struct _ContextFamily ContextFamily;

typedef struct {
    const ContextFamily *family;
    const ExportView *view; /* not owned */
    StrataNode *node;       /* of a context that names one, else NULL */
    char *name;
} Context;

void context_free(Context *context);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Context, context_free)

/* What @context says of @run: a function of these two and of nothing else. */
guint32 context_value(const Context *context, const StrataRun *run);

/* Each returns: (transfer full) (element-type Context): no name twice, bound to @view.
 * Listing: all that are listed, or those that match one of @queries; a query that ends in ':'
 *   matches whatever begins with it. Any node's contexts are found by their whole name.
 * Selecting: those of which the whole name is among @queries. */
GPtrArray *contexts_list(const ExportView *view);
GPtrArray *contexts_query(const ExportView *view, GPtrArray *queries);
GPtrArray *contexts_select(const ExportView *view, GPtrArray *queries);

#endif
