/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-server-contexts.c - context values from runs, names and queries. */
#include "exports/exports.h"
#include "mem-node.h"
#include "protocol/contexts.h"

#include <glib/gstdio.h>
#include <string.h>

/* window > overlay > base; each image keeps its bytes in a leaf. */
typedef struct {
    char *folder;
    StrataGraph *graph;
    StrataNode *window, *overlay, *base;
    StrataExports *exports;
    ExportView *view;
} Fixture;

static char *
make_image(Fixture *fixture, const char *name)
{
    char *path = g_build_filename(fixture->folder, name, NULL);
    const char *argv[] = { "qemu-img", "create", "-q", "-f", "qcow2", path, "10M", NULL };
    g_autoptr(GError) error = NULL;
    int status;

    g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status,
                 &error);
    g_assert_no_error(error);
    g_assert_cmpint(status, ==, 0);
    return path;
}

static StrataGraph *
open_graph(const char *overlay, const char *base)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StrataSpec) spec = NULL;
    g_autofree char *text = g_strdup_printf(
        "json:{\"driver\": \"raw\", \"node-name\": \"window\", \"file\": {"
        "\"driver\": \"qcow2\", \"node-name\": \"overlay\","
        "\"file\": {\"driver\": \"file\", \"node-name\": \"leaf\", \"filename\": \"%s\"},"
        "\"backing\": {\"driver\": \"qcow2\", \"node-name\": \"base\","
        "\"file\": {\"driver\": \"file\", \"filename\": \"%s\"}}}}",
        overlay, base);
    StrataGraph *graph;

    spec = strata_spec_parse(text, STRATA_SPEC_FILENAME, NULL, &error);
    g_assert_no_error(error);
    graph = strata_graph_open(spec, NULL, &error);
    g_assert_no_error(error);
    return graph;
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *overlay = NULL;
    g_autofree char *base = NULL;

    fixture->folder = g_dir_make_tmp("st.XXXXXX", &error);
    g_assert_no_error(error);
    overlay = make_image(fixture, "overlay");
    base = make_image(fixture, "base");
    fixture->graph = open_graph(overlay, base);
    fixture->window = strata_graph_find_node(fixture->graph, "window");
    fixture->overlay = strata_graph_find_node(fixture->graph, "overlay");
    fixture->base = strata_graph_find_node(fixture->graph, "base");
    g_unlink(overlay);
    g_unlink(base);
    fixture->exports = strata_exports_new();
    g_assert_true(strata_exports_add(fixture->exports, "vm", NULL, fixture->graph, &error));
    fixture->view = exports_find(fixture->exports, NULL, "vm", NULL);
    g_assert_nonnull(fixture->view);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    export_view_free(fixture->view);
    strata_exports_free(fixture->exports);
    strata_graph_unref(fixture->graph);
    g_rmdir(fixture->folder);
    g_free(fixture->folder);
}

static GPtrArray *
select_in(const ExportView *view, const char *name)
{
    g_autoptr(GPtrArray) queries = g_ptr_array_new();
    GPtrArray *contexts;

    g_ptr_array_add(queries, (gpointer)name);
    contexts = contexts_select(view, queries, FALSE);
    g_assert_cmpuint(contexts->len, ==, 1);
    return contexts;
}

static guint64
value_of(const Context *context, const StrataRun *run)
{
    ContextExtent extent;

    context_tell(context, run, 1, &extent);
    g_assert_cmpuint(extent.length, ==, run->length);
    return extent.value;
}

static void
assert_value(Fixture *fixture, const char *name, const StrataRun *run, guint32 expected)
{
    g_autoptr(GPtrArray) contexts = select_in(fixture->view, name);

    g_assert_cmphex(value_of(g_ptr_array_index(contexts, 0), run), ==, expected);
}

static void
test_values(Fixture *fixture, gconstpointer data)
{
    guint layer = export_view_layer_number(fixture->view, fixture->base);
    StrataRun nobody = { .length = 1, .flags = STRATA_RUN_ZERO };
    StrataRun run = { .length = 1, .claimant = fixture->base, .depth = 2 };

    g_assert_cmpuint(layer, >, 0);
    assert_value(fixture, "base:allocation", &run, 0);
    assert_value(fixture, "qemu:allocation-depth", &run, 2);
    assert_value(fixture, "strata:layer", &run, layer);
    assert_value(fixture, "strata:only:base", &run, 1);
    assert_value(fixture, "strata:only:overlay", &run, 0);
    assert_value(fixture, "strata:above:base", &run, 0);
    assert_value(fixture, "strata:above:leaf", &run, 1);
    assert_value(fixture, "strata:joint", &run, 4 | layer << 8);
    run.claimant = fixture->overlay;
    assert_value(fixture, "strata:above:base", &run, 1);
    assert_value(fixture, "qemu:dirty-bitmap:above:base", &run, 1);
    assert_value(fixture, "qemu:dirty-bitmap:above:overlay", &run, 0);

    run.claimant = fixture->base;
    run.flags = STRATA_RUN_ZERO | STRATA_RUN_PAST_END;
    assert_value(fixture, "base:allocation", &run, 3);
    assert_value(fixture, "strata:joint", &run, 0x27 | layer << 8);
    run.flags = STRATA_RUN_COMPRESSED | STRATA_RUN_ENCRYPTED;
    assert_value(fixture, "base:allocation", &run, 0);
    assert_value(fixture, "strata:joint", &run, 0x1c | layer << 8);

    assert_value(fixture, "base:allocation", &nobody, 3);
    assert_value(fixture, "qemu:allocation-depth", &nobody, 0);
    assert_value(fixture, "strata:layer", &nobody, 0);
    assert_value(fixture, "strata:above:base", &nobody, 0);
    assert_value(fixture, "strata:only:base", &nobody, 0);
    assert_value(fixture, "strata:joint", &nobody, 3);
}

static void
test_nodes_of_other_views(Fixture *fixture, gconstpointer data)
{
    g_autoptr(ExportView) view = exports_find(fixture->exports, NULL, "vm@base", NULL);
    g_autoptr(GPtrArray) queries = g_ptr_array_new();
    g_autoptr(GPtrArray) contexts = NULL;

    g_ptr_array_add(queries, (gpointer) "strata:only:overlay");
    g_ptr_array_add(queries, (gpointer) "strata:only:base");
    contexts = contexts_select(view, queries, FALSE);
    g_assert_cmpuint(contexts->len, ==, 1);
    g_assert_cmpstr(((Context *)g_ptr_array_index(contexts, 0))->name, ==, "strata:only:base");
}

static void
test_exports(Fixture *fixture, gconstpointer data)
{
    g_autofree char *chain = exports_describe_chain(fixture->window);
    g_autoptr(GError) error = NULL;

    g_assert_cmpstr(chain, ==, "window (raw window) > overlay (qcow2) > base (qcow2)");
    g_assert_null(exports_find(fixture->exports, NULL, "vm@leaf", NULL));
    g_assert_null(exports_find(fixture->exports, NULL, "vm@", NULL));
    g_assert_null(exports_find(fixture->exports, NULL, "@base", NULL));
    g_assert_false(strata_exports_add(fixture->exports, "vm", NULL, fixture->graph, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_SPEC);
}

static gboolean
note_export(const char *name, const char *description, gpointer data)
{
    GString *names = data;

    g_string_append_printf(names, "'%s'", name);
    return TRUE;
}

/* What a server of a chain of two tells, as driver-nbd.c puts it. */
static StrataGraph *
open_remote_chain(StrataDriver *driver)
{
    static const MemExtent extents[] = {
        { 0, { .length = 1024, .kind = STRATA_ANSWER_OWN, .layer = 1 } },
        { 1024, { .length = 1024, .kind = STRATA_ANSWER_ZERO, .layer = 2, .depth = 1 } },
    };
    static const char *const names[] = { "far/top", "far/base" };
    StrataNode *window = mem_window_new("window", 4096, 0);
    StrataNode *far = mem_node_new("far", 4096, extents, G_N_ELEMENTS(extents));
    StrataNode *above = far;

    *driver = *far->driver;
    driver->is_protocol = TRUE;
    far->driver = driver;
    far->tells_depth = TRUE;
    far->forward_roles = 1 << STRATA_ROLE_BACKING;
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        StrataNode *layer = g_new0(StrataNode, 1);

        layer->driver = &strata_driver_remote;
        layer->name = g_strdup(names[i]);
        layer->size = far->size;
        layer->claims = TRUE;
        layer->forward_roles = i + 1 < G_N_ELEMENTS(names) ? 1 << STRATA_ROLE_BACKING : 0;
        mem_node_attach(above, STRATA_ROLE_BACKING, layer);
        above = layer;
        far->n_layers++;
    }
    return mem_graph_new(mem_node_attach(window, STRATA_ROLE_FILE, far));
}

static guint32
value_at(const ExportView *view, const char *name, guint64 offset)
{
    g_autoptr(StrataWalk) walk = strata_walk_new(view->node);
    g_autoptr(GPtrArray) contexts = select_in(view, name);
    g_autoptr(GError) error = NULL;
    const StrataRun *runs;
    gsize n;

    runs = strata_walk_resolve(walk, offset, 1, &n, &error);
    g_assert_no_error(error);
    return value_of(contexts->pdata[0], runs);
}

/* Layers behind a server are layers in every context, and have no exports of their own. */
static void
test_remote_layers(void)
{
    StrataDriver driver;
    g_autoptr(StrataGraph) graph = open_remote_chain(&driver);
    g_autoptr(StrataExports) exports = strata_exports_new();
    g_autoptr(GString) names = g_string_new(NULL);
    g_autoptr(ExportView) view = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(strata_exports_add(exports, "", NULL, graph, &error));
    view = exports_find(exports, NULL, "", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(value_at(view, "qemu:allocation-depth", 0), ==, 1);
    g_assert_cmpuint(value_at(view, "qemu:allocation-depth", 1024), ==, 2);
    g_assert_cmpuint(value_at(view, "qemu:allocation-depth", 2048), ==, 0);
    g_assert_cmpuint(value_at(view, "strata:only:far/top", 0), ==, 1);
    g_assert_cmpuint(value_at(view, "strata:only:far/base", 0), ==, 0);
    g_assert_cmpuint(value_at(view, "strata:only:far/base", 1024), ==, 1);
    g_assert_cmpuint(value_at(view, "strata:above:far/base", 0), ==, 1);
    g_assert_cmpuint(value_at(view, "qemu:dirty-bitmap:above:far/base", 1024), ==, 0);
    g_assert_cmpuint(value_at(view, "strata:above:far/top", 0), ==, 0);
    g_assert_cmpuint(value_at(view, "strata:layer", 0), <, value_at(view, "strata:layer", 1024));
    g_assert_cmphex(value_at(view, "strata:joint", 1024), ==,
                    7 | value_at(view, "strata:layer", 1024) << 8);

    exports_list(exports, NULL, note_export, NULL, names);
    g_assert_cmpstr(names->str, ==, "'''@window''@far'");
    g_assert_null(exports_find(exports, NULL, "@far/top", NULL));
    g_assert_null(exports_find(exports, NULL, "@far/base", NULL));
}

/* The exact name of an export goes before NAME@NODE. */
static void
test_exact_name_first(Fixture *fixture, gconstpointer data)
{
    g_autoptr(ExportView) view = NULL;
    g_autoptr(GError) error = NULL;

    strata_exports_add(fixture->exports, "vm@base", NULL, fixture->graph, &error);
    g_assert_no_error(error);
    view = exports_find(fixture->exports, NULL, "vm@base", NULL);
    g_assert_true(view->node == fixture->window);
}

/* A chain so long that its nodes share places in whatever tells them apart. */
static StrataGraph *
open_long_chain(guint n_layers)
{
    const MemExtent half = { 0, { .length = 512, .kind = STRATA_ANSWER_ZERO } };
    StrataNode *top = NULL, *above = NULL;

    for (guint i = 0; i < n_layers; i++) {
        g_autofree char *name = g_strdup_printf("layer-%u", i);
        StrataNode *layer = mem_node_new(name, 1024, &half, 1);

        if (above != NULL)
            mem_node_attach(above, STRATA_ROLE_BACKING, layer);
        else
            top = layer;
        above = layer;
    }
    return mem_graph_new(top);
}

static void
assert_long_chain(const ExportView *view, const StrataRun *runs, guint n_runs)
{
    g_autoptr(GPtrArray) layer = select_in(view, "strata:layer");
    g_autoptr(GPtrArray) above = select_in(view, "strata:above:layer-50");
    g_autofree ContextExtent *layers = g_new(ContextExtent, n_runs);
    g_autofree ContextExtent *aboves = g_new(ContextExtent, n_runs);
    const Context *context = above->pdata[0];

    context_tell(layer->pdata[0], runs, n_runs, layers);
    context_tell(context, runs, n_runs, aboves);
    for (guint i = 0; i < n_runs; i++) {
        StrataNode *claimant = runs[i].claimant;

        g_assert_cmpuint(layers[i].value, ==, export_view_layer_number(view, claimant));
        g_assert_cmpuint(aboves[i].value, ==,
                         claimant != NULL && !strata_node_is_within(claimant, context->node));
    }
}

static void
test_many_layers(void)
{
    const guint n_layers = 100, n_runs = 2000;
    g_autoptr(StrataGraph) graph = open_long_chain(n_layers);
    g_autoptr(StrataExports) exports = strata_exports_new();
    g_autofree StrataRun *runs = g_new0(StrataRun, n_runs);
    g_autoptr(ExportView) view = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(strata_exports_add(exports, "", NULL, graph, &error));
    view = exports_find(exports, NULL, "", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(view->layers->len, ==, n_layers);
    for (guint i = 0; i < n_runs; i++) {
        gint32 number = g_test_rand_int_range(0, (gint32)n_layers + 1);

        runs[i].length = 1;
        runs[i].claimant = number > 0 ? view->layers->pdata[number - 1] : NULL;
    }
    assert_long_chain(view, runs, n_runs);
}

/* What a change of a run's @detail makes of it. */
static StrataRun
change(const StrataRun *run, StrataDetails detail, const Fixture *fixture)
{
    StrataRun other = *run;

    if (detail == STRATA_DETAIL_ZERO)
        other.flags ^= STRATA_RUN_ZERO;
    if (detail == STRATA_DETAIL_FLAGS)
        other.flags ^= STRATA_RUN_COMPRESSED | STRATA_RUN_ENCRYPTED | STRATA_RUN_PAST_END;
    if (detail == STRATA_DETAIL_DEPTH)
        other.depth++;
    if (detail == STRATA_DETAIL_CLAIMANT)
        other.claimant = fixture->base;
    if (detail == STRATA_DETAIL_PLACE)
        other.leaf_offset++;
    return other;
}

/* A walk merges what differs in nothing that was asked for; so each context asks for all that its
 * values are made of. */
static void
test_details(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GPtrArray) contexts = contexts_list(fixture->view, TRUE);
    const StrataRun run = { .length = 1,
                            .claimant = fixture->overlay,
                            .leaf = strata_graph_find_node(fixture->graph, "leaf"),
                            .depth = 1 };
    StrataDetails told = 0;

    for (guint i = 0; i < contexts->len; i++)
        for (StrataDetails detail = 1; detail < STRATA_DETAIL_ALL; detail <<= 1) {
            const Context *context = contexts->pdata[i];
            StrataRun other = change(&run, detail, fixture);

            if (value_of(context, &run) == value_of(context, &other))
                continue;
            g_assert_cmphex(context_get_details(context) & detail, ==, detail);
            told |= detail;
        }
    g_assert_cmphex(told, ==, STRATA_DETAIL_ALL);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/contexts/values", Fixture, NULL, set_up, test_values, tear_down);
    g_test_add("/contexts/other-views", Fixture, NULL, set_up, test_nodes_of_other_views,
               tear_down);
    g_test_add_func("/contexts/remote-layers", test_remote_layers);
    g_test_add("/contexts/details", Fixture, NULL, set_up, test_details, tear_down);
    g_test_add_func("/contexts/many-layers", test_many_layers);
    g_test_add("/exports/names", Fixture, NULL, set_up, test_exports, tear_down);
    g_test_add("/exports/exact-name-first", Fixture, NULL, set_up, test_exact_name_first,
               tear_down);
    return g_test_run();
}
