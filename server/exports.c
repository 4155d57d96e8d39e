/* SPDX-License-Identifier: LGPL-2.1-or-later
 * exports.c - export names: a graph's own, and NAME@NODE for the image as seen from NODE down. */
#include "exports.h"

#include "proto.h"

#include <string.h>

/* Long chains are told as far as a person would read. */
#define MAX_DESCRIPTION 1024

typedef struct {
    char *name;
    char *description; /* NULL: the chain in a line */
    StrataGraph *graph;
} Export;

struct _StrataExports {
    GPtrArray *list; /* Export, in the order in which they were added */
};

static void
export_free(gpointer data)
{
    Export *export = data;

    g_free(export->name);
    g_free(export->description);
    strata_graph_unref(export->graph);
    g_free(export);
}

StrataExports *
strata_exports_new(void)
{
    StrataExports *exports = g_new0(StrataExports, 1);

    exports->list = g_ptr_array_new_with_free_func(export_free);
    return exports;
}

void
strata_exports_free(StrataExports *exports)
{
    g_ptr_array_unref(exports->list);
    g_free(exports);
}

static Export *
find_exact(StrataExports *exports, const char *name, gsize length)
{
    for (guint i = 0; i < exports->list->len; i++) {
        Export *export = g_ptr_array_index(exports->list, i);

        if (strlen(export->name) == length && memcmp(export->name, name, length) == 0)
            return export;
    }
    return NULL;
}

/* proto.md: a string is UTF-8 of at most 4096 bytes. */
static gboolean
check_string(const char *what, const char *text, GError **error)
{
    if (strlen(text) > NBD_MAX_STRING) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "the %s is %zu bytes long, but the NBD protocol allows %d at most", what,
                    strlen(text), NBD_MAX_STRING);
        return FALSE;
    }
    if (!g_utf8_validate(text, -1, NULL)) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "the %s is not UTF-8, which the NBD protocol demands", what);
        return FALSE;
    }
    return TRUE;
}

gboolean
strata_exports_add(StrataExports *exports, const char *name, const char *description,
                   StrataGraph *graph, GError **error)
{
    Export *export;

    if (!check_string("export name", name, error))
        return FALSE;
    if (description != NULL && !check_string("description", description, error))
        return FALSE;
    if (find_exact(exports, name, strlen(name)) != NULL) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "there are two exports of the name \"%s\"; give each its own", name);
        return FALSE;
    }
    export = g_new0(Export, 1);
    export->name = g_strdup(name);
    export->description = g_strdup(description);
    export->graph = strata_graph_ref(graph);
    g_ptr_array_add(exports->list, export);
    return TRUE;
}

static gboolean
contains(GPtrArray *nodes, StrataNode *node)
{
    return g_ptr_array_find(nodes, node, NULL);
}

/* A raw node that is no layer looks through to what stands below it. */
static const char *
describe_kind(StrataNode *node, GHashTable *layers)
{
    const char *driver = strata_node_get_driver(node);
    gboolean window = g_str_equal(driver, "raw") && !g_hash_table_contains(layers, node);

    return window ? "raw window" : driver;
}

static GHashTable *
number_layers(GPtrArray *layers)
{
    GHashTable *numbers = g_hash_table_new(NULL, NULL);

    for (guint i = 0; i < layers->len; i++)
        g_hash_table_insert(numbers, layers->pdata[i], GUINT_TO_POINTER(i + 1));
    return numbers;
}

char *
exports_describe_chain(StrataNode *node)
{
    g_autoptr(GPtrArray) path = strata_node_list_path(node);
    g_autoptr(GPtrArray) layers = strata_node_list_layers(node);
    g_autoptr(GHashTable) numbers = number_layers(layers);
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < path->len; i++) {
        StrataNode *step = g_ptr_array_index(path, i);

        if (i > 0)
            g_string_append(text, " > ");
        if (text->len > MAX_DESCRIPTION) {
            g_string_append_printf(text, "%u more", path->len - i);
            break;
        }
        g_string_append_printf(text, "%s (%s)", strata_node_get_name(step),
                               describe_kind(step, numbers));
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* The user's words are about NAME. NAME@NODE always tells its chain, the top node's as well. */
static char *
describe(const Export *export)
{
    if (export->description != NULL)
        return g_strdup(export->description);
    return exports_describe_chain(strata_graph_get_top(export->graph));
}

/* A leaf that only stores what a format keeps in it is no disk that anybody would want to see. */
static gboolean
can_be_seen_from(const Export *export, StrataNode *node)
{
    g_autoptr(GPtrArray) path = NULL;

    if (!strata_node_is_protocol(node))
        return TRUE;
    path = strata_node_list_path(strata_graph_get_top(export->graph));
    return contains(path, node);
}

/* @description: taken over */
static ExportView *
export_view_new(const Export *export, StrataNode *node, const char *name, char *description)
{
    ExportView *view = g_new0(ExportView, 1);

    view->name = g_strdup(name);
    view->description = description;
    view->graph = export->graph;
    view->node = node;
    view->layers = strata_node_list_layers(node);
    view->layer_numbers = number_layers(view->layers);
    return view;
}

/* NAME@NODE: node names hold no '@', so the last one divides. */
static ExportView *
find_at_node(StrataExports *exports, const char *name)
{
    const char *at = strrchr(name, '@');
    Export *export;
    StrataNode *node;

    if (at == NULL)
        return NULL;
    export = find_exact(exports, name, (gsize)(at - name));
    if (export == NULL)
        return NULL;
    node = strata_graph_find_node(export->graph, at + 1);
    if (node == NULL || !can_be_seen_from(export, node))
        return NULL;
    return export_view_new(export, node, name, exports_describe_chain(node));
}

ExportView *
exports_find(StrataExports *exports, const char *name)
{
    Export *export = find_exact(exports, name, strlen(name));

    if (export == NULL)
        return find_at_node(exports, name);
    return export_view_new(export, strata_graph_get_top(export->graph), name, describe(export));
}

void
export_view_free(ExportView *view)
{
    g_free(view->name);
    g_free(view->description);
    g_ptr_array_unref(view->layers);
    g_hash_table_unref(view->layer_numbers);
    g_free(view);
}

guint
export_view_layer_number(const ExportView *view, StrataNode *node)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(view->layer_numbers, node));
}

static void
list_nodes(const Export *export, ExportsFunc func, gpointer user_data)
{
    StrataNode *top = strata_graph_get_top(export->graph);
    g_autoptr(GPtrArray) path = strata_node_list_path(top);

    for (guint i = 0; i < path->len; i++) {
        StrataNode *node = g_ptr_array_index(path, i);
        g_autofree char *name = g_strdup_printf("%s@%s", export->name, strata_node_get_name(node));
        g_autofree char *description = exports_describe_chain(node);

        if (strlen(name) <= NBD_MAX_STRING)
            func(name, description, user_data);
    }
}

void
exports_list(StrataExports *exports, ExportsFunc func, gpointer user_data)
{
    for (guint i = 0; i < exports->list->len; i++) {
        Export *export = g_ptr_array_index(exports->list, i);
        g_autofree char *description = describe(export);

        func(export->name, description, user_data);
        list_nodes(export, func, user_data);
    }
}
