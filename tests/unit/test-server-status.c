/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-server-status.c - lists of extents, those of places above all, and their form on the wire.
 */
#include "exports/exports.h"
#include "mem-node.h"
#include "protocol/status-list.h"

#include <string.h>

#define SIZE 4096
#define GIB  (G_GUINT64_CONSTANT(1) << 30)

/* top > two leaves; what it is asked does not matter, for the runs are made up. */
typedef struct {
    StrataGraph *graph;
    StrataNode *top, *left, *right;
    StrataExports *exports;
    ExportView *view;
    GPtrArray *contexts;
    guint64 room[512];
    StatusMemory memory;
    StatusList list;
} Fixture;

static GPtrArray *
select_one(const ExportView *view, const char *name, gboolean wide)
{
    g_autoptr(GPtrArray) queries = g_ptr_array_new();

    g_ptr_array_add(queries, (gpointer)name);
    return contexts_select(view, queries, wide);
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
    guint8 bytes[SIZE] = { 0 };
    g_autoptr(GError) error = NULL;

    fixture->top = mem_node_new("top", SIZE, NULL, 0);
    fixture->left = mem_leaf_new("left", bytes, SIZE);
    fixture->right = mem_leaf_new("right", bytes, SIZE);
    mem_node_attach(fixture->top, STRATA_ROLE_FILE, fixture->left);
    mem_node_attach(fixture->top, STRATA_ROLE_DATA_FILE, fixture->right);
    fixture->graph = mem_graph_new(fixture->top);
    fixture->exports = strata_exports_new();
    g_assert_true(strata_exports_add(fixture->exports, "", NULL, fixture->graph, &error));
    fixture->view = exports_find(fixture->exports, NULL, "", &error);
    g_assert_no_error(error);
    fixture->contexts = select_one(fixture->view, "strata:leaf-offset", TRUE);
    g_assert_cmpuint(fixture->contexts->len, ==, 1);
    status_memory_init(&fixture->memory, fixture->room, sizeof fixture->room,
                       sizeof fixture->room / 8);
    status_list_init(&fixture->list, fixture->contexts->pdata[0], 1, &fixture->memory, TRUE, 100);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    g_ptr_array_unref(fixture->contexts);
    export_view_free(fixture->view);
    strata_exports_free(fixture->exports);
    strata_graph_unref(fixture->graph);
}

static void
take_extents(GArray *extents, const StatusList *list, struct iovec piece)
{
    const NbdExtent *narrow = piece.iov_base;
    const NbdExtExtent *wide = piece.iov_base;
    gsize size = list->is_wide ? sizeof *wide : sizeof *narrow;

    g_assert_cmpuint(piece.iov_len, >, 0);
    g_assert_cmpuint(piece.iov_len % size, ==, 0);
    for (gsize i = 0; i < piece.iov_len / size; i++) {
        ContextExtent extent = { 0 };

        if (list->is_wide)
            extent =
                (ContextExtent){ GUINT64_FROM_BE(wide[i].length), GUINT64_FROM_BE(wide[i].flags) };
        else
            extent = (ContextExtent){ GUINT32_FROM_BE(narrow[i].length),
                                      GUINT32_FROM_BE(narrow[i].flags) };
        g_array_append_val(extents, extent);
    }
}

/* Returns: (transfer full) (element-type ContextExtent): what a client would find in @list */
static GArray *
read_list(const StatusList *list)
{
    GArray *extents = g_array_new(FALSE, FALSE, sizeof(ContextExtent));
    guint n_pieces = status_list_count_pieces(list);
    g_autofree struct iovec *pieces = g_new(struct iovec, n_pieces);

    status_list_get_pieces(list, pieces);
    for (guint i = 0; i < n_pieces; i++)
        take_extents(extents, list, pieces[i]);
    g_assert_cmpuint(extents->len, ==, list->n_extents);
    return extents;
}

static void
assert_extents(const StatusList *list, const ContextExtent *expected, guint n_expected)
{
    g_autoptr(GArray) extents = read_list(list);

    g_assert_cmpuint(extents->len, ==, n_expected);
    for (guint i = 0; i < n_expected; i++) {
        ContextExtent extent = g_array_index(extents, ContextExtent, i);

        g_assert_cmpuint(extent.length, ==, expected[i].length);
        g_assert_cmphex(extent.value, ==, expected[i].value);
    }
}

#define N_RUNS 8

/* In order: two that follow one another in a leaf, a jump there, the other leaf where the first
 * would have gone on, zeros in no file, bytes that a format decodes, the leaf as if nothing had
 * been between, a hole in that leaf. */
static void
make_runs(const Fixture *fixture, StrataRun *runs)
{
    const StrataRun made[N_RUNS] = {
        { .length = 10, .leaf = fixture->left, .leaf_offset = 100 },
        { .length = 5, .leaf = fixture->left, .leaf_offset = 110, .depth = 1 },
        { .length = 6, .leaf = fixture->left, .leaf_offset = 200 },
        { .length = 7, .leaf = fixture->right, .leaf_offset = 206 },
        { .length = 8, .flags = STRATA_RUN_ZERO },
        { .length = 9, .leaf = fixture->top, .leaf_offset = 45, .flags = STRATA_RUN_COMPRESSED },
        { .length = 3, .leaf = fixture->right, .leaf_offset = 213 },
        { .length = 4, .leaf = fixture->right, .leaf_offset = 216, .flags = STRATA_RUN_ZERO },
    };

    memcpy(runs, made, sizeof made);
}

static const ContextExtent places[] = {
    { 15, 100 }, { 6, 200 }, { 7, 206 }, { 17, CONTEXT_NO_PLACE }, { 7, 213 },
};

static void
test_places(Fixture *fixture, gconstpointer data)
{
    StrataRun runs[N_RUNS];

    make_runs(fixture, runs);
    status_list_add_runs(&fixture->list, runs, N_RUNS);
    assert_extents(&fixture->list, places, G_N_ELEMENTS(places));
    g_assert_false(fixture->list.full);
}

/* A walk may cut its runs anywhere. */
static void
test_places_in_pieces(Fixture *fixture, gconstpointer data)
{
    StrataRun runs[N_RUNS];

    make_runs(fixture, runs);
    for (guint i = 0; i < N_RUNS; i++)
        for (guint64 at = 0; at < runs[i].length; at++) {
            StrataRun byte = runs[i];

            byte.length = 1;
            byte.leaf_offset += at;
            status_list_add_runs(&fixture->list, &byte, 1);
        }
    assert_extents(&fixture->list, places, G_N_ELEMENTS(places));
}

static void
test_places_are_full(Fixture *fixture, gconstpointer data)
{
    StrataRun runs[N_RUNS];

    make_runs(fixture, runs);
    status_list_init(&fixture->list, fixture->contexts->pdata[0], 1, &fixture->memory, TRUE, 1);
    status_list_add_runs(&fixture->list, &runs[0], 1);
    status_list_add_runs(&fixture->list, &runs[2], 1);
    g_assert_true(fixture->list.full);
    status_list_add_runs(&fixture->list, &runs[1], 1); /* must not follow a gap */
    assert_extents(&fixture->list, (ContextExtent[]){ { 10, 100 } }, 1);
}

static void
test_long_extents(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GPtrArray) contexts = select_one(fixture->view, "base:allocation", FALSE);
    const ContextExtent long_one = { 5 * GIB, 3 };
    StatusList list;

    status_list_init(&list, contexts->pdata[0], 1, &fixture->memory, TRUE, 100);
    for (guint i = 0; i < 3; i++)
        status_list_add_runs(&list, &(StrataRun){ .length = 3 * GIB }, 1);
    status_list_add(&list, &long_one, 1);
    assert_extents(&list, (ContextExtent[]){ { 9 * GIB, 0 }, { 5 * GIB, 3 } }, 2);
}

static void
test_narrow_form(Fixture *fixture, gconstpointer data)
{
    static const guint8 wire[] = { 0xff, 0xff, 0xf0, 0, 0,    0,    0,    3,
                                   0,    0,    2,    1, 0xff, 0xff, 0xff, 0xff };
    const ContextExtent extents[] = { { 0xfffff000, 3 }, { 513, G_MAXUINT32 } };
    struct iovec piece;
    StatusList list;

    status_list_init(&list, NULL, 1, &fixture->memory, FALSE, 100);
    status_list_add(&list, extents, G_N_ELEMENTS(extents));
    g_assert_cmpuint(status_list_count_pieces(&list), ==, 1);
    status_list_get_pieces(&list, &piece);
    g_assert_cmpmem(piece.iov_base, piece.iov_len, wire, sizeof wire);
}

static void
test_wide_form(Fixture *fixture, gconstpointer data)
{
    static const guint8 wire[] = { 0,    0,    0,    2,    0,    0,    0,    0,
                                   0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0 };
    const ContextExtent extent = { 8 * GIB, G_GUINT64_CONSTANT(0x123456789abcdef0) };
    struct iovec piece;

    status_list_add(&fixture->list, &extent, 1);
    g_assert_cmpuint(status_list_count_pieces(&fixture->list), ==, 1);
    status_list_get_pieces(&fixture->list, &piece);
    g_assert_cmpmem(piece.iov_base, piece.iov_len, wire, sizeof wire);
}

#define N_RANDOM 600

static void
make_random_extents(ContextExtent *extents, guint n_values)
{
    for (guint i = 0; i < N_RANDOM; i++)
        extents[i] = (ContextExtent){
            .length = (guint64)g_test_rand_int_range(1, 100) * 512,
            .value = (guint64)g_test_rand_int_range(0, (gint32)n_values),
        };
}

/* What shall come of it: neighbours of one value merged; no more than @limit. */
static GArray *
merge(const ContextExtent *extents, gsize limit, gboolean *out_full)
{
    GArray *merged = g_array_new(FALSE, FALSE, sizeof(ContextExtent));

    *out_full = FALSE;
    for (guint i = 0; i < N_RANDOM && !*out_full; i++) {
        ContextExtent *last =
            merged->len > 0 ? &g_array_index(merged, ContextExtent, merged->len - 1) : NULL;

        if (last != NULL && last->value == extents[i].value)
            last->length += extents[i].length;
        else if (merged->len < limit)
            g_array_append_val(merged, extents[i]);
        else
            *out_full = TRUE;
    }
    return merged;
}

static void
add_in_random_pieces(StatusList *list, const ContextExtent *extents)
{
    gsize done = 0;

    while (done < N_RANDOM) {
        gsize wanted = (gsize)g_test_rand_int_range(1, 300);
        gsize n = MIN(wanted, N_RANDOM - done);

        status_list_add(list, extents + done, n);
        done += n;
    }
}

/* In pieces for @per_piece extents, of which there are @n_pieces. */
static void
check_random_list(guint n_values, gboolean is_wide, guint per_piece, guint n_pieces, guint limit)
{
    gsize size = status_piece_size(per_piece, is_wide);
    g_autofree guint8 *room = g_malloc(n_pieces * size);
    ContextExtent extents[N_RANDOM];
    g_autoptr(GArray) expected = NULL;
    StatusMemory memory;
    StatusList list;
    gboolean full;

    make_random_extents(extents, n_values);
    expected = merge(extents, MIN(limit, (gsize)n_pieces * per_piece), &full);
    status_memory_init(&memory, room, n_pieces * size, size);
    status_list_init(&list, NULL, 1, &memory, is_wide, limit);
    add_in_random_pieces(&list, extents);
    assert_extents(&list, (gpointer)expected->data, expected->len);
    g_assert_cmpint(list.full, ==, full);
}

static void
test_random_lists(void)
{
    static const guint limits[] = { 1, 2, 77, N_RANDOM };

    for (guint n_values = 1; n_values < 5; n_values++)
        for (guint i = 0; i < G_N_ELEMENTS(limits); i++)
            for (guint per_piece = 1; per_piece <= 64; per_piece *= 4)
                for (gint is_wide = FALSE; is_wide <= TRUE; is_wide++) {
                    check_random_list(n_values, is_wide, per_piece, 1, limits[i]);
                    check_random_list(n_values, is_wide, per_piece, 5, limits[i]);
                    check_random_list(n_values, is_wide, per_piece, N_RANDOM, limits[i]);
                }
}

/* Whoever needs more has it, but for what is kept for others. */
static void
test_shared_memory(Fixture *fixture, gconstpointer data)
{
    const ContextExtent turns[] = { { 1, 0 }, { 1, 1 }, { 1, 0 }, { 1, 1 }, { 1, 0 }, { 1, 1 } };
    gsize size = status_piece_size(2, FALSE);
    StatusList greedy, modest;

    status_memory_init(&fixture->memory, fixture->room, 5 * size, size);
    status_list_init(&greedy, NULL, 1, &fixture->memory, FALSE, 100);
    status_list_init(&modest, NULL, 2, &fixture->memory, FALSE, 100);
    fixture->memory.n_kept = 1;
    status_list_add(&greedy, turns, 6);
    g_assert_false(greedy.full);
    status_list_add(&greedy, turns, 1);
    g_assert_true(greedy.full);
    status_list_add(&greedy, turns, 6); /* must not follow a gap */
    fixture->memory.n_kept = 0;
    status_list_add(&modest, turns, 4);
    g_assert_false(modest.full);
    status_list_add(&modest, turns, 1);
    g_assert_true(modest.full);
    assert_extents(&greedy, turns, 6);
    assert_extents(&modest, turns, 4);
}

/* 1366 characters of three bytes are 4098: one is left out, not two bytes of it. */
static void
test_string_length(void)
{
    g_autofree char *exact = g_strnfill(NBD_MAX_STRING, 'x');
    g_autofree char *over = g_strnfill(NBD_MAX_STRING + 1, 'x');
    g_autoptr(GString) wide = g_string_new(NULL);

    while (wide->len <= NBD_MAX_STRING)
        g_string_append(wide, "\xe2\x82\xac");
    g_assert_cmpuint(proto_string_length(""), ==, 0);
    g_assert_cmpuint(proto_string_length(exact), ==, NBD_MAX_STRING);
    g_assert_cmpuint(proto_string_length(over), ==, NBD_MAX_STRING);
    g_assert_cmpuint(proto_string_length(wide->str), ==, 4095);
}

/* Returns: (transfer full): the names, each behind a space */
static char *
names_of(GPtrArray *contexts)
{
    GString *names = g_string_new(NULL);

    for (guint i = 0; i < contexts->len; i++)
        g_string_append_printf(names, " %s", ((Context *)contexts->pdata[i])->name);
    return g_string_free(names, FALSE);
}

/* What has 64 bits is there for those who can be told, and for no others. */
static void
test_width(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GPtrArray) queries = g_ptr_array_new();
    g_autoptr(GPtrArray) selected = select_one(fixture->view, "strata:leaf-offset", FALSE);
    g_autoptr(GPtrArray) narrow = contexts_list(fixture->view, FALSE);
    g_autoptr(GPtrArray) wide = contexts_list(fixture->view, TRUE);
    g_autofree char *narrow_names = names_of(narrow);
    g_autofree char *wide_names = names_of(wide);
    g_autofree char *why = NULL;

    g_assert_cmpuint(selected->len, ==, 0);
    g_assert_null(strstr(narrow_names, " strata:leaf-offset"));
    g_assert_nonnull(strstr(wide_names, " strata:leaf-offset"));
    g_assert_cmpuint(wide->len, ==, narrow->len + 1);
    g_ptr_array_add(queries, (gpointer) "base:allocation");
    g_assert_null(contexts_explain_refusal(fixture->view, queries, FALSE));
    g_ptr_array_add(queries, (gpointer) "strata:leaf-offset");
    g_assert_null(contexts_explain_refusal(fixture->view, queries, TRUE));
    why = contexts_explain_refusal(fixture->view, queries, FALSE);
    g_assert_nonnull(strstr(why, "NBD_OPT_EXTENDED_HEADERS"));
}

static void
test_hidden_layers(Fixture *fixture, gconstpointer data)
{
    static const char *const kept_back[] = {
        "qemu:allocation-depth", "qemu:dirty-bitmap:above:top", "strata:joint",
        "strata:layer",          "strata:leaf-offset",          "strata:only:top",
        "strata:above:top",
    };
    g_autoptr(GPtrArray) list = NULL;
    g_autofree char *names = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(kept_back); i++) {
        g_autoptr(GPtrArray) contexts = select_one(fixture->view, kept_back[i], TRUE);

        g_assert_cmpuint(contexts->len, ==, 1);
    }
    fixture->view->hides_layers = TRUE;
    for (guint i = 0; i < G_N_ELEMENTS(kept_back); i++) {
        g_autoptr(GPtrArray) contexts = select_one(fixture->view, kept_back[i], TRUE);

        g_assert_cmpuint(contexts->len, ==, 0);
    }
    list = contexts_list(fixture->view, TRUE);
    names = names_of(list);
    g_assert_cmpstr(names, ==, " base:allocation");
}

#define ADD(path, test) g_test_add(path, Fixture, NULL, set_up, test, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/status/places", test_places);
    ADD("/status/places-in-pieces", test_places_in_pieces);
    ADD("/status/places-are-full", test_places_are_full);
    ADD("/status/long-extents", test_long_extents);
    ADD("/status/narrow-form", test_narrow_form);
    ADD("/status/wide-form", test_wide_form);
    g_test_add_func("/status/random-lists", test_random_lists);
    ADD("/status/shared-memory", test_shared_memory);
    g_test_add_func("/reply/string-length", test_string_length);
    ADD("/contexts/width", test_width);
    ADD("/contexts/hidden-layers", test_hidden_layers);
    return g_test_run();
}
