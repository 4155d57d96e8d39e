/* SPDX-License-Identifier: LGPL-2.1-or-later
 * contexts.c - a row per context family: its name, for which nodes it exists, and its value for a
 * run. A new context is a function and a row here, a paragraph in strata-contexts(7), a test. */
#include "contexts.h"

#include "proto.h"

#include <string.h>

/* For what a family exists: once, or once for each node of a list, named behind a ':'. */
typedef enum {
    SCOPE_IMAGE,
    SCOPE_LAYERS,
    SCOPE_PATH,
} Scope;

struct _ContextFamily {
    const char *name;
    Scope scope;
    guint32 (*value)(const Context *context, const StrataRun *run);
};

/* Bits of strata:joint. */
#define JOINT_CLAIMED     (1u << 2)
#define JOINT_COMPRESSED  (1u << 3)
#define JOINT_ENCRYPTED   (1u << 4)
#define JOINT_PAST_END    (1u << 5)
#define JOINT_LAYER_SHIFT 8

/* Never a hole that is not zero: the specification calls such contents undefined, and clients drop
 * them. */
static guint32
value_allocation(const Context *context, const StrataRun *run)
{
    return (run->flags & STRATA_RUN_ZERO) ? NBD_STATE_HOLE | NBD_STATE_ZERO : 0;
}

static guint32
value_depth(const Context *context, const StrataRun *run)
{
    return run->depth;
}

static guint32
value_above(const Context *context, const StrataRun *run)
{
    return run->claimant != NULL && !strata_node_is_within(run->claimant, context->node);
}

static guint32
value_only(const Context *context, const StrataRun *run)
{
    return run->claimant == context->node;
}

static guint32
value_layer(const Context *context, const StrataRun *run)
{
    return export_view_layer_number(context->view, run->claimant);
}

static guint32
value_joint(const Context *context, const StrataRun *run)
{
    guint32 value = value_allocation(context, run);

    if (run->claimant != NULL)
        value |= JOINT_CLAIMED;
    if (run->flags & STRATA_RUN_COMPRESSED)
        value |= JOINT_COMPRESSED;
    if (run->flags & STRATA_RUN_ENCRYPTED)
        value |= JOINT_ENCRYPTED;
    if (run->flags & STRATA_RUN_PAST_END)
        value |= JOINT_PAST_END;
    return value | value_layer(context, run) << JOINT_LAYER_SHIFT;
}

static const ContextFamily families[] = {
    { "base:allocation", SCOPE_IMAGE, value_allocation },
    { "qemu:allocation-depth", SCOPE_IMAGE, value_depth },
    { "qemu:dirty-bitmap:above", SCOPE_PATH, value_above },
    { "strata:joint", SCOPE_IMAGE, value_joint },
    { "strata:layer", SCOPE_IMAGE, value_layer },
    { "strata:only", SCOPE_LAYERS, value_only },
    { "strata:above", SCOPE_PATH, value_above },
};

static Context *
context_new(const ContextFamily *family, const ExportView *view, StrataNode *node)
{
    Context *context = g_new0(Context, 1);

    context->family = family;
    context->view = view;
    context->node = node;
    context->name = node == NULL ? g_strdup(family->name)
                                 : g_strconcat(family->name, ":", strata_node_get_name(node), NULL);
    return context;
}

void
context_free(Context *context)
{
    if (context == NULL)
        return;
    g_free(context->name);
    g_free(context);
}

guint32
context_value(const Context *context, const StrataRun *run)
{
    return context->family->value(context, run);
}

static GPtrArray *
new_list(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)context_free);
}

static void
add_for_nodes(GPtrArray *list, const ContextFamily *family, const ExportView *view,
              GPtrArray *nodes)
{
    for (guint i = 0; i < nodes->len; i++)
        g_ptr_array_add(list, context_new(family, view, g_ptr_array_index(nodes, i)));
}

GPtrArray *
contexts_list(const ExportView *view)
{
    g_autoptr(GPtrArray) path = strata_node_list_path(view->node);
    GPtrArray *list = new_list();

    for (gsize i = 0; i < G_N_ELEMENTS(families); i++) {
        const ContextFamily *family = &families[i];

        if (family->scope == SCOPE_IMAGE)
            g_ptr_array_add(list, context_new(family, view, NULL));
        else
            add_for_nodes(list, family, view, family->scope == SCOPE_PATH ? path : view->layers);
    }
    return list;
}

/* The node that @name names behind the name of @family and ':', if it is one of the view's. */
static StrataNode *
find_node(const ContextFamily *family, const ExportView *view, const char *name)
{
    gsize length = strlen(family->name);
    StrataNode *node;

    if (!g_str_has_prefix(name, family->name) || name[length] != ':')
        return NULL;
    node = strata_graph_find_node(view->graph, name + length + 1);
    return node != NULL && strata_node_is_within(node, view->node) ? node : NULL;
}

/* Returns: (transfer full) (nullable): the context of that whole name, listed or not. */
static Context *
find_context(const ExportView *view, const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(families); i++) {
        const ContextFamily *family = &families[i];
        StrataNode *node;

        if (family->scope == SCOPE_IMAGE) {
            if (g_str_equal(name, family->name))
                return context_new(family, view, NULL);
            continue;
        }
        node = find_node(family, view, name);
        if (node != NULL)
            return context_new(family, view, node);
    }
    return NULL;
}

/* Takes @context over; drops it if @names (whose keys live in @list) has it already. */
static void
add_once(GPtrArray *list, GHashTable *names, Context *context)
{
    if (g_hash_table_contains(names, context->name)) {
        context_free(context);
        return;
    }
    g_hash_table_add(names, context->name);
    g_ptr_array_add(list, context);
}

static gboolean
matches(const Context *context, GPtrArray *queries)
{
    for (guint i = 0; i < queries->len; i++) {
        const char *query = g_ptr_array_index(queries, i);

        if (g_str_equal(context->name, query))
            return TRUE;
        if (g_str_has_suffix(query, ":") && g_str_has_prefix(context->name, query))
            return TRUE;
    }
    return FALSE;
}

static void
add_selected(GPtrArray *list, GHashTable *names, const ExportView *view, GPtrArray *queries)
{
    for (guint i = 0; i < queries->len; i++) {
        Context *context = find_context(view, g_ptr_array_index(queries, i));

        if (context != NULL)
            add_once(list, names, context);
    }
}

GPtrArray *
contexts_query(const ExportView *view, GPtrArray *queries)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) listed = contexts_list(view);
    GPtrArray *list = new_list();

    for (guint i = 0; i < listed->len; i++)
        if (matches(g_ptr_array_index(listed, i), queries))
            add_once(list, names, g_steal_pointer(&g_ptr_array_index(listed, i)));
    add_selected(list, names, view, queries);
    return list;
}

GPtrArray *
contexts_select(const ExportView *view, GPtrArray *queries)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    GPtrArray *list = new_list();

    add_selected(list, names, view, queries);
    return list;
}
