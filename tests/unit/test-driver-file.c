/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-driver-file.c - sizes, holes and bytes of real files. */
#include <string.h>
#include <unistd.h>
#include <utime.h>

#include "node.h"
#include "temp-dir.h"

#define BLOCK ((gsize)65536) /* no file system keeps holes coarser than this */

static StrataGraph *
open_file(const char *path)
{
    return open_format("json:{\"driver\":\"file\",\"filename\":\"%s\"}", path);
}

/* Whether @length bytes at @offset are known to be zero: all of them must have one answer. */
static gboolean
is_hole(StrataNode *node, guint64 offset, guint64 length)
{
    const StrataRange range = { .offset = offset, .length = length };
    g_autoptr(GError) error = NULL;
    StrataAnswer answer;

    g_assert_cmpuint(node->driver->map(node, &range, 1, &answer, 1, &error), ==, 1);
    g_assert_no_error(error);
    g_assert_cmpuint(answer.length, ==, length);
    return answer.kind == STRATA_ANSWER_ZERO;
}

static void
test_size(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(StrataGraph) odd = open_file(temp_dir_put_hole(dir, "odd", 513));
    g_autoptr(StrataGraph) empty = open_file(temp_dir_put_hole(dir, "empty", 0));

    g_assert_cmpuint(strata_node_get_size(strata_graph_get_top(odd)), ==, 513);
    g_assert_cmpuint(strata_node_get_size(strata_graph_get_top(empty)), ==, 0);
}

static void
test_holes(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "a", 16 * BLOCK + 7);
    g_autoptr(StrataGraph) graph = NULL;
    StrataNode *node;

    temp_dir_fill(dir, "a", 4 * BLOCK, BLOCK, 1);
    temp_dir_fill(dir, "a", 8 * BLOCK, 2 * BLOCK, 2);
    graph = open_file(path);
    node = strata_graph_get_top(graph);
    /* From the back, so that later questions fill in what lies before remembered ground. */
    g_assert_true(is_hole(node, 16 * BLOCK, 7));
    g_assert_false(is_hole(node, 9 * BLOCK, BLOCK));
    g_assert_true(is_hole(node, 0, 4 * BLOCK));
    g_assert_false(is_hole(node, 4 * BLOCK + 1, 1));
    g_assert_true(is_hole(node, 5 * BLOCK, 3 * BLOCK));
    g_assert_false(is_hole(node, 8 * BLOCK, 2 * BLOCK));
    g_assert_true(is_hole(node, 10 * BLOCK, 6 * BLOCK + 7));
}

/* Many ranges in one call, in an odd order and with little room for answers: what is told of a byte
 * must not depend on it. */
static void
test_answers_do_not_depend_on_pieces(void)
{
    const guint n_blocks = 1200; /* several blocks' worth of remembered extents */
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "a", n_blocks * BLOCK);
    g_autoptr(StrataGraph) graph = NULL;

    for (guint i = 1; i < n_blocks; i += 2)
        temp_dir_fill(dir, "a", i * BLOCK, 1, 1);
    graph = open_file(path);
    for (guint i = 0; i < n_blocks; i++) {
        guint block = i * 7919 % n_blocks;
        const StrataRange ranges[] = {
            { block * BLOCK, BLOCK / 2 },
            { (n_blocks - 1 - block) * BLOCK, 4096 },
        };
        StrataAnswer answers[2];
        StrataNode *node = strata_graph_get_top(graph);
        gsize n = node->driver->map(node, ranges, 2, answers, 1 + i % 2, NULL);

        g_assert_cmpuint(n, >=, 1);
        g_assert_cmpuint(answers[0].kind, ==, block % 2 ? STRATA_ANSWER_OWN : STRATA_ANSWER_ZERO);
        if (n == 2 && answers[0].length == ranges[0].length) {
            g_assert_cmpuint(answers[1].kind, ==,
                             block % 2 ? STRATA_ANSWER_ZERO : STRATA_ANSWER_OWN);
        }
    }
}

/* What was remembered is forgotten when the file changes. */
static void
test_file_changes(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "a", 4 * BLOCK);
    struct utimbuf long_ago = { 1, 1 }; /* so that writing gives it another time for sure */
    g_autoptr(StrataGraph) graph = NULL;
    StrataNode *node;

    g_assert_cmpint(utime(path, &long_ago), ==, 0);
    graph = open_file(path);
    node = strata_graph_get_top(graph);
    g_assert_true(is_hole(node, 0, 4 * BLOCK));
    temp_dir_fill(dir, "a", BLOCK, BLOCK, 1);
    g_assert_true(is_hole(node, 0, BLOCK));
    g_assert_false(is_hole(node, BLOCK, BLOCK));
}

static void
test_read(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "a", BLOCK);
    g_autoptr(StrataGraph) graph = NULL;
    StrataNode *node;
    guint8 bytes[4] = { 9, 9, 9, 9 };

    temp_dir_fill(dir, "a", 100, 2, 5);
    graph = open_file(path);
    node = strata_graph_get_top(graph);
    g_assert_true(node->driver->read(node, 99, sizeof bytes, bytes, NULL));
    g_assert_cmpmem(bytes, sizeof bytes, "\0\5\5\0", 4);
    node->driver->prefetch(node, 0, BLOCK);
}

/* A file that is cut short while it is open: questions end, and reading says what happened. */
static void
test_file_shrinks(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "a", 8 * BLOCK);
    g_autoptr(StrataGraph) graph = open_file(path);
    g_autoptr(GError) error = NULL;
    StrataNode *node = strata_graph_get_top(graph);
    guint8 bytes[8];

    temp_dir_fill(dir, "a", 0, 8 * BLOCK, 1);
    g_assert_cmpint(truncate(path, BLOCK), ==, 0);
    for (guint i = 0; i < 8; i++)
        is_hole(node, i * BLOCK, BLOCK);
    g_assert_false(node->driver->read(node, BLOCK - 4, sizeof bytes, bytes, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_IO);
    g_assert_nonnull(strstr(error->message, "ends at offset 0x10000"));
    g_assert_nonnull(strstr(error->message, path));
}

static gpointer
map_everywhere(gpointer data)
{
    StrataNode *node = data;

    for (guint i = 0; i < 4000; i++) {
        guint block = g_random_int_range(0, 1024);

        g_assert_true(is_hole(node, block * BLOCK, BLOCK / 2) == (block % 2 == 0));
    }
    return NULL;
}

static void
test_threads(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "a", 1024 * BLOCK);
    g_autoptr(StrataGraph) graph = NULL;
    GThread *threads[4];

    for (guint i = 1; i < 1024; i += 2)
        temp_dir_fill(dir, "a", i * BLOCK, BLOCK, 1);
    graph = open_file(path);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("map", map_everywhere, strata_graph_get_top(graph));
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/driver-file/size", test_size);
    g_test_add_func("/driver-file/holes", test_holes);
    g_test_add_func("/driver-file/answers-do-not-depend-on-pieces",
                    test_answers_do_not_depend_on_pieces);
    g_test_add_func("/driver-file/file-changes", test_file_changes);
    g_test_add_func("/driver-file/read", test_read);
    g_test_add_func("/driver-file/file-shrinks", test_file_shrinks);
    g_test_add_func("/driver-file/threads", test_threads);
    return g_test_run();
}
