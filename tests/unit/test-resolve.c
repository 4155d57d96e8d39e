/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-resolve.c - the walk, on scripted nodes: the worked examples of docs/resolving.md, its
 * borders, and random graphs against a model that asks byte by byte. */
#include <strata/error.h>
#include <strata/read.h>

#include <string.h>

#include "mem-node.h"
#include "walk-model.h"
#include "walk.h"

#define M (1024 * 1024ull)

static MemExtent
data(guint64 offset, guint64 length, guint64 child_offset)
{
    return (MemExtent){ offset,
                        { .length = length,
                          .child_offset = child_offset,
                          .kind = STRATA_ANSWER_DATA,
                          .role = STRATA_ROLE_FILE } };
}

static MemExtent
zero(guint64 offset, guint64 length)
{
    return (MemExtent){ offset, { .length = length, .kind = STRATA_ANSWER_ZERO } };
}

static MemExtent
forward(guint64 offset, guint64 length, guint64 child_offset)
{
    return (MemExtent){ offset,
                        { .length = length,
                          .child_offset = child_offset,
                          .kind = STRATA_ANSWER_FORWARD,
                          .role = STRATA_ROLE_BACKING } };
}

static MemExtent
own(guint64 offset, guint64 length, guint flags)
{
    return (MemExtent){ offset, { .length = length, .kind = STRATA_ANSWER_OWN, .flags = flags } };
}

/* A protocol leaf of @size bytes that answers for data, and remembers nothing. */
static StrataNode *
leaf(const char *name, guint64 size)
{
    MemExtent all = own(0, size, 0);

    return mem_node_new(name, size, &all, 1);
}

/* The chain of docs/resolving.md below whatever is attached above it. */
static StrataNode *
overlay_over_base(void)
{
    MemExtent base_map[] = { data(0, M, 65536) };
    MemExtent overlay_map[] = { forward(0, 2 * M, 0), data(2 * M, M, 65536),
                                forward(3 * M, M, 3 * M), zero(4 * M, M),
                                forward(5 * M, 5 * M, 5 * M) };
    StrataNode *base = mem_node_new("base", 10 * M, base_map, G_N_ELEMENTS(base_map));
    StrataNode *overlay = mem_node_new("overlay", 10 * M, overlay_map, G_N_ELEMENTS(overlay_map));

    mem_node_attach(base, STRATA_ROLE_FILE, leaf("base-file", 2 * M));
    mem_node_attach(overlay, STRATA_ROLE_FILE, leaf("overlay-file", 4 * M));
    return mem_node_attach(overlay, STRATA_ROLE_BACKING, base);
}

static gboolean
same_answer(const StrataRun *a, const StrataRun *b)
{
    return a->claimant == b->claimant && a->depth == b->depth && a->flags == b->flags &&
           a->leaf == b->leaf && (!a->leaf || a->leaf_offset + a->length == b->leaf_offset);
}

/* The whole map of @walk's node from @offset on, a line a run, runs of several calls joined. */
static char *
map_of(StrataWalk *walk, guint64 offset, guint64 step)
{
    g_autoptr(GString) text = g_string_new(NULL);
    guint64 size = strata_node_get_size(strata_walk_get_node(walk));
    StrataRun last = { 0 };

    while (offset < size) {
        g_autoptr(GError) error = NULL;
        gsize n;
        const StrataRun *runs =
            strata_walk_resolve(walk, offset, MIN(step, size - offset), &n, &error);

        g_assert_no_error(error);
        g_assert_cmpuint(n, >, 0);
        for (gsize i = 0; i < n; i++) {
            g_assert_cmpuint(runs[i].offset, ==, offset);
            g_assert_cmpuint(runs[i].length, >, 0);
            offset += runs[i].length;
            if (last.length && same_answer(&last, &runs[i])) {
                last.length += runs[i].length;
                continue;
            }
            if (last.length) {
                g_autofree char *line = run_to_string(&last);
                g_string_append(text, line);
            }
            last = runs[i];
        }
    }
    if (last.length) {
        g_autofree char *line = run_to_string(&last);
        g_string_append(text, line);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* The map of a graph is @expected, in whatever pieces it is asked and with however little room. */
static void
assert_map(StrataNode *top, const char *expected)
{
    static const guint64 steps[] = { G_MAXUINT64, 3 * M + 7, 300000 };
    static const guint rooms[] = { 4096, 3, 1 };

    for (gsize i = 0; i < G_N_ELEMENTS(steps); i++) {
        for (gsize j = 0; j < G_N_ELEMENTS(rooms); j++) {
            g_autoptr(StrataWalk) walk = walk_new_sized(top, rooms[j]);
            g_autofree char *map = map_of(walk, 0, steps[i]);

            g_assert_cmpstr(map, ==, expected);
        }
    }
}

static void
test_window_over_overlay_over_base(void)
{
    StrataNode *window = mem_window_new("window", 10 * M, 0);
    g_autoptr(StrataGraph) graph =
        mem_graph_new(mem_node_attach(window, STRATA_ROLE_FILE, overlay_over_base()));

    assert_map(window, "0+1048576 data 2 base base-file@65536\n"
                       "1048576+1048576 zero 0 - -@0\n"
                       "2097152+1048576 data 1 overlay overlay-file@65536\n"
                       "3145728+1048576 zero 0 - -@0\n"
                       "4194304+1048576 zero 1 overlay -@0\n"
                       "5242880+5242880 zero 0 - -@0\n");
}

static void
test_window_with_offset(void)
{
    StrataNode *window = mem_window_new("window", 4 * M, 65536);
    g_autoptr(StrataGraph) graph =
        mem_graph_new(mem_node_attach(window, STRATA_ROLE_FILE, overlay_over_base()));

    assert_map(window, "0+983040 data 2 base base-file@131072\n"
                       "983040+1048576 zero 0 - -@0\n"
                       "2031616+1048576 data 1 overlay overlay-file@65536\n"
                       "3080192+1048576 zero 0 - -@0\n"
                       "4128768+65536 zero 1 overlay -@0\n");
}

/* What outer holds is claimed by outer; zeros and leaf come from inner's own graph, without depth.
 */
static void
test_image_in_image(void)
{
    MemExtent outer_map[] = { data(0, M, 0), data(M, M, 2 * M), data(2 * M, M, M),
                              data(3 * M, M, 4 * M) };
    StrataNode *outer = mem_node_new("outer", 5 * M, outer_map, G_N_ELEMENTS(outer_map));
    g_autoptr(StrataGraph) graph =
        mem_graph_new(mem_node_attach(outer, STRATA_ROLE_FILE, overlay_over_base()));

    assert_map(outer, "0+1048576 data 1 outer base-file@65536\n"
                      "1048576+1048576 data 1 outer overlay-file@65536\n"
                      "2097152+2097152 zero 1 outer -@0\n"
                      "4194304+1048576 zero 0 - -@0\n");
}

static void
test_short_layer_claims_past_its_end(void)
{
    MemExtent top_map[] = { forward(0, 4 * M, 0) };
    MemExtent middle_map[] = { forward(0, 2 * M + 100, 0) };
    MemExtent bottom_map[] = { data(0, M - 50, 0) };
    StrataNode *top = mem_node_new("top", 4 * M, top_map, 1);
    StrataNode *middle = mem_node_new("middle", 2 * M + 100, middle_map, 1);
    StrataNode *bottom = mem_node_new("bottom", M - 50, bottom_map, 1);
    g_autoptr(StrataGraph) graph = NULL;

    mem_node_attach(bottom, STRATA_ROLE_FILE, leaf("bottom-file", M));
    mem_node_attach(middle, STRATA_ROLE_BACKING, bottom);
    graph = mem_graph_new(mem_node_attach(top, STRATA_ROLE_BACKING, middle));
    assert_map(top, "0+1048526 data 3 bottom bottom-file@0\n"
                    "1048526+1048726 zero,past-end 3 bottom -@0\n"
                    "2097252+2097052 zero,past-end 2 middle -@0\n");
}

/* A window claims nothing of its own, but as a backing file that is too short it is the layer that
 * ends there. */
static void
test_short_window_as_backing(void)
{
    MemExtent top_map[] = { forward(0, 4 * M, 0) };
    MemExtent image_map[] = { zero(0, 3 * M) };
    StrataNode *top = mem_node_new("top", 4 * M, top_map, 1);
    StrataNode *window = mem_window_new("window", M, M);
    g_autoptr(StrataGraph) graph = NULL;

    mem_node_attach(window, STRATA_ROLE_FILE, mem_node_new("image", 3 * M, image_map, 1));
    graph = mem_graph_new(mem_node_attach(top, STRATA_ROLE_BACKING, window));
    assert_map(top, "0+1048576 zero 2 image -@0\n"
                    "1048576+3145728 zero,past-end 2 window -@0\n");
}

/* Inside a claimant's storage a short backing file makes zeros, and no claim. */
static void
test_short_layer_inside_storage(void)
{
    MemExtent outer_map[] = { data(0, 2 * M, 0) };
    MemExtent inner_map[] = { forward(0, 2 * M, 0) };
    StrataNode *outer = mem_node_new("outer", 2 * M, outer_map, 1);
    StrataNode *inner = mem_node_new("inner", 2 * M, inner_map, 1);
    g_autoptr(StrataGraph) graph = NULL;

    mem_node_attach(inner, STRATA_ROLE_BACKING, leaf("inner-base", M));
    graph = mem_graph_new(mem_node_attach(outer, STRATA_ROLE_FILE, inner));
    assert_map(outer, "0+1048576 data 1 outer inner-base@0\n"
                      "1048576+1048576 zero 1 outer -@0\n");
}

/* Status keeps the claim; reading is an error that names where storage ends. */
static void
test_storage_that_ends_early(void)
{
    MemExtent map[] = { data(0, 2 * M, 0) };
    StrataNode *image = mem_node_new("image", 2 * M, map, 1);
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataWalk) walk = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree guint8 *bytes = g_malloc0(M);
    guint8 byte;

    graph =
        mem_graph_new(mem_node_attach(image, STRATA_ROLE_FILE, mem_leaf_new("file", bytes, M - 1)));
    assert_map(image, "0+2097152 data 1 image file@0\n");
    walk = strata_walk_new(image);
    g_assert_true(strata_walk_read(walk, M - 2, 1, &byte, &error));
    g_assert_no_error(error);
    g_assert_false(strata_walk_read(walk, M - 1, 1, &byte, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
    g_assert_nonnull(strstr(error->message, "0xfffff"));
}

static void
test_encoded_runs_are_read_by_their_format(void)
{
    MemExtent map[] = { own(0, M, STRATA_RUN_COMPRESSED), own(M, M, 0) };
    StrataNode *image = mem_node_new("image", 2 * M, map, 2);
    g_autoptr(StrataGraph) graph = mem_graph_new(image);

    assert_map(image, "0+1048576 data,compressed 1 image image@0\n"
                      "1048576+1048576 data 1 image image@1048576\n");
}

static void
test_answers_in_small_portions(void)
{
    StrataNode *top = overlay_over_base();
    g_autoptr(StrataGraph) graph = mem_graph_new(top);

    mem_node_set_max_answers(top, 1);
    mem_node_set_max_answers(top->children[STRATA_ROLE_BACKING], 1);
    assert_map(top, "0+1048576 data 2 base base-file@65536\n"
                    "1048576+1048576 zero 0 - -@0\n"
                    "2097152+1048576 data 1 overlay overlay-file@65536\n"
                    "3145728+1048576 zero 0 - -@0\n"
                    "4194304+1048576 zero 1 overlay -@0\n"
                    "5242880+5242880 zero 0 - -@0\n");
}

/* Damage in a layer below hurts where that layer is asked, and nowhere else. */
static void
test_fault_hurts_its_range_only(void)
{
    StrataNode *top = overlay_over_base();
    g_autoptr(StrataGraph) graph = mem_graph_new(top);
    g_autoptr(StrataWalk) walk = strata_walk_new(top);
    g_autoptr(GError) error = NULL;
    const StrataRun *runs;
    gsize n;

    mem_node_set_fault(top->children[STRATA_ROLE_BACKING], M + 10);
    runs = strata_walk_resolve(walk, 0, 10 * M, &n, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(runs[n - 1].offset + runs[n - 1].length, ==, M + 10);
    g_assert_null(strata_walk_resolve(walk, M + 10, 9 * M - 10, &n, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
    g_clear_error(&error);
    mem_node_set_fault(top->children[STRATA_ROLE_BACKING], 2 * M + 10);
    runs = strata_walk_resolve(walk, M, 9 * M, &n, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(runs[n - 1].offset + runs[n - 1].length, ==, 10 * M);
}

static void
test_broken_contract_is_an_error(void)
{
    static const struct {
        StrataAnswer answer;
        const char *words;
    } cases[] = {
        { { .length = M, .kind = 77 }, "unknown kind" },
        { { .length = M, .kind = STRATA_ANSWER_DATA, .role = STRATA_ROLE_DATA_FILE }, "child" },
        { { .length = M, .kind = STRATA_ANSWER_FORWARD, .role = 9 }, "child" },
        { { .length = M, .kind = STRATA_ANSWER_DATA, .child_offset = G_MAXUINT64 - 5 }, "wraps" },
        { { .length = M, .kind = STRATA_ANSWER_FORWARD, .child_offset = 1 }, "past the end" },
        { { .length = M, .kind = STRATA_ANSWER_ZERO, .flags = STRATA_RUN_COMPRESSED }, "flags" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        MemExtent map = { 0, cases[i].answer };
        StrataNode *top = mem_node_new("top", M, &map, 1);
        g_autoptr(StrataGraph) graph =
            mem_graph_new(mem_node_attach(top, STRATA_ROLE_FILE, leaf("file", M)));
        g_autoptr(StrataWalk) walk = strata_walk_new(top);
        g_autoptr(GError) error = NULL;
        gsize n;

        g_assert_null(strata_walk_resolve(walk, 0, M, &n, &error));
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_INTERNAL);
        g_assert_nonnull(strstr(error->message, cases[i].words));
    }
}

static void
test_window_must_not_claim(void)
{
    MemExtent map = zero(0, M);
    StrataNode *top = mem_node_new("top", M, &map, 1);
    g_autoptr(StrataGraph) graph = mem_graph_new(top);
    g_autoptr(StrataWalk) walk = strata_walk_new(top);
    g_autoptr(GError) error = NULL;
    gsize n;

    top->claims = FALSE;
    g_assert_null(strata_walk_resolve(walk, 0, M, &n, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_INTERNAL);
}

/* What a server that tells depth says of a range: @edges were crossed over there. */
static MemExtent
remote(guint64 offset, guint64 length, guint8 kind, guint edges, guint layer, guint flags)
{
    return (MemExtent){
        offset, { .length = length, .kind = kind, .depth = edges, .layer = layer, .flags = flags }
    };
}

static StrataNode *
layer_behind(const char *name, guint64 size)
{
    StrataNode *layer = mem_node_new(name, size, NULL, 0);

    layer->forward_roles = 1 << STRATA_ROLE_BACKING;
    return layer;
}

/* A leaf that answers for two layers of another machine. */
static StrataNode *
server_with_layers(const MemExtent *extents, gsize n_extents)
{
    StrataNode *server = mem_node_new("server", 10 * M, extents, n_extents);
    StrataNode *bottom = layer_behind("server/base", 10 * M);

    server->tells_depth = TRUE;
    server->claims = FALSE;
    server->forward_roles = 1 << STRATA_ROLE_BACKING;
    server->n_layers = 2;
    mem_node_attach(
        server, STRATA_ROLE_BACKING,
        mem_node_attach(layer_behind("server/overlay", 10 * M), STRATA_ROLE_BACKING, bottom));
    return server;
}

/* Depths add up, and the layers of the server claim; nothing goes on to them. */
static void
test_layers_behind_a_server(void)
{
    MemExtent over_there[] = {
        remote(0, M, STRATA_ANSWER_OWN, 1, 2, STRATA_RUN_COMPRESSED),
        remote(2 * M, M, STRATA_ANSWER_OWN, 0, 1, 0),
        remote(4 * M, M, STRATA_ANSWER_ZERO, 0, 1, 0),
        remote(9 * M, M, STRATA_ANSWER_ZERO, 1, 2, STRATA_RUN_PAST_END),
    };
    MemExtent here[] = { forward(0, 6 * M, 0), zero(6 * M, M), forward(7 * M, 3 * M, 7 * M) };
    StrataNode *window = mem_window_new("window", 10 * M, 0);
    StrataNode *top = mem_node_new("top", 10 * M, here, G_N_ELEMENTS(here));
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GPtrArray) layers = NULL;

    mem_node_attach(window, STRATA_ROLE_FILE,
                    server_with_layers(over_there, G_N_ELEMENTS(over_there)));
    mem_node_attach(top, STRATA_ROLE_BACKING, window);
    graph = mem_graph_new(top);
    assert_map(top, "0+1048576 data,compressed 3 server/base server@0\n"
                    "1048576+1048576 zero 0 - -@0\n"
                    "2097152+1048576 data 2 server/overlay server@2097152\n"
                    "3145728+1048576 zero 0 - -@0\n"
                    "4194304+1048576 zero 2 server/overlay -@0\n"
                    "5242880+1048576 zero 0 - -@0\n"
                    "6291456+1048576 zero 1 top -@0\n"
                    "7340032+2097152 zero 0 - -@0\n"
                    "9437184+1048576 zero,past-end 3 server/base -@0\n");
    layers = strata_node_list_layers(top);
    g_assert_cmpuint(layers->len, ==, 3);
    g_assert_cmpstr(strata_node_get_name(layers->pdata[1]), ==, "server/overlay");
    g_assert_cmpstr(strata_node_get_name(layers->pdata[2]), ==, "server/base");
    g_assert_true(strata_node_is_within(layers->pdata[2], layers->pdata[1]));
}

/* A server that tells depth and no layers claims as a whole. */
static void
test_depth_behind_a_server(void)
{
    MemExtent over_there[] = {
        remote(0, M, STRATA_ANSWER_OWN, 3, 0, 0),
        remote(M, M, STRATA_ANSWER_ZERO, 0, 0, 0),
    };
    StrataNode *window = mem_window_new("window", 3 * M, 0);
    StrataNode *server = mem_node_new("server", 3 * M, over_there, G_N_ELEMENTS(over_there));
    g_autoptr(StrataGraph) graph = NULL;

    server->tells_depth = TRUE;
    server->forward_roles = 0;
    mem_node_attach(window, STRATA_ROLE_FILE, server);
    graph = mem_graph_new(window);
    assert_map(window, "0+1048576 data 4 server server@0\n"
                       "1048576+1048576 zero 1 server -@0\n"
                       "2097152+1048576 zero 0 - -@0\n");
}

/* Within the storage of a claimant a server tells content, and neither claims nor counts. */
static void
test_server_as_storage(void)
{
    MemExtent over_there[] = {
        remote(0, M, STRATA_ANSWER_OWN, 1, 2, 0),
        remote(M, M, STRATA_ANSWER_ZERO, 1, 2, STRATA_RUN_PAST_END),
    };
    MemExtent map[] = { data(0, 3 * M, 0) };
    StrataNode *image = mem_node_new("image", 3 * M, map, 1);
    g_autoptr(StrataGraph) graph = NULL;

    mem_node_attach(image, STRATA_ROLE_FILE,
                    server_with_layers(over_there, G_N_ELEMENTS(over_there)));
    graph = mem_graph_new(image);
    assert_map(image, "0+1048576 data 1 image server@0\n"
                      "1048576+2097152 zero 1 image -@0\n");
}

static void
test_server_that_breaks_the_contract(void)
{
    static const struct {
        gboolean tells_depth;
        StrataAnswer answer;
        const char *words;
    } cases[] = {
        { TRUE, { .length = M, .kind = STRATA_ANSWER_OWN }, "window" },
        { TRUE, { .length = M, .kind = STRATA_ANSWER_OWN, .layer = 3 }, "does not have" },
        { TRUE, { .length = M, .kind = STRATA_ANSWER_ABSENT, .layer = 1 }, "does not have" },
        { FALSE, { .length = M, .kind = STRATA_ANSWER_OWN, .layer = 1, .depth = 1 }, "depth" },
        { FALSE,
          { .length = M, .kind = STRATA_ANSWER_ZERO, .layer = 1, .flags = STRATA_RUN_PAST_END },
          "depth" },
        { FALSE,
          { .length = M, .kind = STRATA_ANSWER_ZERO, .layer = 1, .flags = STRATA_RUN_ENCRYPTED },
          "flags" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        MemExtent map = { 0, cases[i].answer };
        StrataNode *server = server_with_layers(&map, 1);
        g_autoptr(StrataGraph) graph = mem_graph_new(server);
        g_autoptr(StrataWalk) walk = strata_walk_new(server);
        g_autoptr(GError) error = NULL;
        gsize n;

        server->tells_depth = cases[i].tells_depth;
        g_assert_null(strata_walk_resolve(walk, 0, M, &n, &error));
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_INTERNAL);
        g_assert_nonnull(strstr(error->message, cases[i].words));
    }
}

static void
test_range_out_of_bounds(void)
{
    static const guint64 cases[][2] = { { 0, 0 }, { M, 1 }, { 0, M + 1 }, { 1, G_MAXUINT64 } };
    g_autoptr(StrataGraph) graph = mem_graph_new(leaf("leaf", M));
    g_autoptr(StrataWalk) walk = strata_walk_new(strata_graph_get_top(graph));

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        gsize n;

        g_assert_null(strata_walk_resolve(walk, cases[i][0], cases[i][1], &n, &error));
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT);
    }
}

/* A chain is walked without recursion and each layer asked once, however long it is. */
static void
test_long_chain(void)
{
    MemExtent all = forward(0, M, 0);
    StrataNode *top = mem_node_new("layer", M, &all, 1);
    StrataNode *last = top;
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataWalk) walk = NULL;
    g_autofree char *map = NULL;

    for (guint i = 1; i < 20000; i++) {
        StrataNode *next = mem_node_new("layer", M, &all, 1);

        mem_node_attach(last, STRATA_ROLE_BACKING, next);
        last = next;
    }
    mem_node_attach(last, STRATA_ROLE_BACKING, leaf("bottom", M));
    graph = mem_graph_new(top);
    walk = strata_walk_new(top);
    map = map_of(walk, 0, G_MAXUINT64);
    g_assert_cmpstr(map, ==, "0+1048576 data 20001 bottom bottom@0\n");
}

/* Every layer is asked once for a window, not once for each piece of it. */
static void
test_asks_once_per_window(void)
{
    g_autofree MemExtent *top_map = g_new(MemExtent, 1000);
    g_autofree MemExtent *base_map = g_new(MemExtent, 1000);
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataWalk) walk = NULL;
    StrataNode *top, *base;
    gsize n;

    for (guint i = 0; i < 1000; i++) {
        top_map[i] = i % 2 ? zero(i * 512, 512) : forward(i * 512, 512, i * 512);
        base_map[i] = data(i * 512, 512, i * 512);
    }
    top = mem_node_new("top", 512000, top_map, 1000);
    base = mem_node_new("base", 512000, base_map, 1000);
    mem_node_attach(base, STRATA_ROLE_FILE, leaf("file", 512000));
    graph = mem_graph_new(mem_node_attach(top, STRATA_ROLE_BACKING, base));
    walk = strata_walk_new(top);
    g_assert_nonnull(strata_walk_resolve(walk, 0, 512000, &n, NULL));
    g_assert_cmpuint(n, ==, 1000);
    g_assert_cmpuint(mem_node_get_n_calls(base), <=, 500 / 64 + 1);
}

/* Where a lower layer is more fragmented than an upper one, a walk with little room must not ask
 * the upper one for a whole window again and again. */
static void
test_learns_its_window(void)
{
    g_autofree MemExtent *top_map = g_new(MemExtent, 1000);
    g_autofree MemExtent *base_map = g_new(MemExtent, 4000);
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataWalk) walk = NULL;
    g_autofree char *map = NULL;
    StrataNode *top;

    for (guint i = 0; i < 1000; i++)
        top_map[i] = forward(i * 2048, 2048, (999 - i) * 2048);
    for (guint i = 0; i < 4000; i++)
        base_map[i] = i % 2 ? zero(i * 512, 512) : own(i * 512, 512, 0);
    top = mem_node_new("top", 2048000, top_map, 1000);
    mem_node_attach(top, STRATA_ROLE_BACKING, mem_node_new("base", 2048000, base_map, 4000));
    graph = mem_graph_new(top);
    walk = walk_new_sized(top, 200);
    map = map_of(walk, 0, G_MAXUINT64);
    g_assert_cmpuint(mem_node_get_n_answers(top), <=, 3000);
}

static void
test_explain(void)
{
    StrataNode *window = mem_window_new("window", 10 * M - 65536, 65536);
    g_autoptr(StrataGraph) graph =
        mem_graph_new(mem_node_attach(window, STRATA_ROLE_FILE, overlay_over_base()));
    g_autoptr(StrataWalk) walk = strata_walk_new(window);
    g_autoptr(GArray) steps = NULL;
    StrataRun run;
    static const struct {
        const char *node, *answer;
        guint64 offset;
        gboolean claims;
    } expected[] = {
        { "window", "forward", 100, FALSE },
        { "overlay", "forward", 65636, FALSE },
        { "base", "data", 65636, TRUE },
        { "base-file", "data", 131172, FALSE },
    };

    steps = strata_walk_explain(walk, 100, &run, NULL);
    g_assert_nonnull(steps);
    g_assert_cmpuint(steps->len, ==, G_N_ELEMENTS(expected));
    for (guint i = 0; i < steps->len; i++) {
        const StrataStep *step = &g_array_index(steps, StrataStep, i);

        g_assert_cmpstr(strata_node_get_name(step->node), ==, expected[i].node);
        g_assert_cmpstr(step->answer, ==, expected[i].answer);
        g_assert_cmpuint(step->offset, ==, expected[i].offset);
        g_assert_true(step->claimant == (expected[i].claims ? step->node : NULL));
    }
    g_assert_cmpuint(run.depth, ==, 2);
    g_assert_cmpuint(run.leaf_offset, ==, 131172);
}

/* A random node with random children, @budget levels deep at most; sizes are small, so that every
 * byte can be asked. */
static StrataNode *
random_node(GRand *rand, guint budget, guint *n_nodes)
{
    guint64 size = g_rand_int_range(rand, 1, 200);
    g_autofree char *name = g_strdup_printf("n%u", (*n_nodes)++);
    StrataNode *children[STRATA_N_ROLES] = { NULL };
    MemExtent extents[64];
    gsize n = 0;
    StrataNode *node;

    for (guint role = 0; budget > 0 && role < STRATA_N_ROLES; role++)
        if (g_rand_int_range(rand, 0, 3) > 0)
            children[role] = random_node(rand, budget - 1, n_nodes);
    for (guint64 at = 0; at < size && n < G_N_ELEMENTS(extents);) {
        guint64 length = MIN((guint64)g_rand_int_range(rand, 1, 40), size - at);
        guint role = g_rand_int_range(rand, 0, STRATA_N_ROLES);
        MemExtent extent = { at, { .length = length, .kind = g_rand_int_range(rand, 0, 5) } };
        gboolean sent =
            extent.answer.kind == STRATA_ANSWER_DATA || extent.answer.kind == STRATA_ANSWER_FORWARD;

        if (extent.answer.kind == STRATA_ANSWER_DATA)
            role = g_rand_int_range(rand, 0, 2);
        if (sent) {
            extent.answer.role = role;
            extent.answer.child_offset = g_rand_int_range(rand, 0, 150);
        }
        if (!sent || children[role])
            extents[n++] = extent;
        at += length;
    }
    node = mem_node_new(name, size, extents, n);
    for (guint role = 0; role < STRATA_N_ROLES; role++)
        if (children[role])
            mem_node_attach(node, role, children[role]);
    return node;
}

/* Drivers promise not to forward past the end of their storage: such graphs are left out. */
static gboolean
forwards_past_storage(StrataNode *node)
{
    for (guint64 at = 0; at < node->size; at++) {
        StrataRange range = { at, 1 };
        StrataAnswer answer;

        if (node->driver->map(node, &range, 1, &answer, 1, NULL) == 0)
            continue;
        if (answer.kind == STRATA_ANSWER_FORWARD && answer.role != STRATA_ROLE_BACKING &&
            answer.child_offset >= node->children[answer.role]->size)
            return TRUE;
    }
    return FALSE;
}

static void
test_random_graphs(void)
{
    guint checked = 0;

    for (guint32 seed = 0; checked < 1000; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        guint n_nodes = 0;
        StrataNode *top = random_node(rand, 4, &n_nodes);
        g_autoptr(StrataGraph) graph = mem_graph_new(top);
        g_autoptr(StrataWalk) walk = NULL;
        gboolean usable = TRUE;

        for (guint i = 0; i < n_nodes; i++)
            usable = usable && !forwards_past_storage(strata_graph_get_node(graph, i));
        if (!usable)
            continue;
        if (seed % 2) {
            StrataNode *node = strata_graph_get_node(graph, g_rand_int_range(rand, 0, n_nodes));

            mem_node_set_fault(node, g_rand_int_range(rand, 0, node->size));
        }
        walk = walk_new_sized(top, g_rand_int_range(rand, 1, 50));
        walk_model_check(top, walk, rand, seed);
        checked++;
    }
}

typedef struct {
    StrataNode *top;
    char *expected;
} ThreadCase;

static gpointer
map_in_thread(gpointer user_data)
{
    ThreadCase *shared = user_data;

    for (guint i = 0; i < 50; i++) {
        g_autoptr(StrataWalk) walk = walk_new_sized(shared->top, 1 + i);
        g_autofree char *map = map_of(walk, 0, 4099 + i * 100000);

        g_assert_cmpstr(map, ==, shared->expected);
    }
    return NULL;
}

static void
test_many_threads(void)
{
    g_autoptr(StrataGraph) graph = mem_graph_new(overlay_over_base());
    StrataNode *top = strata_graph_get_top(graph);
    g_autoptr(StrataWalk) walk = strata_walk_new(top);
    g_autofree char *expected = map_of(walk, 0, G_MAXUINT64);
    ThreadCase shared = { top, expected };
    GThread *threads[4];

    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("walk", map_in_thread, &shared);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
}

static void
test_read(void)
{
    MemExtent map[] = { data(0, 4, 2), zero(4, 4), data(8, 4, 0) };
    StrataNode *image = mem_node_new("image", 16, map, G_N_ELEMENTS(map));
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataWalk) walk = NULL;
    g_autoptr(GError) error = NULL;
    char buffer[16];

    graph = mem_graph_new(
        mem_node_attach(image, STRATA_ROLE_FILE, mem_leaf_new("f", (const guint8 *)"abcdef", 6)));
    walk = strata_walk_new(image);
    g_assert_true(strata_walk_read(walk, 0, 16, buffer, &error));
    g_assert_cmpmem(buffer, 16, "cdef\0\0\0\0abcd\0\0\0\0", 16);
    g_assert_true(strata_walk_read(walk, 3, 6, buffer, &error));
    g_assert_cmpmem(buffer, 6, "f\0\0\0\0a", 6);
    g_assert_true(strata_walk_read(walk, 16, 0, buffer, &error));
    g_assert_false(strata_walk_read(walk, 16, 1, buffer, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/resolve/window-over-overlay-over-base", test_window_over_overlay_over_base);
    g_test_add_func("/resolve/window-with-offset", test_window_with_offset);
    g_test_add_func("/resolve/image-in-image", test_image_in_image);
    g_test_add_func("/resolve/short-layer", test_short_layer_claims_past_its_end);
    g_test_add_func("/resolve/short-window-as-backing", test_short_window_as_backing);
    g_test_add_func("/resolve/short-layer-inside-storage", test_short_layer_inside_storage);
    g_test_add_func("/resolve/storage-ends-early", test_storage_that_ends_early);
    g_test_add_func("/resolve/encoded", test_encoded_runs_are_read_by_their_format);
    g_test_add_func("/resolve/small-portions", test_answers_in_small_portions);
    g_test_add_func("/resolve/fault", test_fault_hurts_its_range_only);
    g_test_add_func("/resolve/broken-contract", test_broken_contract_is_an_error);
    g_test_add_func("/resolve/window-must-not-claim", test_window_must_not_claim);
    g_test_add_func("/resolve/layers-behind-a-server", test_layers_behind_a_server);
    g_test_add_func("/resolve/depth-behind-a-server", test_depth_behind_a_server);
    g_test_add_func("/resolve/server-as-storage", test_server_as_storage);
    g_test_add_func("/resolve/server-breaks-contract", test_server_that_breaks_the_contract);
    g_test_add_func("/resolve/out-of-bounds", test_range_out_of_bounds);
    g_test_add_func("/resolve/long-chain", test_long_chain);
    g_test_add_func("/resolve/asks-once-per-window", test_asks_once_per_window);
    g_test_add_func("/resolve/learns-its-window", test_learns_its_window);
    g_test_add_func("/resolve/explain", test_explain);
    g_test_add_func("/resolve/random", test_random_graphs);
    g_test_add_func("/resolve/threads", test_many_threads);
    g_test_add_func("/resolve/read", test_read);
    return g_test_run();
}
