/* SPDX-License-Identifier: LGPL-2.1-or-later
 * contexts.h - metadata contexts: what a client can ask about a range. See strata-contexts(7). */
#ifndef STRATA_CONTEXTS_H
#define STRATA_CONTEXTS_H

#include "export-view.h"

typedef struct _ContextFamily ContextFamily;

typedef struct {
    const ContextFamily *family;
    const ExportView *view; /* not owned */
    StrataNode *node;       /* of a context that names one, else NULL */
    StrataBitmap *bitmap;   /* of a context that is one, else NULL */
    char *name;
} Context;

/* What a context says of the next @length bytes. */
typedef struct {
    guint64 length;
    guint32 value;
} ContextExtent;

void context_free(Context *context);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Context, context_free)

/* Whether @context tells of the runs of a walk. Then context_value() has its answers, else
 * context_map(). */
gboolean context_is_of_runs(const Context *context);

/* What @context says of @run: a function of these two and of nothing else. */
guint32 context_value(const Context *context, const StrataRun *run);

/* What @context says of a range, from its first byte on; perhaps not to its end. Returns how many
 * extents that is; 0 with @error set if the first byte cannot be told. Blocks on disk. */
gsize context_map(const Context *context, guint64 offset, guint64 length, ContextExtent *extents,
                  gsize max_extents, GError **error);

/* Each returns: (transfer full) (element-type Context): no name twice, bound to @view.
 * Listing: all that are listed, or those that match one of @queries; a query that ends in ':'
 *   matches whatever begins with it. Any node's contexts are found by their whole name.
 * Selecting: those of which the whole name is among @queries. */
GPtrArray *contexts_list(const ExportView *view);
GPtrArray *contexts_query(const ExportView *view, GPtrArray *queries);
GPtrArray *contexts_select(const ExportView *view, GPtrArray *queries);

/* Returns: (transfer full) (nullable): for the log, why the first of @queries that is not offered
 * though there is something of that name, a bitmap in use or damaged, is not */
char *contexts_explain_refusal(const ExportView *view, GPtrArray *queries);

#endif
