/* SPDX-License-Identifier: LGPL-2.1-or-later
 * open-graphs.h - graphs that are opened when the first client asks for one, shared by all who do,
 * and closed when the last has left, or a while after. */
#ifndef STRATA_OPEN_GRAPHS_H
#define STRATA_OPEN_GRAPHS_H

#include <strata/strata.h>

/* How many are open at once. What a client makes the server open is bounded so. */
#define OPEN_GRAPHS_MAX 256

/* A share in an open graph. */
typedef struct _OpenGraph OpenGraph;

typedef struct {
    GMutex lock;       /* guards all below and the entries; never held while opening, closing,
                          reading or looking at files */
    GCond settled;     /* signalled when an entry has a graph or an error */
    GHashTable *table; /* key -> OpenGraph, not owned: users own it, or the list of idle ones */
    guint n_open;      /* entries that are open, being opened, or being closed */
    GQueue idle;       /* OpenGraph without users, the one that is to be closed first at its head */
    GCond changed;     /* signalled when .idle or .stopping changes */
    GThread *closer;   /* closes what has been idle long enough; NULL until something is idle */
    gboolean stopping;
} OpenGraphs;

void open_graphs_init(OpenGraphs *graphs);

/* None may be in use. */
void open_graphs_clear(OpenGraphs *graphs);

/* How to get at a graph. */
typedef struct {
    const char *key; /* the same for all who want this graph; of another one never, not even when
                        this one is gone: see open_graphs_make_number() */
    StrataGraph *(*open)(gconstpointer data, GError **error);
    gconstpointer data;
    OpenGraph *below;     /* (nullable) stays open for as long as this one */
    guint linger_seconds; /* stays open so long without users */
    gboolean is_by_name;  /* to open it again may lead to other files: it is looked whether they
                             still are the same when somebody joins */
} GraphSource;

/* Opens a graph, or joins those who have it open or are about to. Blocks on disk, and nobody but
 * those who want the same graph. Returns NULL with @error: that of source->open(), or
 * STRATA_ERROR_LIMIT. */
OpenGraph *open_graphs_acquire(OpenGraphs *graphs, const GraphSource *source, GError **error);

void open_graph_release(OpenGraph *open);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OpenGraph, open_graph_release)

/* Returns: (transfer none): valid until it is released */
StrataGraph *open_graph_get_graph(OpenGraph *open);

/* Which opening this is: no other has that number. For keys of what is opened out of it. */
guint64 open_graph_get_number(OpenGraph *open);

/* Returns: a number that was never returned before. Thread-safe. */
guint64 open_graphs_make_number(void);

#endif
