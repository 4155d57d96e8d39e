/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-bitmap.c - bitmaps seen through windows and chains, on nodes whose bits are a text. */
#include <strata/error.h>
#include <string.h>

#include "bitmap.h"
#include "mem-node.h"

#define GRANULARITY 1000

/* A letter is a bit: '#' dirty, '.' clean, '!' cannot be told. */
static gsize
map_text(StrataNode *node, const StrataBitmap *bitmap, StrataRange range, StrataBitmapRun *runs,
         gsize max_runs, GError **error)
{
    const char *text = bitmap->data;
    guint64 at = range.offset, end = range.offset + range.length;
    gsize n = 0;

    g_assert_cmpuint(max_runs, >=, 1);
    g_assert_cmpuint(range.length, >=, 1);
    g_assert_cmpuint(end, <=, node->size);
    while (at < end) {
        char letter = text[at / GRANULARITY];
        guint64 next = MIN((at / GRANULARITY + 1) * GRANULARITY, end);
        gboolean goes_on = n > 0 && runs[n - 1].is_dirty == (letter == '#');

        if (letter == '!' && n == 0)
            g_set_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED, "cannot be told");
        if (letter == '!' || (!goes_on && n == max_runs))
            break;
        if (goes_on)
            runs[n - 1].length += next - at;
        else
            runs[n++] = (StrataBitmapRun){ at, next - at, letter == '#' };
        at = next;
    }
    return n;
}

/* Says more than was asked. */
static gsize
map_wrongly(StrataNode *node, const StrataBitmap *bitmap, StrataRange range, StrataBitmapRun *runs,
            gsize max_runs, GError **error)
{
    runs[0] = (StrataBitmapRun){ range.offset, range.length + 1, TRUE };
    return 1;
}

static StrataDriver text_driver, wrong_driver;

/* A node that may forward to what stands below it, with a bitmap "b" of that text, if any. */
static StrataNode *
image(const char *name, guint64 size, const char *text)
{
    StrataNode *node = mem_node_new(name, size, NULL, 0);
    StrataBitmap *bitmap;

    text_driver = *node->driver;
    text_driver.map_bitmap = map_text;
    node->driver = &text_driver;
    if (text == NULL)
        return node;
    bitmap = bitmap_add(node, "b");
    bitmap->granularity = GRANULARITY;
    bitmap->is_consistent = TRUE;
    bitmap->data = (gpointer)text;
    return node;
}

static StrataNode *
window(const char *name, guint64 size, guint64 offset, StrataNode *child)
{
    return mem_node_attach(mem_window_new(name, size, offset), STRATA_ROLE_FILE, child);
}

static StrataNode *
overlay(const char *name, guint64 size, const char *text, StrataNode *backing)
{
    return mem_node_attach(image(name, size, text), STRATA_ROLE_BACKING, backing);
}

/* "0+1000# 1000+500." of all that bitmap @name says from the top on. */
static char *
show(StrataGraph *graph, const char *name, gsize max_runs)
{
    StrataNode *top = strata_graph_get_top(graph);
    StrataBitmap *bitmap = strata_node_find_bitmap(top, name);
    g_autofree StrataBitmapRun *runs = g_new0(StrataBitmapRun, max_runs);
    GString *shown = g_string_new(NULL);
    StrataBitmapRun last = { 0 };
    guint64 at = 0;

    while (at < top->size) { /* every turn tells of a byte at least */
        g_autoptr(GError) error = NULL;
        gsize n = strata_bitmap_map(bitmap, top, at, top->size - at, runs, max_runs, &error);

        g_assert_no_error(error);
        g_assert_cmpuint(n, >=, 1);
        g_assert_cmpuint(n, <=, max_runs);
        for (gsize i = 0; i < n; i++) {
            g_assert_cmpuint(runs[i].offset, ==, at);
            g_assert_cmpuint(runs[i].length, >, 0);
            at += runs[i].length;
            if (last.length > 0 && last.is_dirty == runs[i].is_dirty) {
                last.length += runs[i].length;
                continue;
            }
            if (last.length > 0)
                g_string_append_printf(shown, "%" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT "%c ",
                                       last.offset, last.length, last.is_dirty ? '#' : '.');
            last = runs[i];
        }
    }
    g_assert_cmpuint(at, ==, top->size);
    g_string_append_printf(shown, "%" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT "%c", last.offset,
                           last.length, last.is_dirty ? '#' : '.');
    return g_string_free(shown, FALSE);
}

/* The same however many runs there is room for. */
static void
assert_shows(StrataNode *top, const char *expected)
{
    g_autoptr(StrataGraph) graph = mem_graph_new(top);

    for (gsize max_runs = 1; max_runs <= 8; max_runs++) {
        g_autofree char *shown = show(graph, "b", max_runs);

        g_assert_cmpstr(shown, ==, expected);
    }
}

static void
test_own_bitmap(void)
{
    assert_shows(image("top", 4500, "#..##"), "0+1000# 1000+2000. 3000+1500#");
}

static void
test_window_above(void)
{
    assert_shows(window("window", 3000, 500, image("image", 4500, "#..##")),
                 "0+500# 500+2000. 2500+500#");
}

static void
test_windows_above_each_other(void)
{
    assert_shows(window("outer", 1000, 1250, window("inner", 3000, 500, image("i", 4500, "#.##."))),
                 "0+250. 250+750#");
}

static void
test_window_between(void)
{
    StrataNode *below = window("window", 2000, 1000, image("base", 4000, "#.##"));

    /* Past the window's end nothing of the base is seen, though its bitmap goes on. */
    assert_shows(overlay("overlay", 4000, NULL, below), "0+1000. 1000+1000# 2000+2000.");
}

static void
test_base_is_shorter(void)
{
    assert_shows(overlay("overlay", 5000, NULL, image("base", 1500, "##")), "0+1500# 1500+3500.");
}

static void
test_base_is_shorter_and_clean_at_its_end(void)
{
    assert_shows(overlay("overlay", 5000, NULL, image("base", 2000, "#.")), "0+1000# 1000+4000.");
}

static void
test_base_is_longer(void)
{
    assert_shows(overlay("overlay", 1500, NULL, image("base", 4000, ".###")), "0+1000. 1000+500#");
}

/* What lies past the end of a short image in the middle never comes to the base. */
static void
test_shorter_in_the_middle(void)
{
    StrataNode *middle = overlay("middle", 2000, NULL, image("base", 4000, "####"));

    assert_shows(overlay("overlay", 3000, NULL, middle), "0+2000# 2000+1000.");
}

static void
test_begins_past_the_end_of_base(void)
{
    g_autoptr(StrataGraph) graph =
        mem_graph_new(overlay("overlay", 5000, NULL, image("base", 1000, "#")));
    StrataNode *top = strata_graph_get_top(graph);
    g_autoptr(GError) error = NULL;
    StrataBitmapRun run;

    g_assert_cmpuint(
        strata_bitmap_map(strata_node_find_bitmap(top, "b"), top, 1000, 700, &run, 1, &error), ==,
        1);
    g_assert_no_error(error);
    g_assert_cmpuint(run.offset, ==, 1000);
    g_assert_cmpuint(run.length, ==, 700);
    g_assert_false(run.is_dirty);
}

static void
test_topmost_of_a_name(void)
{
    StrataNode *base = image("base", 2000, "..");
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GPtrArray) list = NULL;

    bitmap_add(base, "other");
    graph = mem_graph_new(overlay("overlay", 2000, "##", base));
    list = strata_node_list_bitmaps(strata_graph_get_top(graph));
    g_assert_cmpuint(list->len, ==, 2);
    g_assert_cmpstr(strata_bitmap_get_name(list->pdata[0]), ==, "b");
    g_assert_true(strata_bitmap_get_node(list->pdata[0]) == strata_graph_get_top(graph));
    g_assert_cmpuint(strata_bitmap_get_granularity(list->pdata[0]), ==, GRANULARITY);
    g_assert_cmpstr(strata_bitmap_get_name(list->pdata[1]), ==, "other");
    g_assert_true(strata_node_find_bitmap(base, "b") == base->bitmaps->pdata[0]);
    g_assert_null(strata_node_find_bitmap(base, "nothing"));
}

/* What cannot be trusted hides its namesakes below, whose bits would be clean. */
static void
test_hidden_by_one_that_is_refused(void)
{
    StrataNode *overlaid = overlay("overlay", 2000, "##", image("base", 2000, ".."));
    StrataBitmap *own = overlaid->bitmaps->pdata[0];
    g_autoptr(StrataGraph) graph = NULL;

    own->is_consistent = FALSE;
    own->damage = "has a fault";
    graph = mem_graph_new(overlaid);
    g_assert_true(strata_node_find_bitmap(overlaid, "b") == own);
    g_assert_cmpstr(strata_bitmap_get_damage(own), ==, "has a fault");
}

/* Nothing is offered from beyond a node that may have a bitmap of any name; below it all is. */
static void
test_ends_where_names_are_not_known(void)
{
    StrataNode *base = image("base", 2000, "..");
    StrataNode *middle = overlay("middle", 2000, NULL, base);
    StrataNode *top = overlay("top", 2000, NULL, middle);
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GPtrArray) list = NULL;

    bitmap_add(top, "of top");
    middle->bitmaps_unknown = TRUE;
    graph = mem_graph_new(top);
    list = strata_node_list_bitmaps(top);
    g_assert_cmpuint(list->len, ==, 1);
    g_assert_cmpstr(strata_bitmap_get_name(list->pdata[0]), ==, "of top");
    g_assert_null(strata_node_find_bitmap(middle, "b"));
    g_assert_nonnull(strata_node_find_bitmap(base, "b"));
}

/* A claim ends the walk: what lies in a layer's storage is not a bitmap of what stands above. */
static void
test_not_through_storage(void)
{
    StrataNode *layer =
        mem_node_attach(image("layer", 2000, NULL), STRATA_ROLE_FILE, image("nested", 2000, "##"));
    g_autoptr(StrataGraph) graph = NULL;
    StrataNode *nested = layer->children[STRATA_ROLE_FILE];
    g_autoptr(GError) error = NULL;
    StrataBitmapRun run;

    layer->forward_roles = 1u << STRATA_ROLE_BACKING;
    graph = mem_graph_new(layer);
    g_assert_null(strata_node_find_bitmap(layer, "b"));
    g_assert_cmpuint(strata_bitmap_map(nested->bitmaps->pdata[0], layer, 0, 1, &run, 1, &error), ==,
                     0);
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT);
}

static void
test_refuses_ranges(void)
{
    g_autoptr(StrataGraph) graph = mem_graph_new(image("top", 2000, "##"));
    StrataNode *top = strata_graph_get_top(graph);
    static const StrataRange bad[] = { { 0, 0 }, { 0, 2001 }, { 2000, 1 }, { 1, G_MAXUINT64 } };
    StrataBitmapRun run;

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_cmpuint(strata_bitmap_map(top->bitmaps->pdata[0], top, bad[i].offset,
                                           bad[i].length, &run, 1, &error),
                         ==, 0);
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT);
    }
}

static void
assert_fails(StrataNode *top, StrataError code, const char *words)
{
    g_autoptr(StrataGraph) graph = mem_graph_new(top);
    StrataBitmap *bitmap = strata_node_find_bitmap(top, "b");
    g_autoptr(GError) error = NULL;
    StrataBitmapRun runs[4];

    g_assert_cmpuint(strata_bitmap_map(bitmap, top, 0, top->size, runs, 4, &error), ==, 0);
    g_assert_error(error, STRATA_ERROR, (gint)code);
    g_assert_nonnull(strstr(error->message, words));
}

static void
test_refuses_one_in_use(void)
{
    StrataNode *top = image("top", 2000, "##");

    ((StrataBitmap *)top->bitmaps->pdata[0])->is_consistent = FALSE;
    assert_fails(top, STRATA_ERROR_DAMAGED, "bitmap 'b' is in use");
}

static void
test_refuses_a_damaged_one(void)
{
    StrataNode *top = image("top", 2000, "##");
    StrataBitmap *bitmap = top->bitmaps->pdata[0];

    bitmap->is_consistent = FALSE;
    bitmap->damage = "has a fault";
    assert_fails(top, STRATA_ERROR_DAMAGED, "bitmap 'b' has a fault, so that");
}

static void
test_damage_at_the_beginning(void)
{
    assert_fails(image("top", 2000, "!#"), STRATA_ERROR_DAMAGED, "cannot be told");
}

/* What is told before the damage is told; nothing is invented for the rest. */
static void
test_damage_later(void)
{
    g_autoptr(StrataGraph) graph =
        mem_graph_new(overlay("overlay", 9000, NULL, image("base", 3000, ".!#")));
    StrataNode *top = strata_graph_get_top(graph);
    g_autoptr(GError) error = NULL;
    StrataBitmapRun runs[4];

    g_assert_cmpuint(
        strata_bitmap_map(strata_node_find_bitmap(top, "b"), top, 0, 9000, runs, 4, &error), ==, 1);
    g_assert_no_error(error);
    g_assert_cmpuint(runs[0].length, ==, 1000);
}

static void
test_driver_breaks_its_contract(void)
{
    StrataNode *top = image("top", 2000, "##");

    wrong_driver = *top->driver;
    wrong_driver.map_bitmap = map_wrongly;
    top->driver = &wrong_driver;
    assert_fails(top, STRATA_ERROR_INTERNAL, "broke its contract");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bitmap/own", test_own_bitmap);
    g_test_add_func("/bitmap/window-above", test_window_above);
    g_test_add_func("/bitmap/windows-above-each-other", test_windows_above_each_other);
    g_test_add_func("/bitmap/window-between", test_window_between);
    g_test_add_func("/bitmap/base-is-shorter", test_base_is_shorter);
    g_test_add_func("/bitmap/base-is-shorter-and-clean-at-its-end",
                    test_base_is_shorter_and_clean_at_its_end);
    g_test_add_func("/bitmap/base-is-longer", test_base_is_longer);
    g_test_add_func("/bitmap/shorter-in-the-middle", test_shorter_in_the_middle);
    g_test_add_func("/bitmap/begins-past-the-end-of-base", test_begins_past_the_end_of_base);
    g_test_add_func("/bitmap/topmost-of-a-name", test_topmost_of_a_name);
    g_test_add_func("/bitmap/hidden-by-one-that-is-refused", test_hidden_by_one_that_is_refused);
    g_test_add_func("/bitmap/ends-where-names-are-not-known", test_ends_where_names_are_not_known);
    g_test_add_func("/bitmap/not-through-storage", test_not_through_storage);
    g_test_add_func("/bitmap/refuses-ranges", test_refuses_ranges);
    g_test_add_func("/bitmap/refuses-one-in-use", test_refuses_one_in_use);
    g_test_add_func("/bitmap/refuses-a-damaged-one", test_refuses_a_damaged_one);
    g_test_add_func("/bitmap/damage-at-the-beginning", test_damage_at_the_beginning);
    g_test_add_func("/bitmap/damage-later", test_damage_later);
    g_test_add_func("/bitmap/driver-breaks-its-contract", test_driver_breaks_its_contract);
    return g_test_run();
}
