/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-graph.c - what is opened, in which order, and how opening fails. */
#include <string.h>

#include "node.h"
#include "temp-dir.h"

static StrataNode *
child(StrataNode *node, StrataRole role)
{
    return strata_node_get_child(node, role);
}

static void
test_recognise_top(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *raw = temp_dir_put_hole(dir, "a.raw", 3);
    const char *qcow2 = temp_dir_put_qcow2(dir, "a.qcow2", NULL, NULL);
    g_autoptr(StrataGraph) a = open_format("%s", raw);
    g_autoptr(StrataGraph) b = open_format("%s", qcow2);

    g_assert_cmpstr(strata_node_get_driver(strata_graph_get_top(a)), ==, "raw");
    g_assert_cmpstr(strata_node_get_driver(strata_graph_get_top(b)), ==, "qcow2");
}

/* What nobody wants served as a disk, byte for byte, unless it is said. */
static void
test_foreign_format_is_refused(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *vmdk = temp_dir_put_hole(dir, "a.vmdk", 4096);
    const char *vdi = temp_dir_put_hole(dir, "a.vdi", 4096);
    const char *short_one = temp_dir_put_hole(dir, "short", 2);
    g_autoptr(StrataGraph) said = NULL;
    g_autoptr(StrataGraph) tiny = open_format("%s", short_one);

    temp_dir_put_bytes(dir, "a.vmdk", 0, "KDMV", 4);
    temp_dir_put_bytes(dir, "a.vdi", 0x40, "\x7f\x10\xda\xbe", 4);
    assert_open_fails(vmdk, NULL, STRATA_ERROR_UNSUPPORTED, "vmdk");
    assert_open_fails(vdi, NULL, STRATA_ERROR_UNSUPPORTED, "--format raw");
    said = open_format("json:{\"driver\":\"raw\",\"file.filename\":\"%s\"}", vmdk);
    g_assert_cmpuint(strata_node_get_size(strata_graph_get_top(said)), ==, 4096);
    g_assert_cmpstr(strata_node_get_driver(strata_graph_get_top(tiny)), ==, "raw");
}

static void
test_order(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *top = temp_dir_put_qcow2(dir, "top.qcow2", "middle.qcow2", "qcow2");
    g_autoptr(StrataGraph) graph = NULL;
    StrataNode *overlay;

    temp_dir_put_qcow2(dir, "middle.qcow2", "base.raw", "raw");
    temp_dir_put_hole(dir, "base.raw", 512);
    graph = open_format("%s", top);
    overlay = strata_graph_get_top(graph);
    g_assert_cmpuint(strata_graph_get_n_nodes(graph), ==, 6);
    for (guint i = 0; i < 6; i++)
        g_assert_cmpuint(strata_graph_get_node(graph, i)->index, ==, i);
    g_assert_cmpuint(overlay->subtree_end, ==, 6);
    g_assert_cmpuint(child(overlay, STRATA_ROLE_FILE)->index, ==, 1);
    g_assert_cmpuint(child(overlay, STRATA_ROLE_FILE)->subtree_end, ==, 2);
    g_assert_cmpuint(child(overlay, STRATA_ROLE_BACKING)->index, ==, 2);
    g_assert_true(strata_node_is_within(strata_graph_get_node(graph, 5),
                                        child(overlay, STRATA_ROLE_BACKING)));
    g_assert_false(strata_node_is_within(strata_graph_get_node(graph, 1),
                                         child(overlay, STRATA_ROLE_BACKING)));
    g_assert_true(strata_node_is_within(overlay, overlay));
}

/* A header may be read through a whole graph: here the bytes of the outer image come from the inner
 * one's backing file, which must be open by then. */
static void
test_image_inside_an_overlay(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *inner = temp_dir_put_qcow2(dir, "inner", "container", "raw");
    g_autoptr(StrataGraph) graph = NULL;
    StrataNode *outer;

    temp_dir_put_qcow2(dir, "container", NULL, NULL);
    graph = open_format("json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"qcow2\","
                        "\"file.filename\":\"%s\"}}",
                        inner);
    outer = strata_graph_get_top(graph);
    g_assert_cmpuint(strata_graph_get_n_nodes(graph), ==, 5);
    g_assert_cmpuint(outer->subtree_end, ==, 5);
    g_assert_cmpuint(child(outer, STRATA_ROLE_FILE)->index, ==, 1);
    g_assert_cmpstr(
        strata_node_get_name(child(child(outer, STRATA_ROLE_FILE), STRATA_ROLE_BACKING)), ==,
        "container");
}

static void
assert_list(GPtrArray *nodes, const char *expected)
{
    g_autoptr(GPtrArray) owned = nodes;
    g_autoptr(GString) names = g_string_new(NULL);

    for (guint i = 0; i < owned->len; i++)
        g_string_append_printf(names, "%s%s", i ? "," : "", strata_node_get_name(owned->pdata[i]));
    g_assert_cmpstr(names->str, ==, expected);
}

/* A window as backing file claims what lies past its end; the same window as the top does not. */
static void
test_layers(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *top = temp_dir_put_qcow2(dir, "top", NULL, NULL);
    const char *base = temp_dir_put_qcow2(dir, "base", NULL, NULL);
    g_autoptr(StrataGraph) graph = open_format(
        "json:{\"driver\":\"raw\",\"node-name\":\"w\",\"file\":{\"driver\":\"qcow2\","
        "\"file.filename\":\"%s\",\"backing\":{\"driver\":\"raw\",\"size\":512,\"file\":"
        "{\"driver\":\"qcow2\",\"file.filename\":\"%s\"}}}}",
        top, base);
    StrataNode *window = strata_graph_find_node(graph, "base-raw");

    assert_list(strata_node_list_path(strata_graph_get_top(graph)), "w,top,base-raw,base");
    assert_list(strata_node_list_layers(strata_graph_get_top(graph)), "top,base-raw,base");
    assert_list(strata_node_list_path(window), "base-raw,base");
    assert_list(strata_node_list_layers(window), "base");
    assert_list(strata_node_list_layers(strata_graph_find_node(graph, "top-file")), "top-file");
}

static void
test_missing_backing(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *top = temp_dir_put_qcow2(dir, "top.qcow2", "gone.raw", "raw");
    g_autofree char *expected = g_strdup_printf("node 'top.qcow2' (%s): its header names the "
                                                "backing file 'gone.raw'",
                                                top);
    g_autoptr(StrataGraph) alone =
        open_format("json:{\"driver\":\"qcow2\",\"file.filename\":\"%s\","
                    "\"backing\":null}",
                    top);

    assert_open_fails(top, NULL, STRATA_ERROR_NOT_FOUND, expected);
    assert_open_fails(top, NULL, STRATA_ERROR_NOT_FOUND, temp_dir_path(dir, "gone.raw"));
    assert_open_fails(top, NULL, STRATA_ERROR_NOT_FOUND, "opens the overlay alone");
    g_assert_cmpuint(strata_graph_get_n_nodes(alone), ==, 2);
}

static void
test_spec_completed_by_header(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *top = temp_dir_put_qcow2(dir, "top.qcow2", "base", NULL);
    g_autoptr(StrataGraph) graph = NULL;
    StrataNode *backing;

    temp_dir_put_hole(dir, "base", 512);
    graph = open_format("json:{\"driver\":\"qcow2\",\"file.filename\":\"%s\","
                        "\"backing\":{\"driver\":\"raw\",\"size\":100}}",
                        top);
    backing = child(strata_graph_get_top(graph), STRATA_ROLE_BACKING);
    g_assert_cmpuint(strata_node_get_size(backing), ==, 100);
    g_assert_cmpstr(strata_node_get_filename(child(backing, STRATA_ROLE_FILE)), ==,
                    temp_dir_path(dir, "base"));
}

static void
assert_spec_error(const char *rest, const char *path, const char *words)
{
    g_autofree char *text =
        g_strdup_printf("json:{\"driver\":\"qcow2\",\"file.filename\":\"%s\",%s}", path, rest);

    assert_open_fails(text, NULL, STRATA_ERROR_SPEC, words);
}

static void
test_incomplete_backing(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *top = temp_dir_put_qcow2(dir, "top.qcow2", NULL, NULL);

    assert_spec_error("\"backing.file.filename\":\"x\"", top, "\"backing.driver\" says it");
    assert_spec_error("\"backing\":{}", top, "neither it nor the header names a file");
    assert_spec_error("\"backing.driver\":\"raw\"", top, "driver \"raw\" needs a \"file\"");
}

static void
test_cycles(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *self = temp_dir_put_qcow2(dir, "self", "self", "qcow2");
    const char *a = temp_dir_put_qcow2(dir, "a", "b", "qcow2");
    const char *json = temp_dir_put_qcow2(dir, "j",
                                          "json:{\"driver\":\"qcow2\",\"file\":{"
                                          "\"driver\":\"raw\",\"file.filename\":\"j\"}}",
                                          NULL);
    g_autofree char *words = NULL;

    temp_dir_put_qcow2(dir, "b", "a", "qcow2");
    words = g_strdup_printf("'%s' -> '%s' -> '%s'", a, temp_dir_path(dir, "b"), a);
    assert_open_fails(self, NULL, STRATA_ERROR_DAMAGED, "lead back to where they began");
    assert_open_fails(a, NULL, STRATA_ERROR_DAMAGED, words);
    assert_open_fails(json, NULL, STRATA_ERROR_DAMAGED, "lead back to where they began");
}

/* The same file twice is no cycle where the second stands for something else. */
static void
test_same_file_twice(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *top = temp_dir_put_qcow2(dir, "top", "top", "raw");
    g_autoptr(StrataGraph) graph = open_format("%s", top);

    g_assert_cmpuint(strata_graph_get_n_nodes(graph), ==, 4);
}

static void
test_storage_nesting(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "a", 512);

    for (guint depth = STRATA_MAX_STORAGE_NESTING; depth <= STRATA_MAX_STORAGE_NESTING + 1;
         depth++) {
        g_autoptr(GString) text = g_string_new("json:");

        for (guint i = 0; i < depth; i++)
            g_string_append(text, "{\"driver\":\"raw\",\"file\":");
        g_string_append_printf(text, "{\"driver\":\"file\",\"filename\":\"%s\"}", path);
        for (guint i = 0; i < depth; i++)
            g_string_append_c(text, '}');
        if (depth > STRATA_MAX_STORAGE_NESTING) {
            assert_open_fails(text->str, NULL, STRATA_ERROR_LIMIT, "nests too deep");
        } else {
            g_autoptr(StrataGraph) graph = open_format("%s", text->str);

            g_assert_cmpuint(strata_graph_get_n_nodes(graph), ==, depth + 1);
        }
    }
}

/* Headers may name chains without end; descriptors and nodes have one. */
static void
test_long_chain(void)
{
    const guint n_images = 300;
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(StrataGraph) graph = NULL;

    for (guint i = 0; i < n_images; i++) {
        g_autofree char *name = g_strdup_printf("%u", i);
        g_autofree char *backing = g_strdup_printf("%u", i + 1);

        temp_dir_put_qcow2(dir, name, i + 1 < n_images ? backing : NULL, "qcow2");
    }
    graph = open_format("%s", temp_dir_path(dir, "0"));
    g_assert_cmpuint(strata_graph_get_n_nodes(graph), ==, 2 * n_images);
    g_assert_cmpuint(strata_graph_get_top(graph)->subtree_end, ==, 2 * n_images);
}

static void
test_nothing_stays_open(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *top = temp_dir_put_qcow2(dir, "top", "base", "raw");
    guint n_before = count_descriptors();

    temp_dir_put_hole(dir, "base", 512);
    strata_graph_unref(open_format("%s", top));
    g_assert_cmpuint(count_descriptors(), ==, n_before);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/graph/recognise-top", test_recognise_top);
    g_test_add_func("/graph/foreign-format", test_foreign_format_is_refused);
    g_test_add_func("/graph/order", test_order);
    g_test_add_func("/graph/image-inside-an-overlay", test_image_inside_an_overlay);
    g_test_add_func("/graph/layers", test_layers);
    g_test_add_func("/graph/missing-backing", test_missing_backing);
    g_test_add_func("/graph/spec-completed-by-header", test_spec_completed_by_header);
    g_test_add_func("/graph/incomplete-backing", test_incomplete_backing);
    g_test_add_func("/graph/cycles", test_cycles);
    g_test_add_func("/graph/same-file-twice", test_same_file_twice);
    g_test_add_func("/graph/storage-nesting", test_storage_nesting);
    g_test_add_func("/graph/long-chain", test_long_chain);
    g_test_add_func("/graph/nothing-stays-open", test_nothing_stays_open);
    return g_test_run();
}
