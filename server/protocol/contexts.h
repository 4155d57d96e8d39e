/* SPDX-License-Identifier: LGPL-2.1-or-later
 * contexts.h - metadata contexts: what a client can ask about a range. See strata-contexts(7). */
#ifndef STRATA_CONTEXTS_H
#define STRATA_CONTEXTS_H

#include "exports/export-view.h"

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
    guint64 value;
} ContextExtent;

/* How many contexts may be selected at once. */
#define CONTEXTS_MAX_SELECTED 1024

/* The value of a context of places where there is none. */
#define CONTEXT_NO_PLACE G_MAXUINT64

void context_free(Context *context);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Context, context_free)

/* Whether @context tells of the runs of a walk. Then context_tell() has its answers, else
 * context_map(). */
gboolean context_is_of_runs(const Context *context);

/* What the runs have to tell that @context is asked of; nothing if it is not of runs. */
StrataDetails context_get_details(const Context *context);

/* What @context says of each of @runs, in @extents, of which there are as many: of the first byte
 * for a context of places. A function of context and run and of nothing else. */
void context_tell(const Context *context, const StrataRun *runs, gsize n_runs,
                  ContextExtent *extents);

/* Whether the values of @context are places, which grow from byte to byte: an extent goes on for as
 * long as they do, in one leaf, which is that of the run. */
gboolean context_is_of_places(const Context *context);

/* What @context says of a range, from its first byte on; perhaps not to its end. Returns how many
 * extents that is; 0 with @error set if the first byte cannot be told. Blocks on disk. */
gsize context_map(const Context *context, guint64 offset, guint64 length, ContextExtent *extents,
                  gsize max_extents, GError **error);

/* Each returns: (transfer full) (element-type Context): no name twice, bound to @view. @wide: with
 * contexts whose values have 64 bits, too.
 * Listing: all that are listed, or those that match one of @queries; a query that ends in ':'
 *   matches whatever begins with it. Any node's contexts are found by their whole name.
 * Selecting: those of which the whole name is among @queries. */
GPtrArray *contexts_list(const ExportView *view, gboolean wide);
GPtrArray *contexts_query(const ExportView *view, GPtrArray *queries, gboolean wide);
GPtrArray *contexts_select(const ExportView *view, GPtrArray *queries, gboolean wide);

/* Returns: (transfer full) (nullable): for the log, why the first of @queries that is not offered
 * though there is something of that name is not: a bitmap in use or damaged, or 64-bit values
 * without @wide */
char *contexts_explain_refusal(const ExportView *view, GPtrArray *queries, gboolean wide);

#endif
