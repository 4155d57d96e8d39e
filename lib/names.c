/* SPDX-License-Identifier: LGPL-2.1-or-later
 * names.c - stable, unique node names: clients use them, so the same graph gives the same names at
 * every start. */
#include "names.h"

#include <string.h>

#include "nbd/name.h"
#include "node.h"
#include "spec.h"

#define NAME_MAX_BYTES 255

static gboolean
is_name_char(char c)
{
    return g_ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
}

gboolean
names_is_valid(const char *name)
{
    if (!g_ascii_isalpha(name[0]) || strlen(name) > NAME_MAX_BYTES)
        return FALSE;
    for (const char *c = name; *c; c++)
        if (!is_name_char(*c))
            return FALSE;
    return TRUE;
}

static const char *
explicit_name(StrataNode *node)
{
    return node->spec ? spec_get_node_name(node->spec) : NULL;
}

/* '@' and ':' divide export and context names, and spaces divide lists of them: a name made from a
 * file keeps only what can stand anywhere. */
static char *
base_name_of_file(StrataNode *node)
{
    const char *filename;
    char *name;

    while (node->children[STRATA_ROLE_FILE])
        node = node->children[STRATA_ROLE_FILE];
    filename = strata_node_get_filename(node);
    if (node->driver == &strata_driver_nbd)
        name = remote_name_suggest(node->spec);
    else if (filename)
        name = g_path_get_basename(filename);
    else
        return g_strdup(node->driver ? node->driver->name : "image");
    for (char *c = name; *c; c++)
        if (!is_name_char(*c))
            *c = '_';
    return name;
}

/* Told from the child and not from node->claims, which is not known before open() is through. */
static gboolean
is_window(StrataNode *node)
{
    StrataNode *child = node->children[STRATA_ROLE_FILE];

    return node->driver == &strata_driver_raw && child && !strata_node_is_storage(child);
}

/* The server's node stands above its layers, and has its name already. */
static char *
name_behind_server(StrataNode *layer)
{
    StrataNode *server = layer->parent;
    char *name;

    while (server->driver == &strata_driver_remote)
        server = server->parent;
    name = g_strconcat(server->name, "/", (const char *)layer->state, NULL);
    for (char *c = strchr(name, '/') + 1; *c; c++)
        if (!is_name_char(*c) && *c != '/')
            *c = '_';
    return name;
}

char *
names_suggest(StrataNode *node)
{
    g_autofree char *base = NULL;

    if (explicit_name(node))
        return g_strdup(explicit_name(node));
    if (node->driver == &strata_driver_remote)
        return name_behind_server(node);
    base = base_name_of_file(node);
    if (strata_node_is_storage(node))
        return g_strconcat(base, node->driver == &strata_driver_nbd ? "-nbd" : "-file", NULL);
    return is_window(node) ? g_strconcat(base, "-raw", NULL) : g_steal_pointer(&base);
}

/* @next_suffixes: suggestion -> the suffix to try next, so that a thousand nodes on one file do not
 * try a thousand suffixes each. */
static char *
make_unique(StrataGraph *graph, GHashTable *next_suffixes, const char *suggestion)
{
    guint suffix = GPOINTER_TO_UINT(g_hash_table_lookup(next_suffixes, suggestion));
    g_autofree char *name = NULL;

    if (!suffix && !g_hash_table_contains(graph->names, suggestion))
        return g_strdup(suggestion);
    suffix = MAX(suffix, 2);
    do {
        g_free(name);
        name = g_strdup_printf("%s-%u", suggestion, suffix++);
    } while (g_hash_table_contains(graph->names, name));
    g_hash_table_insert(next_suffixes, g_strdup(suggestion), GUINT_TO_POINTER(suffix));
    return g_steal_pointer(&name);
}

static void
set_name(StrataGraph *graph, StrataNode *node, char *name)
{
    node->name = name;
    g_hash_table_insert(graph->names, node->name, node);
}

void
names_assign(StrataGraph *graph)
{
    g_autoptr(GHashTable) next_suffixes =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; i < graph->nodes->len; i++) {
        StrataNode *node = graph->nodes->pdata[i];

        if (explicit_name(node))
            set_name(graph, node, g_strdup(explicit_name(node)));
    }
    for (guint i = 0; i < graph->nodes->len; i++) {
        StrataNode *node = graph->nodes->pdata[i];
        g_autofree char *suggestion = names_suggest(node);

        if (!node->name)
            set_name(graph, node, make_unique(graph, next_suffixes, suggestion));
    }
}
