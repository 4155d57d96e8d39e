/* SPDX-License-Identifier: LGPL-2.1-or-later
 * current.c - whether opening a graph again would lead to the same files and nodes. */
#include <strata/graph.h>
#include <sys/stat.h>

#include "changes.h"
#include "node.h"

/* What was added to a file is not read until it is opened again; so growth counts. The size of a
 * block device is not told by stat(). */
static gboolean
leads_to_same_file(StrataNode *leaf)
{
    struct stat st;

    if (stat(strata_node_get_filename(leaf), &st) < 0)
        return FALSE;
    if (S_ISBLK(st.st_mode))
        return leaf->place.inode == 0 && leaf->place.device == st.st_rdev;
    return leaf->place.device == st.st_dev && leaf->place.inode == st.st_ino &&
           leaf->size == (guint64)st.st_size;
}

gboolean
strata_graph_is_current(StrataGraph *graph)
{
    changes_look(graph->changes);
    for (guint i = 0; i < graph->nodes->len; i++) {
        StrataNode *node = g_ptr_array_index(graph->nodes, i);

        if ((node->driver == &strata_driver_file && !leads_to_same_file(node)) ||
            !changes_check_node(node, NULL))
            return FALSE;
    }
    return TRUE;
}
