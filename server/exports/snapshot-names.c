/* SPDX-License-Identifier: LGPL-2.1-or-later
 * snapshot-names.c - by which word a snapshot is listed. Names need be neither unique nor text, and
 * one may look like the ID of another; an ID goes before a name. */
#include "snapshot-names.h"

#include <string.h>

/* Trees, because names that come from images may be made to collide in a hash table. */
static int
compare_names(gconstpointer a, gconstpointer b, gpointer data)
{
    return strcmp(a, b);
}

static gboolean
contains(GTree *tree, gconstpointer name)
{
    return g_tree_lookup_extended(tree, name, NULL, NULL);
}

void
snapshot_names_init(SnapshotNames *names, StrataNode *node)
{
    gsize n;
    const StrataSnapshot *snapshots = strata_node_get_snapshots(node, &n);

    names->ids = g_tree_new_full(compare_names, NULL, NULL, NULL);
    names->names = g_tree_new_full(compare_names, NULL, NULL, NULL);
    for (gsize i = 0; i < n; i++) {
        gpointer snapshot = (gpointer)&snapshots[i];
        gpointer id = (gpointer)snapshots[i].id;
        gpointer name = (gpointer)snapshots[i].name;

        if (!contains(names->ids, id))
            g_tree_replace(names->ids, id, snapshot);
        g_tree_replace(names->names, name, contains(names->names, name) ? NULL : snapshot);
    }
}

void
snapshot_names_clear(SnapshotNames *names)
{
    g_clear_pointer(&names->ids, g_tree_unref);
    g_clear_pointer(&names->names, g_tree_unref);
}

static gboolean
is_printable(const char *text)
{
    if (*text == '\0' || !g_utf8_validate(text, -1, NULL))
        return FALSE;
    for (; *text != '\0'; text = g_utf8_next_char(text))
        if (!g_unichar_isprint(g_utf8_get_char(text)))
            return FALSE;
    return TRUE;
}

const char *
snapshot_names_choose(const SnapshotNames *names, const StrataSnapshot *snapshot)
{
    if (is_printable(snapshot->name) && !contains(names->ids, snapshot->name) &&
        g_tree_lookup(names->names, snapshot->name) == snapshot)
        return snapshot->name;
    if (is_printable(snapshot->id) && g_tree_lookup(names->ids, snapshot->id) == snapshot)
        return snapshot->id;
    return NULL;
}
