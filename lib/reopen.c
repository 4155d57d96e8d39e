/* SPDX-License-Identifier: LGPL-2.1-or-later
 * reopen.c - the spec of nodes that are open, for opening the same ones again. */
#include "reopen.h"

#include "node.h"
#include "spec-tree.h"

/* The children are those that are open, and not those that the spec spoke of. */
static StrataSpec *
copy_alone(StrataNode *node)
{
    StrataSpec *spec = spec_copy_node(node->spec);

    for (int role = 0; role < STRATA_N_ROLES; role++)
        g_clear_pointer(&spec->children[role], strata_spec_unref);
    g_free(spec->node_name);
    spec->node_name = g_strdup(node->name);
    return spec;
}

/* Nodes above the new top may have said that files are shared with writers. */
static void
inherit_force_share(StrataSpec *spec, StrataNode *top)
{
    static const char key[] = "force-share";

    for (StrataNode *up = top; up && !spec_get_text(spec, key); up = up->parent)
        if (spec_get_text(up->spec, key))
            g_hash_table_insert(spec->options, g_strdup(key),
                                spec_value_new(SPEC_BOOL, spec_get_text(up->spec, key)));
}

/* Parents stand before their children. The layers behind a server have no spec: its leaf finds them
 * again. */
StrataSpec *
reopen_make_spec(StrataNode *top, const char *key, const char *value)
{
    g_autofree StrataSpec **specs = g_new0(StrataSpec *, top->subtree_end - top->index);

    for (guint i = top->index; i < top->subtree_end; i++) {
        StrataNode *node = top->graph->nodes->pdata[i];

        if (!node->spec)
            continue;
        specs[i - top->index] = copy_alone(node);
        if (node != top)
            specs[node->parent->index - top->index]->children[node->role] = specs[i - top->index];
    }
    g_hash_table_insert(specs[0]->options, g_strdup(key), spec_value_new(SPEC_TEXT, value));
    inherit_force_share(specs[0], top);
    return specs[0];
}
