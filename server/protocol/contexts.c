/* SPDX-License-Identifier: LGPL-2.1-or-later
 * contexts.c - a row per context family: its name, for what it exists, and where its values come
 * from. A new context is a function and a row here, a paragraph in strata-contexts(7), a test. */
#include "contexts.h"

#include "proto.h"

#include <string.h>

/* How many bitmaps a list tells of, so that it stays a list; an image may have 65,535. The others
 * are there when asked for. */
#define MAX_LISTED_BITMAPS 1024

/* What context_map() asks for at a time, on the stack. */
#define MAX_BITMAP_RUNS 256

/* For what a family exists: once, or once for each node or bitmap of a list, named behind a ':'. */
typedef enum {
    SCOPE_IMAGE,
    SCOPE_LAYERS,
    SCOPE_PATH,
    SCOPE_BITMAPS,
} Scope;

/* What a family tells, which decides who may ask. */
typedef enum {
    TELLS_CONTENT,
    TELLS_LAYERS, /* kept back where layers are hidden */
    TELLS_PLACES, /* the same; the values have 64 bits */
} Tells;

/* One of the two functions: what it says of runs, which come from the one walk that serves all such
 * contexts and tell at least @details; or the context's own way to tell of a range. */
struct _ContextFamily {
    const char *name;
    Scope scope;
    Tells tells;
    StrataDetails details;
    void (*tell)(const Context *context, const StrataRun *runs, gsize n_runs,
                 ContextExtent *extents);
    gsize (*map)(const Context *context, guint64 offset, guint64 length, ContextExtent *extents,
                 gsize max_extents, GError **error);
};

/* Bits of strata:joint. */
#define JOINT_CLAIMED     (1u << 2)
#define JOINT_COMPRESSED  (1u << 3)
#define JOINT_ENCRYPTED   (1u << 4)
#define JOINT_PAST_END    (1u << 5)
#define JOINT_LAYER_SHIFT 8

/* What is said of a claimant, by a function that takes its time, and is kept while an array of runs
 * is told of: layers come by turns. All zero: what is said of nobody. */
typedef struct {
    StrataNode *claimant;
    guint64 value;
} Known;

#define KNOWN_BITS 6

static Known *
find_known(Known *known, StrataNode *claimant)
{
    const guint64 spread = G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);

    return &known[GPOINTER_TO_SIZE(claimant) * spread >> (64 - KNOWN_BITS)];
}

typedef guint64 (*ClaimantFunc)(const Context *context, StrataNode *claimant);

static void
tell_claimants(const Context *context, const StrataRun *runs, gsize n_runs, ContextExtent *extents,
               ClaimantFunc func)
{
    Known known[1 << KNOWN_BITS] = { 0 };

    for (gsize i = 0; i < n_runs; i++) {
        StrataNode *claimant = runs[i].claimant;
        Known *found = find_known(known, claimant);

        if (found->claimant != claimant)
            *found = (Known){ claimant, claimant != NULL ? func(context, claimant) : 0 };
        extents[i] = (ContextExtent){ runs[i].length, found->value };
    }
}

/* Never a hole that is not zero: the specification calls such contents undefined, and clients drop
 * them. */
static guint64
allocation_of(const StrataRun *run)
{
    return (run->flags & STRATA_RUN_ZERO) ? NBD_STATE_HOLE | NBD_STATE_ZERO : 0;
}

static void
tell_allocation(const Context *context, const StrataRun *runs, gsize n_runs, ContextExtent *extents)
{
    for (gsize i = 0; i < n_runs; i++)
        extents[i] = (ContextExtent){ runs[i].length, allocation_of(&runs[i]) };
}

static void
tell_depth(const Context *context, const StrataRun *runs, gsize n_runs, ContextExtent *extents)
{
    for (gsize i = 0; i < n_runs; i++)
        extents[i] = (ContextExtent){ runs[i].length, runs[i].depth };
}

static guint64
is_above(const Context *context, StrataNode *claimant)
{
    return !strata_node_is_within(claimant, context->node);
}

static void
tell_above(const Context *context, const StrataRun *runs, gsize n_runs, ContextExtent *extents)
{
    tell_claimants(context, runs, n_runs, extents, is_above);
}

static void
tell_only(const Context *context, const StrataRun *runs, gsize n_runs, ContextExtent *extents)
{
    for (gsize i = 0; i < n_runs; i++)
        extents[i] = (ContextExtent){ runs[i].length, runs[i].claimant == context->node };
}

static guint64
layer_of(const Context *context, StrataNode *claimant)
{
    return export_view_layer_number(context->view, claimant);
}

static void
tell_layer(const Context *context, const StrataRun *runs, gsize n_runs, ContextExtent *extents)
{
    tell_claimants(context, runs, n_runs, extents, layer_of);
}

static guint64
joint_bits_of(const StrataRun *run)
{
    guint64 bits = allocation_of(run);

    if (run->claimant != NULL)
        bits |= JOINT_CLAIMED;
    if (run->flags & STRATA_RUN_COMPRESSED)
        bits |= JOINT_COMPRESSED;
    if (run->flags & STRATA_RUN_ENCRYPTED)
        bits |= JOINT_ENCRYPTED;
    if (run->flags & STRATA_RUN_PAST_END)
        bits |= JOINT_PAST_END;
    return bits;
}

static void
tell_joint(const Context *context, const StrataRun *runs, gsize n_runs, ContextExtent *extents)
{
    tell_layer(context, runs, n_runs, extents);
    for (gsize i = 0; i < n_runs; i++)
        extents[i].value = extents[i].value << JOINT_LAYER_SHIFT | joint_bits_of(&runs[i]);
}

/* Bytes that a format node decodes lie nowhere as they are. */
static guint64
place_of(const StrataRun *run)
{
    return run->leaf != NULL && strata_node_is_protocol(run->leaf) ? run->leaf_offset
                                                                   : CONTEXT_NO_PLACE;
}

static void
tell_leaf_offset(const Context *context, const StrataRun *runs, gsize n_runs,
                 ContextExtent *extents)
{
    for (gsize i = 0; i < n_runs; i++)
        extents[i] = (ContextExtent){ runs[i].length, place_of(&runs[i]) };
}

static gsize
map_bitmap(const Context *context, guint64 offset, guint64 length, ContextExtent *extents,
           gsize max_extents, GError **error)
{
    StrataBitmapRun runs[MAX_BITMAP_RUNS];
    gsize n = strata_bitmap_map(context->bitmap, context->view->node, offset, length, runs,
                                MIN(max_extents, MAX_BITMAP_RUNS), error);

    for (gsize i = 0; i < n; i++)
        extents[i] = (ContextExtent){
            .length = runs[i].length,
            .value = runs[i].is_dirty ? NBD_STATE_DIRTY : 0,
        };
    return n;
}

/* Of two families that a name could belong to, the first has it: a bitmap that is called
 * "above:NODE" does not hide the question about layers. */
static const ContextFamily families[] = {
    { "base:allocation", SCOPE_IMAGE, TELLS_CONTENT, STRATA_DETAIL_ZERO, tell_allocation, NULL },
    { "qemu:allocation-depth", SCOPE_IMAGE, TELLS_LAYERS, STRATA_DETAIL_DEPTH, tell_depth, NULL },
    { "qemu:dirty-bitmap:above", SCOPE_PATH, TELLS_LAYERS, STRATA_DETAIL_CLAIMANT, tell_above,
      NULL },
    { "qemu:dirty-bitmap", SCOPE_BITMAPS, TELLS_CONTENT, 0, NULL, map_bitmap },
    { "strata:joint", SCOPE_IMAGE, TELLS_LAYERS,
      STRATA_DETAIL_ZERO | STRATA_DETAIL_FLAGS | STRATA_DETAIL_CLAIMANT, tell_joint, NULL },
    { "strata:layer", SCOPE_IMAGE, TELLS_LAYERS, STRATA_DETAIL_CLAIMANT, tell_layer, NULL },
    { "strata:leaf-offset", SCOPE_IMAGE, TELLS_PLACES, STRATA_DETAIL_PLACE, tell_leaf_offset,
      NULL },
    { "strata:only", SCOPE_LAYERS, TELLS_LAYERS, STRATA_DETAIL_CLAIMANT, tell_only, NULL },
    { "strata:above", SCOPE_PATH, TELLS_LAYERS, STRATA_DETAIL_CLAIMANT, tell_above, NULL },
};

/* @leaf: (nullable): what stands behind the name of @family and ':' */
static Context *
context_new(const ContextFamily *family, const ExportView *view, const char *leaf)
{
    Context *context = g_new0(Context, 1);

    context->family = family;
    context->view = view;
    context->name =
        leaf == NULL ? g_strdup(family->name) : g_strconcat(family->name, ":", leaf, NULL);
    return context;
}

static Context *
context_new_for_node(const ContextFamily *family, const ExportView *view, StrataNode *node)
{
    Context *context = context_new(family, view, strata_node_get_name(node));

    context->node = node;
    return context;
}

static Context *
context_new_for_bitmap(const ContextFamily *family, const ExportView *view, StrataBitmap *bitmap)
{
    Context *context = context_new(family, view, strata_bitmap_get_name(bitmap));

    context->bitmap = bitmap;
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

gboolean
context_is_of_runs(const Context *context)
{
    return context->family->tell != NULL;
}

StrataDetails
context_get_details(const Context *context)
{
    return context->family->details;
}

void
context_tell(const Context *context, const StrataRun *runs, gsize n_runs, ContextExtent *extents)
{
    context->family->tell(context, runs, n_runs, extents);
}

gboolean
context_is_of_places(const Context *context)
{
    return context->family->tells == TELLS_PLACES;
}

gsize
context_map(const Context *context, guint64 offset, guint64 length, ContextExtent *extents,
            gsize max_extents, GError **error)
{
    return context->family->map(context, offset, length, extents, max_extents, error);
}

static GPtrArray *
new_list(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)context_free);
}

/* What stands in @name behind the name of @family and ':'; NULL if it does not begin so. */
static const char *
leaf_of(const ContextFamily *family, const char *name)
{
    gsize length = strlen(family->name);

    return g_str_has_prefix(name, family->name) && name[length] == ':' ? name + length + 1 : NULL;
}

/* Returns: (nullable): the node of the view that @leaf names */
static StrataNode *
find_node(const ExportView *view, const char *leaf)
{
    StrataNode *node = strata_graph_find_node(view->graph, leaf);

    return node != NULL && strata_node_is_within(node, view->node) ? node : NULL;
}

/* Returns: (nullable): the bitmap of the view that @leaf names, if it can be trusted */
static StrataBitmap *
find_bitmap(const ExportView *view, const char *leaf)
{
    StrataBitmap *bitmap = export_view_find_bitmap(view, leaf);

    return bitmap != NULL && strata_bitmap_is_consistent(bitmap) ? bitmap : NULL;
}

/* Returns: (transfer full) (nullable): the context of @family that has that whole name */
static Context *
find_in_family(const ContextFamily *family, const ExportView *view, const char *name)
{
    const char *leaf = leaf_of(family, name);
    StrataBitmap *bitmap;
    StrataNode *node;

    if (family->scope == SCOPE_IMAGE)
        return g_str_equal(name, family->name) ? context_new(family, view, NULL) : NULL;
    if (leaf == NULL)
        return NULL;
    if (family->scope == SCOPE_BITMAPS) {
        bitmap = find_bitmap(view, leaf);
        return bitmap != NULL ? context_new_for_bitmap(family, view, bitmap) : NULL;
    }
    node = find_node(view, leaf);
    return node != NULL ? context_new_for_node(family, view, node) : NULL;
}

static gboolean
is_offered(const ContextFamily *family, const ExportView *view, gboolean wide)
{
    return (family->tells == TELLS_CONTENT || !view->hides_layers) &&
           (family->tells != TELLS_PLACES || wide);
}

/* Returns: (transfer full) (nullable): the context of that whole name, listed or not. */
static Context *
find_context(const ExportView *view, const char *name, gboolean wide)
{
    Context *context = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(families) && context == NULL; i++)
        if (is_offered(&families[i], view, wide))
            context = find_in_family(&families[i], view, name);
    return context;
}

/* Whether @context may be told of: its name is a string as proto.md has it, leads to it alone, and
 * is no query for several. */
static gboolean
can_be_listed(const Context *context)
{
    g_autoptr(Context) found = NULL;

    if (strlen(context->name) > NBD_MAX_STRING || g_str_has_suffix(context->name, ":") ||
        !g_utf8_validate(context->name, -1, NULL))
        return FALSE;
    found = find_context(context->view, context->name, FALSE);
    return found != NULL && found->family == context->family;
}

static void
add_for_nodes(GPtrArray *list, const ContextFamily *family, const ExportView *view,
              GPtrArray *nodes)
{
    for (guint i = 0; i < nodes->len; i++)
        g_ptr_array_add(list, context_new_for_node(family, view, g_ptr_array_index(nodes, i)));
}

static void
add_for_bitmaps(GPtrArray *list, const ContextFamily *family, const ExportView *view)
{
    guint n_listed = 0;

    for (guint i = 0; i < view->bitmaps->len && n_listed < MAX_LISTED_BITMAPS; i++) {
        StrataBitmap *bitmap = g_ptr_array_index(view->bitmaps, i);
        g_autoptr(Context) context = context_new_for_bitmap(family, view, bitmap);

        if (!can_be_listed(context))
            continue;
        g_ptr_array_add(list, g_steal_pointer(&context));
        n_listed++;
    }
}

GPtrArray *
contexts_list(const ExportView *view, gboolean wide)
{
    g_autoptr(GPtrArray) path = strata_node_list_path(view->node);
    GPtrArray *list = new_list();

    for (gsize i = 0; i < G_N_ELEMENTS(families); i++) {
        const ContextFamily *family = &families[i];

        if (!is_offered(family, view, wide))
            continue;
        if (family->scope == SCOPE_IMAGE)
            g_ptr_array_add(list, context_new(family, view, NULL));
        else if (family->scope == SCOPE_BITMAPS)
            add_for_bitmaps(list, family, view);
        else
            add_for_nodes(list, family, view, family->scope == SCOPE_PATH ? path : view->layers);
    }
    return list;
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
add_selected(GPtrArray *list, GHashTable *names, const ExportView *view, GPtrArray *queries,
             gboolean wide)
{
    for (guint i = 0; i < queries->len; i++) {
        Context *context = find_context(view, g_ptr_array_index(queries, i), wide);

        if (context != NULL)
            add_once(list, names, context);
    }
}

GPtrArray *
contexts_query(const ExportView *view, GPtrArray *queries, gboolean wide)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) listed = contexts_list(view, wide);
    GPtrArray *list = new_list();

    for (guint i = 0; i < listed->len; i++)
        if (matches(g_ptr_array_index(listed, i), queries))
            add_once(list, names, g_steal_pointer(&g_ptr_array_index(listed, i)));
    add_selected(list, names, view, queries, wide);
    return list;
}

GPtrArray *
contexts_select(const ExportView *view, GPtrArray *queries, gboolean wide)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    GPtrArray *list = new_list();

    add_selected(list, names, view, queries, wide);
    return list;
}

/* Returns: (nullable): the bitmap that @name asks for and that is refused: it cannot be trusted */
static StrataBitmap *
find_refused(const ExportView *view, const char *name)
{
    g_autoptr(Context) context = find_context(view, name, FALSE);

    for (gsize i = 0; i < G_N_ELEMENTS(families) && context == NULL; i++) {
        const char *leaf = families[i].scope == SCOPE_BITMAPS ? leaf_of(&families[i], name) : NULL;
        StrataBitmap *bitmap = leaf != NULL ? export_view_find_bitmap(view, leaf) : NULL;

        if (bitmap != NULL)
            return bitmap;
    }
    return NULL;
}

static char *
explain_bitmap(StrataBitmap *bitmap)
{
    g_autofree char *name = strata_escape(strata_bitmap_get_name(bitmap));
    const char *damage = strata_bitmap_get_damage(bitmap);

    return g_strdup_printf("the bitmap '%s' of node '%s' %s and is not offered", name,
                           strata_node_get_name(strata_bitmap_get_node(bitmap)),
                           damage != NULL
                               ? damage
                               : "is in use: a program that wrote to the image has not closed "
                                 "it, so that the bitmap may have missed writes");
}

/* Whether only the width of its values keeps @name from a client. */
static gboolean
is_too_wide(const ExportView *view, const char *name)
{
    g_autoptr(Context) narrow = find_context(view, name, FALSE);
    g_autoptr(Context) wide = find_context(view, name, TRUE);

    return narrow == NULL && wide != NULL;
}

char *
contexts_explain_refusal(const ExportView *view, GPtrArray *queries, gboolean wide)
{
    for (guint i = 0; i < queries->len; i++) {
        const char *query = g_ptr_array_index(queries, i);
        StrataBitmap *bitmap = find_refused(view, query);

        if (bitmap != NULL)
            return explain_bitmap(bitmap);
        if (!wide && is_too_wide(view, query))
            return g_strdup_printf("the values of %s have 64 bits: it is offered to clients that "
                                   "have asked for NBD_OPT_EXTENDED_HEADERS before",
                                   query);
    }
    return NULL;
}
