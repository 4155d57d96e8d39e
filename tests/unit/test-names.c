/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-names.c - the names that clients use: stable, unique, and harmless. */
#include "names.h"

#include <string.h>

#include "temp-dir.h"

/* The names of all nodes in pre-order, with commas between. */
static char *
list_names(StrataGraph *graph)
{
    GString *names = g_string_new(NULL);

    for (guint i = 0; i < strata_graph_get_n_nodes(graph); i++) {
        StrataNode *node = strata_graph_get_node(graph, i);

        g_string_append_printf(names, "%s%s", i ? "," : "", strata_node_get_name(node));
        g_assert_true(strata_graph_find_node(graph, strata_node_get_name(node)) == node);
    }
    return g_string_free(names, FALSE);
}

static void
assert_names(StrataGraph *graph, const char *expected)
{
    g_autofree char *names = list_names(graph);

    g_assert_cmpstr(names, ==, expected);
}

static void
test_valid(void)
{
    g_autofree char *longest = g_strnfill(255, 'a');
    g_autofree char *too_long = g_strnfill(256, 'a');

    g_assert_true(names_is_valid("a"));
    g_assert_true(names_is_valid("Z9._-"));
    g_assert_true(names_is_valid(longest));
    g_assert_false(names_is_valid(too_long));
    g_assert_false(names_is_valid(""));
    g_assert_false(names_is_valid("9a"));
    g_assert_false(names_is_valid("a@b"));
    g_assert_false(names_is_valid("a\303\244"));
}

static void
test_window_over_chain(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *overlay = temp_dir_put_qcow2(dir, "overlay.qcow2", "base.raw", "raw");
    g_autoptr(StrataGraph) graph = NULL;

    temp_dir_put_hole(dir, "base.raw", 512);
    graph = open_format("json:{\"driver\":\"raw\",\"file\":{\"driver\":\"qcow2\","
                        "\"file.filename\":\"%s\"}}",
                        overlay);
    assert_names(graph,
                 "overlay.qcow2-raw,overlay.qcow2,overlay.qcow2-file,base.raw,base.raw-file");
}

static void
test_collisions(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_qcow2(dir, "a", NULL, NULL);
    g_autoptr(StrataGraph) graph =
        open_format("json:{\"driver\":\"qcow2\",\"file.filename\":\"%s\",\"backing\":"
                    "{\"driver\":\"qcow2\",\"file.filename\":\"%s\",\"backing\":"
                    "{\"driver\":\"raw\",\"file\":{\"filename\":\"%s\",\"node-name\":\"a-2\"}}}}",
                    path, path, path);

    assert_names(graph, "a,a-file,a-3,a-file-2,a-4,a-2");
}

static void
test_explicit_names_go_first(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_qcow2(dir, "a", NULL, NULL);
    g_autoptr(StrataGraph) graph =
        open_format("json:{\"driver\":\"qcow2\",\"file.filename\":\"%s\",\"backing\":"
                    "{\"driver\":\"raw\",\"node-name\":\"a\",\"file.filename\":\"%s\"}}",
                    path, path);

    assert_names(graph, "a-2,a-file,a,a-file-2");
}

static void
test_odd_characters(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "9 a@b:\303\251\n.img", 512);
    g_autoptr(StrataSpec) spec = strata_spec_parse(path, STRATA_SPEC_FILENAME, "raw", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(StrataGraph) graph = NULL;

    /* The path has a slash before its colon, so it is no protocol. */
    graph = strata_graph_open(spec, NULL, &error);
    g_assert_no_error(error);
    assert_names(graph, "9_a_b____.img,9_a_b____.img-file");
}

static void
test_protocol_top(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "a.img", 512);
    g_autoptr(StrataGraph) graph =
        open_format("json:{\"driver\":\"file\",\"filename\":\"%s\"}", path);

    assert_names(graph, "a.img-file");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/names/valid", test_valid);
    g_test_add_func("/names/window-over-chain", test_window_over_chain);
    g_test_add_func("/names/collisions", test_collisions);
    g_test_add_func("/names/explicit-names-go-first", test_explicit_names_go_first);
    g_test_add_func("/names/odd-characters", test_odd_characters);
    g_test_add_func("/names/protocol-top", test_protocol_top);
    return g_test_run();
}
