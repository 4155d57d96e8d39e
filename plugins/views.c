/* SPDX-License-Identifier: LGPL-2.1-or-later
 * views.c - only@NODE and above@NODE as content plus map (nbdkit-strata-plugin(1)). */
#include "views.h"

#include <string.h>

#include "engine.h"

/* How many names the refusal of an unknown one lists. */
#define MAX_NAMES_IN_MESSAGE 32

typedef enum {
    VIEW_OF_IMAGE,
    VIEW_OF_ONLY,
    VIEW_OF_ABOVE,
} ViewKind;

/* Walks that no thread uses just now, the last used first: it knows what comes next. As many are
 * made as there are requests in flight at once, which nbdkit's threads bound. */
typedef struct {
    GAsyncQueue *idle;     /* its own lock is held for a push or a pop and no longer */
    StrataDetails details; /* what their runs tell */
} WalkPool;

struct _View {
    StrataGraph *graph; /* a reference */
    ViewKind kind;
    StrataNode *from; /* where the walk begins */
    StrataNode *node; /* the NODE of the name; for the image the same as from */
    char *description;
    WalkPool to_map, to_read;
};

static const struct {
    const char *prefix;
    ViewKind kind;
} kinds[] = {
    { "@", VIEW_OF_IMAGE },
    { "only@", VIEW_OF_ONLY },
    { "above@", VIEW_OF_ABOVE },
};

static void
append_names(GPtrArray *names, const char *prefix, GPtrArray *nodes)
{
    for (guint i = 0; i < nodes->len; i++)
        g_ptr_array_add(names, g_strconcat(prefix, strata_node_get_name(nodes->pdata[i]), NULL));
}

/* A layer behind an NBD server: it supplies ranges of the image, and what lies below it can only be
 * seen over there. */
static gboolean
is_remote(StrataNode *node)
{
    return g_str_equal(strata_node_get_driver(node), "remote");
}

/* The nodes of @path from which the image can be seen. */
static GPtrArray *
list_disks(GPtrArray *path)
{
    GPtrArray *disks = g_ptr_array_new();

    for (guint i = 0; i < path->len; i++)
        if (!is_remote(path->pdata[i]))
            g_ptr_array_add(disks, path->pdata[i]);
    return disks;
}

GPtrArray *
view_list_names(StrataGraph *graph)
{
    StrataNode *top = strata_graph_get_top(graph);
    g_autoptr(GPtrArray) path = strata_node_list_path(top);
    g_autoptr(GPtrArray) disks = list_disks(path);
    g_autoptr(GPtrArray) layers = strata_node_list_layers(top);
    GPtrArray *const nodes[] = {
        [VIEW_OF_IMAGE] = disks,
        [VIEW_OF_ONLY] = layers,
        [VIEW_OF_ABOVE] = path,
    };
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    g_ptr_array_add(names, g_strdup(""));
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        append_names(names, kinds[i].prefix, nodes[kinds[i].kind]);
    return names;
}

/* Names for a message: quoted, so that the empty one shows. */
static char *
format_names(GPtrArray *names)
{
    g_autoptr(GString) text = g_string_new(NULL);
    guint end = MIN(names->len, MAX_NAMES_IN_MESSAGE);

    for (guint i = 0; i < end; i++)
        g_string_append_printf(text, "%s\"%s\"", i > 0 ? ", " : "", (const char *)names->pdata[i]);
    if (end < names->len)
        g_string_append_printf(text, " and %u more (nbdinfo --list shows all)", names->len - end);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void
refuse_name(StrataGraph *graph, const char *name, GError **error)
{
    g_autoptr(GPtrArray) names = view_list_names(graph);
    g_autofree char *escaped = strata_escape(name);
    g_autofree char *list = format_names(names);

    g_set_error(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND,
                "there is no export \"%s\"; the exports are %s", escaped, list);
}

/* only@ of a node that is no layer would be a valid, empty disk: a copy of nothing that looks like
 * success. So it is an error. */
static gboolean
check_layer(StrataNode *top, StrataNode *node, GError **error)
{
    g_autoptr(GPtrArray) layers = strata_node_list_layers(top);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *list = NULL;

    if (g_ptr_array_find(layers, node, NULL))
        return TRUE;
    append_names(names, "only@", layers);
    list = format_names(names);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND,
                "node '%s' is no layer: nothing of the image is supplied by it; the layers are %s",
                strata_node_get_name(node), list);
    return FALSE;
}

/* A leaf in which a format keeps its tables and clusters is no disk that anybody would want. */
static gboolean
check_disk(StrataNode *top, StrataNode *node, GError **error)
{
    g_autoptr(GPtrArray) path = strata_node_list_path(top);

    if (is_remote(node)) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND,
                    "node '%s' is a layer of another server, which alone can show the image from "
                    "there down; here there are \"only@%s\" and \"above@%s\"",
                    strata_node_get_name(node), strata_node_get_name(node),
                    strata_node_get_name(node));
        return FALSE;
    }
    if (!strata_node_is_storage(node) || g_ptr_array_find(path, node, NULL))
        return TRUE;
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND,
                "node '%s' is the file of node '%s' and no export of its own",
                strata_node_get_name(node), strata_node_get_name(strata_node_get_parent(node)));
    return FALSE;
}

static gboolean
check_node(View *view, GError **error)
{
    StrataNode *top = strata_graph_get_top(view->graph);

    switch (view->kind) {
    case VIEW_OF_IMAGE:
        return check_disk(top, view->node, error);
    case VIEW_OF_ONLY:
        return check_layer(top, view->node, error);
    case VIEW_OF_ABOVE:
        break;
    }
    return TRUE;
}

/* The node that @name names, and what of it is asked for; NULL when it is no name of ours. */
static StrataNode *
parse_name(StrataGraph *graph, const char *name, ViewKind *out_kind)
{
    *out_kind = VIEW_OF_IMAGE;
    if (*name == '\0')
        return strata_graph_get_top(graph);

    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (!g_str_has_prefix(name, kinds[i].prefix))
            continue;
        *out_kind = kinds[i].kind;
        return strata_graph_find_node(graph, name + strlen(kinds[i].prefix));
    }
    return NULL;
}

static char *
describe(View *view)
{
    const char *name = strata_node_get_name(view->node);

    switch (view->kind) {
    case VIEW_OF_ONLY:
        return g_strdup_printf("what node '%s' alone supplies of the image", name);
    case VIEW_OF_ABOVE:
        return g_strdup_printf("what lies above node '%s' in the image", name);
    case VIEW_OF_IMAGE:
        break;
    }
    return exports_describe_chain(view->node);
}

static void
free_walk(gpointer walk)
{
    strata_walk_free(walk);
}

View *
view_open(StrataGraph *graph, const char *name, GError **error)
{
    g_autoptr(View) view = g_new0(View, 1);

    view->graph = strata_graph_ref(graph);
    view->to_map.idle = g_async_queue_new_full(free_walk);
    view->to_read.idle = g_async_queue_new_full(free_walk);
    view->node = parse_name(graph, name, &view->kind);
    if (view->node == NULL) {
        refuse_name(graph, name, error);
        return NULL;
    }
    if (!check_node(view, error))
        return NULL;

    view->from = view->kind == VIEW_OF_IMAGE ? view->node : strata_graph_get_top(graph);
    view->description = describe(view);
    view->to_map.details =
        STRATA_DETAIL_ZERO | (view->kind != VIEW_OF_IMAGE ? STRATA_DETAIL_CLAIMANT : 0);
    view->to_read.details = view->to_map.details | STRATA_DETAIL_PLACE;
    return g_steal_pointer(&view);
}

void
view_free(View *view)
{
    g_async_queue_unref(view->to_map.idle);
    g_async_queue_unref(view->to_read.idle);
    strata_graph_unref(view->graph);
    g_free(view->description);
    g_free(view);
}

guint64
view_get_size(View *view)
{
    return strata_node_get_size(view->from);
}

const char *
view_get_description(View *view)
{
    return view->description;
}

static StrataWalk *
take_walk(View *view, WalkPool *pool)
{
    StrataWalk *walk = g_async_queue_try_pop(pool->idle);

    if (walk == NULL) {
        walk = strata_walk_new(view->from);
        strata_walk_set_details(walk, pool->details);
    }
    return walk;
}

static void
give_back_walk(WalkPool *pool, StrataWalk *walk)
{
    g_async_queue_push_front(pool->idle, walk);
}

/* Whether the view shows what supplies @run; what it does not show is a hole in it. (Of the image
 * itself the map does not ask for claimants: what has none is zeros, and a hole so or so.) */
static gboolean
is_shown(View *view, const StrataRun *run)
{
    if (run->claimant == NULL)
        return FALSE;

    switch (view->kind) {
    case VIEW_OF_ONLY:
        return run->claimant == view->node;
    case VIEW_OF_ABOVE:
        return !strata_node_is_within(run->claimant, view->node);
    case VIEW_OF_IMAGE:
        break;
    }
    return TRUE;
}

/* A claimed zero is a hole of the image, where only the content counts, but no hole of a layer: a
 * copy that goes over other layers must write it. */
static ViewContent
get_content(View *view, const StrataRun *run)
{
    if (!is_shown(view, run))
        return VIEW_HOLE;
    if ((run->flags & STRATA_RUN_ZERO) == 0)
        return VIEW_DATA;
    return view->kind == VIEW_OF_IMAGE ? VIEW_HOLE : VIEW_ZERO;
}

typedef enum {
    VISIT_NEXT,
    VISIT_STOP,
    VISIT_FAILED, /* with the error set */
} VisitResult;

typedef VisitResult (*VisitFunc)(const StrataRun *run, ViewContent content, gpointer user_data,
                                 GError **error);

static VisitResult
visit_some(View *view, const StrataRun *runs, gsize n_runs, VisitFunc func, gpointer user_data,
           GError **error)
{
    VisitResult result = VISIT_NEXT;

    for (gsize i = 0; i < n_runs && result == VISIT_NEXT; i++)
        result = func(&runs[i], get_content(view, &runs[i]), user_data, error);
    return result;
}

/* Every call of the walk answers for at least one byte more, so the loop ends. */
static VisitResult
visit_range(View *view, StrataWalk *walk, guint64 offset, guint64 length, VisitFunc func,
            gpointer user_data, GError **error)
{
    guint64 end = offset + length;
    VisitResult result = VISIT_NEXT;

    while (offset < end && result == VISIT_NEXT) {
        gsize n_runs = 0;
        const StrataRun *runs = strata_walk_resolve(walk, offset, end - offset, &n_runs, error);

        if (runs == NULL)
            return VISIT_FAILED;
        offset = runs[n_runs - 1].offset + runs[n_runs - 1].length;
        result = visit_some(view, runs, n_runs, func, user_data, error);
    }
    return result;
}

static gboolean
visit(View *view, WalkPool *pool, guint64 offset, guint64 length, VisitFunc func,
      gpointer user_data, GError **error)
{
    StrataWalk *walk = take_walk(view, pool);
    VisitResult result = visit_range(view, walk, offset, length, func, user_data, error);

    give_back_walk(pool, walk);
    return result != VISIT_FAILED;
}

/* @user_data: guint8 **, where the next bytes go. */
static VisitResult
read_run(const StrataRun *run, ViewContent content, gpointer user_data, GError **error)
{
    guint8 **next = user_data;

    if (content != VIEW_DATA)
        memset(*next, 0, run->length);
    else if (!strata_run_read(run, 0, run->length, *next, error))
        return VISIT_FAILED;
    *next += run->length;
    return VISIT_NEXT;
}

gboolean
view_read(View *view, guint64 offset, gsize length, void *buffer, GError **error)
{
    guint8 *next = buffer;

    return visit(view, &view->to_read, offset, length, read_run, &next, error);
}

static VisitResult
prefetch_run(const StrataRun *run, ViewContent content, gpointer user_data, GError **error)
{
    if (content == VIEW_DATA)
        strata_run_prefetch(run, 0, run->length);
    return VISIT_NEXT;
}

gboolean
view_prefetch(View *view, guint64 offset, guint64 length, GError **error)
{
    return visit(view, &view->to_read, offset, length, prefetch_run, NULL, error);
}

/* The extent that is still growing, and where the finished ones go. */
typedef struct {
    guint64 offset;
    guint64 length; /* 0 before the first run */
    ViewContent content;
    gsize room; /* for how many extents, the growing one included */
    ViewExtentFunc func;
    gpointer user_data;
} Mapping;

static gboolean
finish_extent(Mapping *map)
{
    map->room--;
    return map->func(map->offset, map->length, map->content, map->user_data) && map->room > 0;
}

static VisitResult
map_run(const StrataRun *run, ViewContent content, gpointer user_data, GError **error)
{
    Mapping *map = user_data;

    if (map->length > 0 && content == map->content) {
        map->length += run->length;
        return VISIT_NEXT;
    }
    if (map->length > 0 && !finish_extent(map)) {
        map->length = 0;
        return VISIT_STOP;
    }
    map->offset = run->offset;
    map->length = run->length;
    map->content = content;
    return VISIT_NEXT;
}

gboolean
view_map(View *view, guint64 offset, guint64 length, gsize max_extents, ViewExtentFunc func,
         gpointer user_data, GError **error)
{
    Mapping map = { .room = max_extents, .func = func, .user_data = user_data };
    g_autoptr(GError) local_error = NULL;

    if (!visit(view, &view->to_map, offset, length, map_run, &map, &local_error) &&
        map.length == 0) {
        g_propagate_error(error, g_steal_pointer(&local_error));
        return FALSE;
    }
    if (map.length > 0)
        finish_extent(&map);
    return TRUE;
}
