/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-server-bitmaps.c - contexts that are bitmaps: which are offered under which name, and their
 * lists of extents. */
#include "bitmap.h"
#include "error.h"
#include "exports/exports.h"
#include "mem-node.h"
#include "protocol/contexts.h"
#include "protocol/status-list.h"

#include <string.h>

#define SIZE   (1024 * 1024)
#define BIT    512
#define DAMAGE (SIZE / 2) /* "damaged" cannot be told from here on */

/* window > image, whose bitmaps are scripted by their names. */
typedef struct {
    StrataDriver driver; /* of the image */
    StrataGraph *graph;
    StrataNode *image;
    StrataExports *exports;
    guint n_told; /* runs that map_bitmap() gave */
    StatusMemory memory;
    guint64 room[2 * (SIZE / BIT + 2)];
} Fixture;

static Fixture *current;

/* "alternating": every second bit; "dirty": all; "damaged": clean; else clean. */
static gsize
map_bitmap(StrataNode *node, const StrataBitmap *bitmap, StrataRange range, StrataBitmapRun *runs,
           gsize max_runs, GError **error)
{
    gboolean alternating = g_str_equal(bitmap->name, "alternating");
    guint64 end = range.offset + range.length;
    gsize n = 0;

    if (g_str_equal(bitmap->name, "damaged")) {
        if (range.offset >= DAMAGE) {
            strata_throw(error, node, STRATA_ERROR_DAMAGED, "a table of the bitmap is damaged");
            return 0;
        }
        end = MIN(end, DAMAGE);
    }
    for (guint64 at = range.offset; at < end && n < max_runs; n++) {
        guint64 until = alternating ? MIN(end, (at / BIT + 1) * BIT) : end;

        runs[n] = (StrataBitmapRun){
            .offset = at,
            .length = until - at,
            .is_dirty = alternating ? at / BIT % 2 == 1 : g_str_equal(bitmap->name, "dirty"),
        };
        at = until;
    }
    current->n_told += n;
    return n;
}

static void
add_bitmap(Fixture *fixture, const char *name, gboolean is_consistent)
{
    StrataBitmap *bitmap = bitmap_add(fixture->image, name);

    bitmap->granularity = BIT;
    bitmap->is_consistent = is_consistent;
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
    MemExtent all = { 0, { .length = SIZE, .kind = STRATA_ANSWER_ZERO } };
    StrataNode *window = mem_window_new("window", SIZE, 0);
    g_autoptr(GError) error = NULL;

    current = fixture;
    fixture->image = mem_node_new("image", SIZE, &all, 1);
    fixture->driver = *fixture->image->driver;
    fixture->driver.map_bitmap = map_bitmap;
    fixture->image->driver = &fixture->driver;
    add_bitmap(fixture, "alternating", TRUE);
    add_bitmap(fixture, "dirty", TRUE);
    add_bitmap(fixture, "damaged", TRUE);
    add_bitmap(fixture, "in-use", FALSE);
    add_bitmap(fixture, "above:image", TRUE);
    add_bitmap(fixture, "above:nobody", TRUE);
    add_bitmap(fixture, "ends:", TRUE);
    fixture->graph = mem_graph_new(mem_node_attach(window, STRATA_ROLE_FILE, fixture->image));
    fixture->exports = strata_exports_new();
    g_assert_true(strata_exports_add(fixture->exports, "", NULL, fixture->graph, &error));
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    strata_exports_free(fixture->exports);
    strata_graph_unref(fixture->graph);
}

/* Returns: (transfer full): of "" */
static ExportView *
view(Fixture *fixture)
{
    g_autoptr(GError) error = NULL;
    ExportView *found = exports_find(fixture->exports, NULL, "", &error);

    g_assert_no_error(error);
    return found;
}

static GPtrArray *
select_one(const ExportView *from, const char *name)
{
    g_autoptr(GPtrArray) queries = g_ptr_array_new();

    g_ptr_array_add(queries, (gpointer)name);
    return contexts_select(from, queries, FALSE);
}

static void
test_list(Fixture *fixture, gconstpointer data)
{
    const char *expected[] = { "qemu:dirty-bitmap:above:window", "qemu:dirty-bitmap:above:image",
                               "qemu:dirty-bitmap:alternating",  "qemu:dirty-bitmap:dirty",
                               "qemu:dirty-bitmap:damaged",      "qemu:dirty-bitmap:above:nobody" };
    g_autoptr(ExportView) from = view(fixture);
    g_autoptr(GPtrArray) queries = g_ptr_array_new();
    g_autoptr(GPtrArray) list = NULL;

    g_ptr_array_add(queries, (gpointer) "qemu:dirty-bitmap:");
    list = contexts_query(from, queries, FALSE);
    g_assert_cmpuint(list->len, ==, G_N_ELEMENTS(expected));
    for (guint i = 0; i < list->len; i++)
        g_assert_cmpstr(((Context *)list->pdata[i])->name, ==, expected[i]);
}

/* 65,535 bitmaps are not a list that anybody reads; each is there when asked for. */
static void
test_long_list(Fixture *fixture, gconstpointer data)
{
    g_autoptr(ExportView) from = NULL;
    g_autoptr(GPtrArray) list = NULL;
    g_autoptr(GPtrArray) last = NULL;

    for (guint i = 0; i < 65535; i++) {
        g_autofree char *name = g_strdup_printf("number-%u", i);

        add_bitmap(fixture, name, TRUE);
    }
    from = view(fixture);
    list = contexts_list(from, FALSE);
    g_assert_cmpuint(list->len, <, 2000);
    g_assert_cmpuint(list->len, >, 1000);
    last = select_one(from, "qemu:dirty-bitmap:number-65534");
    g_assert_cmpuint(last->len, ==, 1);
}

static void
assert_not_offered(const ExportView *from, const char *name, gboolean is_explained)
{
    g_autoptr(GPtrArray) contexts = select_one(from, name);
    g_autoptr(GPtrArray) queries = g_ptr_array_new();
    g_autofree char *why = NULL;

    g_assert_cmpuint(contexts->len, ==, 0);
    g_ptr_array_add(queries, (gpointer) "strata:joint");
    g_ptr_array_add(queries, (gpointer)name);
    why = contexts_explain_refusal(from, queries, FALSE);
    if (!is_explained) {
        g_assert_null(why);
        return;
    }
    g_assert_nonnull(strstr(why, "'in-use' of node 'image' is in use"));
}

static void
test_refusals(Fixture *fixture, gconstpointer data)
{
    g_autoptr(ExportView) from = view(fixture);

    assert_not_offered(from, "qemu:dirty-bitmap:in-use", TRUE);
    assert_not_offered(from, "qemu:dirty-bitmap:nobody", FALSE);
    assert_not_offered(from, "qemu:dirty-bitmap:", FALSE);
    assert_not_offered(from, "qemu:dirty-bitmap", FALSE);
    assert_not_offered(from, "dirty", FALSE);
}

/* The question about layers goes before a bitmap that bears its name. */
static void
test_collision(Fixture *fixture, gconstpointer data)
{
    g_autoptr(ExportView) from = view(fixture);
    g_autoptr(GPtrArray) layers = select_one(from, "qemu:dirty-bitmap:above:image");
    g_autoptr(GPtrArray) bitmap = select_one(from, "qemu:dirty-bitmap:above:nobody");
    g_autoptr(GPtrArray) wildcard = select_one(from, "qemu:dirty-bitmap:ends:");

    g_assert_cmpuint(layers->len, ==, 1);
    g_assert_true(context_is_of_runs(layers->pdata[0]));
    g_assert_cmpuint(bitmap->len, ==, 1);
    g_assert_false(context_is_of_runs(bitmap->pdata[0]));
    g_assert_cmpuint(wildcard->len, ==, 1);
}

/* Asks the bitmap of that name until its list is full or ends; returns where that is. */
static guint64
fill(Fixture *fixture, StatusList *list, const char *name, guint limit, guint64 offset)
{
    g_autoptr(ExportView) from = view(fixture);
    g_autoptr(GPtrArray) contexts = select_one(from, name);
    g_autoptr(GError) error = NULL;

    g_assert_cmpuint(contexts->len, ==, 1);
    status_memory_init(&fixture->memory, fixture->room, sizeof fixture->room, sizeof fixture->room);
    status_list_init(list, contexts->pdata[0], 1, &fixture->memory, FALSE, limit);
    fixture->n_told = 0;
    while (offset < SIZE && !list->full && status_list_ask(list, &offset, SIZE, &error) > 0)
        continue;
    return offset;
}

static void
assert_extent(const StatusList *list, guint index, guint32 length, guint32 value)
{
    struct iovec piece;
    const NbdExtent *extents;

    g_assert_cmpuint(status_list_count_pieces(list), ==, 1);
    status_list_get_pieces(list, &piece);
    extents = piece.iov_base;
    g_assert_cmpuint(piece.iov_len, ==, list->n_extents * sizeof *extents);
    g_assert_cmpuint(GUINT32_FROM_BE(extents[index].length), ==, length);
    g_assert_cmpuint(GUINT32_FROM_BE(extents[index].flags), ==, value);
}

static void
test_extents(Fixture *fixture, gconstpointer data)
{
    StatusList list;

    g_assert_cmpuint(fill(fixture, &list, "qemu:dirty-bitmap:dirty", 10, 100), ==, SIZE);
    g_assert_cmpuint(list.n_extents, ==, 1);
    assert_extent(&list, 0, SIZE - 100, 1);
    g_assert_cmpuint(fill(fixture, &list, "qemu:dirty-bitmap:alternating", SIZE, 100), ==, SIZE);
    g_assert_cmpuint(list.n_extents, ==, SIZE / BIT);
    assert_extent(&list, 0, BIT - 100, 0);
    assert_extent(&list, 1, BIT, 1);
    assert_extent(&list, SIZE / BIT - 1, BIT, 1);
}

/* One extent costs no more than to see where it ends, whatever follows it. */
static void
test_one_extent_is_cheap(Fixture *fixture, gconstpointer data)
{
    StatusList list;

    fill(fixture, &list, "qemu:dirty-bitmap:alternating", 1, BIT);
    g_assert_cmpuint(list.n_extents, ==, 1);
    assert_extent(&list, 0, BIT, 1);
    g_assert_cmpuint(fixture->n_told, ==, 2);
}

static void
test_damage_ends_a_list(Fixture *fixture, gconstpointer data)
{
    StatusList list;

    g_assert_cmpuint(fill(fixture, &list, "qemu:dirty-bitmap:damaged", 10, 0), ==, DAMAGE);
    g_assert_cmpuint(list.n_extents, ==, 1);
    assert_extent(&list, 0, DAMAGE, 0);
    g_assert_cmpuint(fill(fixture, &list, "qemu:dirty-bitmap:damaged", 10, DAMAGE), ==, DAMAGE);
    g_assert_cmpuint(list.n_extents, ==, 0);
}

/* Where no question about layers may be asked, a name is that of the bitmap. */
static void
test_hidden_layers(Fixture *fixture, gconstpointer data)
{
    g_autoptr(ExportView) from = view(fixture);
    g_autoptr(GPtrArray) layers = select_one(from, "qemu:dirty-bitmap:above:image");
    g_autoptr(GPtrArray) bitmap = NULL;
    g_autoptr(GPtrArray) listed = NULL;

    from->hides_layers = TRUE;
    bitmap = select_one(from, "qemu:dirty-bitmap:above:image");
    g_assert_true(context_is_of_runs(layers->pdata[0]));
    g_assert_cmpuint(bitmap->len, ==, 1);
    g_assert_false(context_is_of_runs(bitmap->pdata[0]));
    listed = contexts_list(from, FALSE);
    for (guint i = 0; i < listed->len; i++) {
        const Context *context = listed->pdata[i];

        g_assert_true(g_str_equal(context->name, "base:allocation") ||
                      !context_is_of_runs(context));
    }
}

#define ADD(path, test) g_test_add("/bitmaps/" path, Fixture, NULL, set_up, test, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("list", test_list);
    ADD("long-list", test_long_list);
    ADD("refusals", test_refusals);
    ADD("collision", test_collision);
    ADD("hidden-layers", test_hidden_layers);
    ADD("extents", test_extents);
    ADD("one-extent-is-cheap", test_one_extent_is_cheap);
    ADD("damage-ends-a-list", test_damage_ends_a_list);
    return g_test_run();
}
