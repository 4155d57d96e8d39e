/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-server-status.c - lists of extents, those of places above all, and their form on the wire.
 */
#include "exports/exports.h"
#include "mem-node.h"
#include "protocol/block-status.h"
#include "protocol/reply.h"

#include <string.h>

#define SIZE    4096
#define GIB     (G_GUINT64_CONSTANT(1) << 30)
#define LONGEST G_GUINT64_CONSTANT(0xfffff000) /* of an extent in a compact reply */

/* top > two leaves; what it is asked does not matter, for the runs are made up. */
typedef struct {
    StrataGraph *graph;
    StrataNode *top, *left, *right;
    StrataExports *exports;
    ExportView *view;
    GPtrArray *contexts;
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
    status_list_init(&fixture->list, fixture->contexts->pdata[0], 1, 100);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    status_list_clear(&fixture->list);
    g_ptr_array_unref(fixture->contexts);
    export_view_free(fixture->view);
    strata_exports_free(fixture->exports);
    strata_graph_unref(fixture->graph);
}

static void
assert_extents(const StatusList *list, const NbdExtExtent *expected, guint n_expected)
{
    g_assert_cmpuint(list->n_extents, ==, n_expected);
    for (guint i = 0; i < n_expected; i++) {
        NbdExtExtent extent = list->extents[i];

        g_assert_cmpuint(extent.length, ==, expected[i].length);
        g_assert_cmphex(extent.flags, ==, expected[i].flags);
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

static const NbdExtExtent places[] = {
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
    fixture->list.limit = 1;
    status_list_add_runs(&fixture->list, &runs[0], 1);
    status_list_add_runs(&fixture->list, &runs[2], 1);
    g_assert_true(fixture->list.full);
    status_list_add_runs(&fixture->list, &runs[1], 1); /* must not follow a gap */
    assert_extents(&fixture->list, (NbdExtExtent[]){ { 10, 100 } }, 1);
}

static void
test_long_extents(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GPtrArray) contexts = select_one(fixture->view, "base:allocation", FALSE);
    StatusList list;

    status_list_init(&list, contexts->pdata[0], 1, 100);
    for (guint i = 0; i < 3; i++)
        status_list_add_runs(&list, &(StrataRun){ .length = 3 * GIB }, 1);
    status_list_add(&list, 5 * GIB, 3);
    assert_extents(&list, (NbdExtExtent[]){ { 9 * GIB, 0 }, { 5 * GIB, 3 } }, 2);
    status_list_clear(&list);
}

static void
test_compact_form(void)
{
    NbdExtExtent extents[] = { { 512, 7 }, { LONGEST, G_MAXUINT32 }, { LONGEST + 1, 1 }, { 5, 2 } };
    const NbdExtent *packed = (gpointer)extents;

    g_assert_cmpuint(reply_pack_extents(extents, G_N_ELEMENTS(extents)), ==, 3);
    g_assert_cmpuint(GUINT32_FROM_BE(packed[0].length), ==, 512);
    g_assert_cmpuint(GUINT32_FROM_BE(packed[0].flags), ==, 7);
    g_assert_cmpuint(GUINT32_FROM_BE(packed[1].length), ==, LONGEST);
    g_assert_cmpuint(GUINT32_FROM_BE(packed[1].flags), ==, G_MAXUINT32);
    g_assert_cmpuint(GUINT32_FROM_BE(packed[2].length), ==, LONGEST);
    g_assert_cmpuint(GUINT32_FROM_BE(packed[2].flags), ==, 1);
}

static void
test_extended_form(void)
{
    static const guint8 wire[] = { 0,    0,    0,    2,    0,    0,    0,    0,
                                   0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0 };
    NbdExtExtent extents[] = { { 8 * GIB, G_GUINT64_CONSTANT(0x123456789abcdef0) } };

    reply_pack_ext_extents(extents, 1);
    g_assert_cmpmem(extents, sizeof extents, wire, sizeof wire);
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
    g_test_add_func("/reply/compact-form", test_compact_form);
    g_test_add_func("/reply/extended-form", test_extended_form);
    g_test_add_func("/reply/string-length", test_string_length);
    ADD("/contexts/width", test_width);
    ADD("/contexts/hidden-layers", test_hidden_layers);
    return g_test_run();
}
