/* SPDX-License-Identifier: LGPL-2.1-or-later
 * kept.c - how much a graph keeps of the lists in its images. */
#include "kept.h"

#include "error.h"

gboolean
kept_take(KeptBudget *budget, StrataNode *node, guint n_entries, guint64 n_bytes, GError **error)
{
    if (!budget)
        return TRUE;
    if (n_entries > STRATA_MAX_KEPT_ENTRIES - budget->n_entries)
        return strata_throw(error, node, STRATA_ERROR_LIMIT,
                            "with the list of %u entries here, the images of this graph list more "
                            "than %d snapshots and bitmaps, which is strata's limit",
                            n_entries, STRATA_MAX_KEPT_ENTRIES);
    if (n_bytes > STRATA_MAX_KEPT_BYTES - budget->n_bytes)
        return strata_throw(error, node, STRATA_ERROR_LIMIT,
                            "with the list here, the snapshots and bitmaps that the images of this "
                            "graph list take more than %d bytes, which is strata's limit",
                            STRATA_MAX_KEPT_BYTES);
    budget->n_entries += n_entries;
    budget->n_bytes += n_bytes;
    return TRUE;
}
