/* SPDX-License-Identifier: LGPL-2.1-or-later
 * extent.c - joins neighbouring extents that look the same. */
#include "extent.h"

static gboolean
extent_leaf_goes_on(const Extent *a, const Extent *b)
{
    return a->leaf == b->leaf && (a->leaf == NULL || b->leaf_offset - a->leaf_offset == a->length);
}

/* Errors are never joined: each has its own message. */
static gboolean
extent_looks_alike(const ExtentMerger *merger, const Extent *a, const Extent *b)
{
    return a->content == b->content && a->content != CONTENT_ERROR && a->depth == b->depth &&
           a->layer == b->layer && a->flags == b->flags && b->offset - a->offset == a->length &&
           (!merger->by_leaf || extent_leaf_goes_on(a, b));
}

gboolean
extent_merger_flush(ExtentMerger *merger)
{
    if (!merger->has_pending)
        return TRUE;
    merger->has_pending = FALSE;
    return merger->sink(&merger->pending, merger->data);
}

gboolean
extent_merger_add(const Extent *extent, gpointer data)
{
    ExtentMerger *merger = data;

    if (merger->has_pending && extent_looks_alike(merger, &merger->pending, extent)) {
        merger->pending.length += extent->length;
        return TRUE;
    }
    if (!extent_merger_flush(merger))
        return FALSE;
    if (extent->content == CONTENT_ERROR) /* its message does not outlive this call */
        return merger->sink(extent, merger->data);
    merger->pending = *extent;
    merger->has_pending = TRUE;
    return TRUE;
}
