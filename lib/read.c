/* SPDX-License-Identifier: LGPL-2.1-or-later
 * read.c - bytes, by the walk that also answers who supplies them: map and content cannot
 * disagree. */
#include <strata/read.h>

#include <string.h>

#include "checked.h"
#include "error.h"
#include "node.h"
#include "walk.h"

/* A header, a table or a cluster seldom lies in more pieces than this. */
#define PIECES_FOR_METADATA 64

static gboolean
check_leaf(StrataNode *leaf, guint64 offset, gsize length, GError **error)
{
    if (!range_within(offset, length, leaf->size))
        return strata_throw(error, leaf, STRATA_ERROR_DAMAGED,
                            "0x%" G_GSIZE_MODIFIER "x bytes at 0x%" G_GINT64_MODIFIER
                            "x are needed, but it ends at 0x%" G_GINT64_MODIFIER
                            "x; the file is truncated or the image above it is damaged",
                            length, offset, leaf->size);
    return changes_check_node(leaf, error);
}

static gboolean
leaf_read(StrataNode *leaf, guint64 offset, gsize length, guint8 *buffer, GError **error)
{
    return check_leaf(leaf, offset, length, error) &&
           leaf->driver->read(leaf, offset, length, buffer, error);
}

gboolean
strata_run_read(const StrataRun *run, guint64 skip, gsize length, void *buffer, GError **error)
{
    g_return_val_if_fail(range_within(skip, length, run->length), FALSE);
    if (run->flags & STRATA_RUN_ZERO) {
        memset(buffer, 0, length);
        return TRUE;
    }
    return leaf_read(run->leaf, run->leaf_offset + skip, length, buffer, error);
}

gboolean
strata_run_can_splice(const StrataRun *run)
{
    return !(run->flags & STRATA_RUN_ZERO) && run->leaf && run->leaf->driver->splice;
}

gssize
strata_run_splice(const StrataRun *run, guint64 skip, gsize length, int pipe_fd, GError **error)
{
    StrataNode *leaf = run->leaf;

    g_return_val_if_fail(length > 0 && range_within(skip, length, run->length), 0);
    if (!strata_run_can_splice(run))
        return 0;
    if (!check_leaf(leaf, run->leaf_offset + skip, length, error))
        return -1;
    return leaf->driver->splice(leaf, run->leaf_offset + skip, length, pipe_fd, error);
}

void
strata_run_prefetch(const StrataRun *run, guint64 skip, guint64 length)
{
    StrataNode *leaf = run->leaf;

    g_return_if_fail(range_within(skip, length, run->length));
    if (!leaf || !leaf->driver->prefetch)
        return;
    if (range_within(run->leaf_offset + skip, length, leaf->size))
        leaf->driver->prefetch(leaf, run->leaf_offset + skip, length);
}

gboolean
strata_walk_read(StrataWalk *walk, guint64 offset, gsize length, void *buffer, GError **error)
{
    guint8 *at = buffer;

    while (length > 0) { /* every resolve yields at least one byte */
        gsize n_runs;
        const StrataRun *runs = strata_walk_resolve(walk, offset, length, &n_runs, error);

        if (!runs)
            return FALSE;
        for (gsize i = 0; i < n_runs; i++) {
            if (!strata_run_read(&runs[i], 0, runs[i].length, at, error))
                return FALSE;
            at += runs[i].length;
            offset += runs[i].length;
            length -= runs[i].length;
        }
    }
    return TRUE;
}

gboolean
strata_node_read(StrataNode *node, guint64 offset, gsize length, void *buffer, GError **error)
{
    g_autoptr(StrataWalk) walk = NULL;

    if (!range_within(offset, length, node->size) || strata_node_is_protocol(node))
        return leaf_read(node, offset, length, buffer, error);
    walk = walk_new_sized(node, PIECES_FOR_METADATA);
    return strata_walk_read(walk, offset, length, buffer, error);
}
