/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-driver-raw.c - a layer above a file, a window above an image, and ranges that do not fit. */
#include <string.h>

#include "node.h"
#include "temp-dir.h"

static StrataAnswer
map_one(StrataNode *node, guint64 offset, guint64 length)
{
    const StrataRange range = { .offset = offset, .length = length };
    g_autoptr(GError) error = NULL;
    StrataAnswer answer;

    g_assert_cmpuint(node->driver->map(node, &range, 1, &answer, 1, &error), ==, 1);
    g_assert_no_error(error);
    return answer;
}

static void
test_layer(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "a.raw", 1000);
    g_autoptr(StrataGraph) graph = open_format("json:{\"driver\":\"raw\",\"offset\":100,\"file\":"
                                               "{\"driver\":\"file\",\"filename\":\"%s\"}}",
                                               path);
    StrataNode *node = strata_graph_get_top(graph);
    StrataAnswer answer = map_one(node, 5, 895);

    g_assert_cmpuint(strata_node_get_size(node), ==, 900);
    g_assert_true(node->claims);
    g_assert_cmpuint(node->forward_roles, ==, 0);
    g_assert_cmpuint(answer.kind, ==, STRATA_ANSWER_DATA);
    g_assert_cmpuint(answer.child_offset, ==, 105);
    g_assert_cmpuint(answer.length, ==, 895);
    g_assert_true(node->place.known);
    g_assert_cmpuint(node->place.offset, ==, 100);
}

static void
test_window(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_qcow2(dir, "a.qcow2", NULL, NULL);
    g_autoptr(StrataGraph) graph =
        open_format("json:{\"driver\":\"raw\",\"offset\":\"64k\",\"size\":512,\"file\":"
                    "{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"%s\"}}}",
                    path);
    StrataNode *node = strata_graph_get_top(graph);
    StrataAnswer answer = map_one(node, 1, 2);

    g_assert_cmpuint(strata_node_get_size(node), ==, 512);
    g_assert_false(node->claims);
    g_assert_cmpuint(node->forward_roles, ==, 1 << STRATA_ROLE_FILE);
    g_assert_cmpuint(answer.kind, ==, STRATA_ANSWER_FORWARD);
    g_assert_cmpuint(answer.child_offset, ==, 65537);
}

static void
test_does_not_fit(void)
{
    static const struct {
        const char *options;
        const char *words;
    } bad[] = {
        { "\"offset\":1001",
          "\"offset\" is 1001, past the end of what it stands on, which has 1000" },
        { "\"offset\":999,\"size\":2", "\"size\" can be at most 1" },
        { "\"offset\":1,\"size\":\"0xffffffffffffffff\"", "\"size\" can be at most 999" },
    };
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "a.raw", 1000);

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = g_strdup_printf(
            "json:{\"driver\":\"raw\",%s,\"file\":{\"driver\":\"file\",\"filename\":\"%s\"}}",
            bad[i].options, path);

        assert_open_fails(text, NULL, STRATA_ERROR_SPEC, bad[i].words);
    }
}

static void
test_empty_range_at_end(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "a.raw", 1000);
    g_autoptr(StrataGraph) graph = open_format("json:{\"driver\":\"raw\",\"offset\":1000,\"file\":"
                                               "{\"driver\":\"file\",\"filename\":\"%s\"}}",
                                               path);

    g_assert_cmpuint(strata_node_get_size(strata_graph_get_top(graph)), ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/driver-raw/layer", test_layer);
    g_test_add_func("/driver-raw/window", test_window);
    g_test_add_func("/driver-raw/does-not-fit", test_does_not_fit);
    g_test_add_func("/driver-raw/empty-range-at-end", test_empty_range_at_end);
    return g_test_run();
}
