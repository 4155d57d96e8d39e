/* SPDX-License-Identifier: LGPL-2.1-or-later
 * kept.h - how much a graph keeps of the lists in its images: of snapshots, and of bitmaps. */
#ifndef STRATA_KEPT_H
#define STRATA_KEPT_H

#include <strata/graph.h>

/* Hard limits for all nodes of a graph together: an image of a few KiB can be a thousand layers
 * that share one long table. They leave room for one image with all the snapshots and bitmaps that
 * QEMU would read. */
#define STRATA_MAX_KEPT_ENTRIES (128 * 1024)
#define STRATA_MAX_KEPT_BYTES   (64 * 1024 * 1024) /* as the tables stand in the images */

/* What the nodes have taken, while a graph is opened: by one thread. */
typedef struct {
    guint n_entries;
    guint64 n_bytes;
} KeptBudget;

/* To be called before a part of a list of @node is read, which then has these many entries and
 * bytes more. Nothing is given back, so that reading is bounded too, of lists that turn out to be
 * damaged. @budget: (nullable): no limit. FALSE with @error: LIMIT. */
gboolean kept_take(KeptBudget *budget, StrataNode *node, guint n_entries, guint64 n_bytes,
                   GError **error);

#endif
