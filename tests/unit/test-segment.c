/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-segment.c - chains of nodes with tables: random ones against the model that asks byte by
 * byte, and the borders of windows, tables and units by hand. */
#include <strata/error.h>

#include "mem-node.h"
#include "segment.h"
#include "walk-model.h"
#include "walk.h"
#include "window.h"

static MemExtent
extent(guint64 offset, guint64 length, StrataAnswerKind kind, guint64 place, guint flags)
{
    MemExtent made = { offset, { .length = length, .kind = kind, .flags = flags } };

    if (kind == STRATA_ANSWER_DATA) {
        made.answer.child_offset = place;
        made.answer.role = STRATA_ROLE_FILE;
    }
    return made;
}

/* -- Random chains -- */

typedef struct {
    GRand *rand;
    guint n_nodes;
} Maker;

static char *
make_name(Maker *maker)
{
    return g_strdup_printf("n%u", maker->n_nodes++);
}

static guint64
choose(Maker *maker, guint64 least, guint64 most)
{
    return (guint64)g_rand_int_range(maker->rand, (gint32)least, (gint32)most + 1);
}

/* Data and holes, so that some places are in the one and some in the other, and some past the end.
 */
static StrataNode *
make_leaf(Maker *maker)
{
    g_autofree char *name = make_name(maker);
    guint64 size = choose(maker, 100, 1500);
    MemExtent extents[40];
    gsize n = 0;
    gboolean is_full = choose(maker, 0, 2) == 0;

    for (guint64 at = 0; at < size && n < G_N_ELEMENTS(extents); n++) {
        gboolean is_last = is_full || n + 1 == G_N_ELEMENTS(extents);
        guint64 length = is_last ? size - at : MIN(choose(maker, 1, 400), size - at);

        extents[n] = extent(at, length, n % 2 ? STRATA_ANSWER_ZERO : STRATA_ANSWER_OWN, 0, 0);
        at += length;
    }
    return mem_sparse_leaf_new(name, size, extents, n);
}

static StrataNode *make_chain(Maker *maker, guint n_layers, guint nesting);

static StrataNode *
make_storage(Maker *maker, guint nesting)
{
    StrataNode *window;
    StrataNode *below;
    g_autofree char *name = NULL;

    if (nesting > 0 && choose(maker, 0, 3) == 0)
        return make_chain(maker, (guint)choose(maker, 1, 3), nesting - 1);
    if (choose(maker, 0, 2) > 0)
        return make_leaf(maker);
    below = make_leaf(maker);
    name = make_name(maker);
    window = mem_window_new(name, below->size - 64, choose(maker, 0, 64));
    return mem_node_attach(window, STRATA_ROLE_FILE, below);
}

/* Where a unit is kept: anywhere, often behind the one before. */
static guint64
choose_place(Maker *maker, const MemExtent *last)
{
    if (last && last->answer.kind == STRATA_ANSWER_DATA && choose(maker, 0, 2) > 0)
        return last->answer.child_offset + last->answer.length;
    return choose(maker, 0, 1500);
}

static MemExtent
choose_extent(Maker *maker, guint64 at, guint64 length, const MemExtent *last)
{
    static const struct {
        StrataAnswerKind kind;
        guint flags;
    } kinds[] = {
        { STRATA_ANSWER_DATA, 0 },
        { STRATA_ANSWER_DATA, 0 },
        { STRATA_ANSWER_ZERO, 0 },
        { STRATA_ANSWER_OWN, STRATA_RUN_COMPRESSED },
        { STRATA_ANSWER_OWN, STRATA_RUN_ENCRYPTED },
    };
    gsize i = choose(maker, 0, G_N_ELEMENTS(kinds) - 1);

    return extent(at, length, kinds[i].kind, choose_place(maker, last), kinds[i].flags);
}

static StrataNode *
make_table_node(Maker *maker, guint unit_bits)
{
    g_autofree char *name = make_name(maker);
    g_autoptr(GArray) extents = g_array_new(FALSE, FALSE, sizeof(MemExtent));
    guint64 size = choose(maker, 1, 1200), unit = G_GUINT64_CONSTANT(1) << unit_bits;
    guint sparse = (guint)choose(maker, 1, 8);
    guint64 length;

    for (guint64 at = 0; at < size; at += length) {
        const MemExtent *last =
            extents->len ? &g_array_index(extents, MemExtent, extents->len - 1) : NULL;
        MemExtent next;

        length = MIN(unit * choose(maker, 1, 3), size - at);
        next = choose_extent(maker, at, length, last);
        if (choose(maker, 0, sparse) == 0)
            g_array_append_val(extents, next);
    }
    return mem_table_node_new(name, size, (const MemExtent *)(gpointer)extents->data, extents->len,
                              unit_bits, (guint)choose(maker, 1, 100));
}

/* What stands between two layers: nothing, or a window or two, some of them askew. */
static StrataNode *
make_windows(Maker *maker, StrataNode *below)
{
    while (choose(maker, 0, 3) == 0 && below->size > 1) {
        g_autofree char *name = make_name(maker);
        guint64 offset = choose(maker, 0, MIN(below->size - 1, 300));
        guint64 size = choose(maker, 1, below->size - offset);

        if (choose(maker, 0, 2) > 0 && offset >= 128)
            offset = offset / 128 * 128;
        size = MIN(size, below->size - offset);
        below = mem_node_attach(mem_window_new(name, size, offset), STRATA_ROLE_FILE, below);
    }
    return below;
}

static StrataNode *
make_chain(Maker *maker, guint n_layers, guint nesting)
{
    StrataNode *top = choose(maker, 0, 1) ? make_leaf(maker) : NULL;
    guint usual_bits = (guint)choose(maker, 0, 6);

    for (guint i = 0; i < n_layers; i++) {
        guint bits = choose(maker, 0, 3) ? usual_bits : (guint)choose(maker, 0, 8);
        StrataNode *layer = make_table_node(maker, bits);

        mem_node_attach(layer, STRATA_ROLE_FILE, make_storage(maker, nesting));
        if (top)
            mem_node_attach(layer, STRATA_ROLE_BACKING, make_windows(maker, top));
        top = layer;
    }
    return make_windows(maker, top);
}

static void
check_chain(guint32 seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    Maker maker = { .rand = rand };
    StrataNode *top = make_chain(&maker, (guint)g_rand_int_range(rand, 1, 8), 2);
    g_autoptr(StrataGraph) graph = mem_graph_new(top);
    g_autoptr(StrataWalk) walk = walk_new_sized(top, (guint)g_rand_int_range(rand, 1, 300));

    if (seed % 3 == 0) {
        StrataNode *node =
            strata_graph_get_node(graph, (guint)choose(&maker, 0, maker.n_nodes - 1));

        if (!node->is_plain) /* windows have nothing that could be damaged */
            mem_node_set_fault(node, choose(&maker, 0, node->size));
    }
    walk_model_check(top, walk, rand, seed);
}

static void
check_questions(guint32 seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    Maker maker = { .rand = rand };
    StrataNode *top = make_chain(&maker, (guint)g_rand_int_range(rand, 1, 8), 2);
    g_autoptr(StrataGraph) graph = mem_graph_new(top);
    g_autoptr(StrataWalk) walk = g_rand_boolean(rand)
                                     ? strata_walk_new(top)
                                     : walk_new_sized(top, (guint)g_rand_int_range(rand, 1, 300));

    if (seed % 3 == 0) {
        StrataNode *node =
            strata_graph_get_node(graph, (guint)choose(&maker, 0, maker.n_nodes - 1));

        if (!node->is_plain)
            mem_node_set_fault(node, choose(&maker, 0, node->size));
    }
    walk_model_question(top, walk, rand, seed, 12);
}

static void
test_questions(void)
{
    for (guint32 seed = 0; seed < 2000; seed++)
        check_questions(seed);
}

static void
test_random_chains(void)
{
    for (guint32 seed = 0; seed < 3000; seed++)
        check_chain(seed);
}

/* The same once more, asked for less than all: what is asked for is as it is with all of it. */
static guint64
value_of(const StrataRun *run, StrataDetails detail)
{
    switch (detail) {
    case STRATA_DETAIL_ZERO:
        return run->flags & STRATA_RUN_ZERO;
    case STRATA_DETAIL_FLAGS:
        return run->flags & ~(guint)STRATA_RUN_ZERO;
    case STRATA_DETAIL_DEPTH:
        return run->depth;
    default:
        return (guintptr)run->claimant;
    }
}

/* The bytes of @top, as one detail has them; 1 for what cannot be told. */
static guint64 *
list_values(StrataNode *top, StrataDetails details, StrataDetails detail)
{
    g_autoptr(StrataWalk) walk = walk_new_sized(top, 64);
    guint64 *values = g_new(guint64, top->size);

    strata_walk_set_details(walk, details);
    for (guint64 at = 0; at < top->size;) {
        gsize n;
        const StrataRun *runs = strata_walk_resolve(walk, at, top->size - at, &n, NULL);

        if (!runs)
            values[at++] = G_MAXUINT64;
        for (gsize i = 0; i < n; i++)
            for (guint64 j = 0; j < runs[i].length; j++)
                values[at++] = value_of(&runs[i], detail);
    }
    return values;
}

static void
test_fewer_details(void)
{
    static const StrataDetails details[] = { STRATA_DETAIL_ZERO, STRATA_DETAIL_FLAGS,
                                             STRATA_DETAIL_DEPTH, STRATA_DETAIL_CLAIMANT };

    for (guint32 seed = 0; seed < 300; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        Maker maker = { .rand = rand };
        StrataNode *top = make_chain(&maker, (guint)g_rand_int_range(rand, 1, 6), 1);
        g_autoptr(StrataGraph) graph = mem_graph_new(top);
        StrataDetails one = details[seed % G_N_ELEMENTS(details)];
        StrataDetails two = one | details[seed / 4 % G_N_ELEMENTS(details)];
        g_autofree guint64 *all = list_values(top, STRATA_DETAIL_ALL, one);
        g_autofree guint64 *alone = list_values(top, one, one);
        g_autofree guint64 *pair = list_values(top, two, one);

        g_assert_cmpmem(alone, top->size * sizeof *all, all, top->size * sizeof *all);
        g_assert_cmpmem(pair, top->size * sizeof *all, all, top->size * sizeof *all);
    }
}

/* -- By hand -- */

/* Two layers of 20,000 units, more than a window and than the pieces of a walk: each second unit is
 * the upper one's. */
static StrataNode *
make_comb(StrataNode **out_base)
{
    const guint n = 20000;
    g_autofree MemExtent *teeth = g_new(MemExtent, n / 2);
    MemExtent all = extent(0, n * 16, STRATA_ANSWER_DATA, 0, 0);
    MemExtent content = extent(0, n * 16, STRATA_ANSWER_OWN, 0, 0);
    StrataNode *top;

    for (guint i = 0; i < n / 2; i++)
        teeth[i] = extent((guint64)i * 32, 16, STRATA_ANSWER_ZERO, 0, 0);
    top = mem_table_node_new("top", n * 16, teeth, n / 2, 4, 4096);
    *out_base = mem_table_node_new("base", n * 16, &all, 1, 4, 4096);
    mem_node_attach(*out_base, STRATA_ROLE_FILE, mem_sparse_leaf_new("file", n * 16, &content, 1));
    return mem_node_attach(top, STRATA_ROLE_BACKING, *out_base);
}

/* What a call had no room for is not found twice: a table is opened once for each window in it, and
 * a unit told once, whatever part of a result the caller uses. */
static void
test_nothing_is_found_twice(void)
{
    StrataNode *base, *top = make_comb(&base);
    g_autoptr(StrataGraph) graph = mem_graph_new(top);
    g_autoptr(StrataWalk) walk = strata_walk_new(top);
    guint64 at = 0;
    guint n_runs = 0;

    while (at < top->size) {
        gsize n;
        const StrataRun *runs = strata_walk_resolve(walk, at, top->size - at, &n, NULL);
        gsize used = MIN(n, 1000);

        g_assert_nonnull(runs);
        g_assert_cmpuint(runs[0].offset, ==, at);
        at = runs[used - 1].offset + runs[used - 1].length;
        n_runs += used;
    }
    g_assert_cmpuint(n_runs, ==, 20000);
    g_assert_cmpuint(mem_node_get_n_answers(base), ==, 10000);
    g_assert_cmpuint(mem_node_get_n_answers(top), ==, 10000);
    g_assert_cmpuint(mem_node_get_n_calls(base), <=, 20);
    g_assert_cmpuint(mem_node_get_n_calls(base->children[STRATA_ROLE_FILE]), <=, 20);
}

/* Who asks again for what he has been told gets a new answer. */
static void
test_asked_again_is_found_again(void)
{
    StrataNode *base, *top = make_comb(&base);
    g_autoptr(StrataGraph) graph = mem_graph_new(top);
    g_autoptr(StrataWalk) walk = strata_walk_new(top);
    guint before;
    gsize n;

    g_assert_nonnull(strata_walk_resolve(walk, 0, 3200, &n, NULL));
    before = mem_node_get_n_answers(base);
    g_assert_nonnull(strata_walk_resolve(walk, 0, 3200, &n, NULL));
    g_assert_cmpuint(mem_node_get_n_answers(base), ==, 2 * before);
    g_assert_nonnull(strata_walk_resolve(walk, 16, 3184, &n, NULL));
    g_assert_cmpuint(n, ==, 199);
    g_assert_cmpuint(mem_node_get_n_answers(base), ==, 2 * before);
    strata_walk_set_details(walk, STRATA_DETAIL_DEPTH);
    g_assert_nonnull(strata_walk_resolve(walk, 32, 3168, &n, NULL));
    g_assert_cmpuint(mem_node_get_n_answers(base), >, 2 * before);
}

/* A lower layer is not even opened where the ones above claim all. */
static void
test_hidden_layers_are_not_asked(void)
{
    MemExtent all = extent(0, 4096, STRATA_ANSWER_ZERO, 0, 0);
    StrataNode *base = mem_table_node_new("base", 4096, &all, 1, 4, 64);
    StrataNode *top = mem_table_node_new("top", 4096, &all, 1, 4, 64);
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataWalk) walk = NULL;
    gsize n;

    graph = mem_graph_new(mem_node_attach(top, STRATA_ROLE_BACKING, base));
    walk = strata_walk_new(top);
    g_assert_nonnull(strata_walk_resolve(walk, 0, 4096, &n, NULL));
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpuint(mem_node_get_n_calls(base), ==, 0);
}

/* Damage of a large unit, all of which is hidden by small ones, is nobody's, and does not keep what
 * follows from being told. */
static void
test_hidden_damage_is_not_told(void)
{
    MemExtent hiding = extent(64, 64, STRATA_ANSWER_ZERO, 0, 0);
    MemExtent behind = extent(128, 64, STRATA_ANSWER_ZERO, 0, 0);
    StrataNode *base = mem_table_node_new("base", 192, &behind, 1, 6, 8);
    StrataNode *top = mem_table_node_new("top", 192, &hiding, 1, 4, 64);
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataWalk) walk = NULL;
    const StrataRun *runs;
    gsize n;

    mem_node_set_fault(base, 64);
    graph = mem_graph_new(mem_node_attach(top, STRATA_ROLE_BACKING, base));
    walk = strata_walk_new(top);
    runs = strata_walk_resolve(walk, 0, 192, &n, NULL);
    g_assert_cmpuint(n, ==, 3);
    g_assert_null(runs[0].claimant);
    g_assert_true(runs[1].claimant == top);
    g_assert_true(runs[2].claimant == base);
}

/* However long the disk is that is described by what is in memory: a call ends after so many looks,
 * and the next goes on. */
static void
test_a_call_is_bounded(void)
{
    const guint64 size = 64 * WINDOW_GRANULES * 16;
    MemExtent all = extent(0, size, STRATA_ANSWER_ZERO, 0, 0);
    StrataNode *top = mem_table_node_new("base", size, NULL, 0, 4, 4096);
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataWalk) walk = NULL;
    guint64 at = 0;
    guint n_calls = 0;

    for (guint i = 0; i < 400; i++) {
        g_autofree char *name = g_strdup_printf("layer-%u", i);
        StrataNode *layer = mem_table_node_new(name, size, &all, 1, 4, 4096);

        top = mem_node_attach(layer, STRATA_ROLE_BACKING, top);
    }
    graph = mem_graph_new(top);
    walk = strata_walk_new(top);
    for (; at < size; n_calls++) {
        gsize n;
        const StrataRun *runs = strata_walk_resolve(walk, at, size - at, &n, NULL);

        g_assert_nonnull(runs);
        g_assert_cmpuint(n, ==, 1);
        at += runs[0].length;
    }
    g_assert_cmpuint(n_calls, ==, 2);
}

/* A byte is explained without going through all that is like it. */
static void
test_an_explanation_is_bounded(void)
{
    const guint64 size = G_GUINT64_CONSTANT(1) << 20;
    MemExtent all = extent(0, size, STRATA_ANSWER_ZERO, 0, 0);
    StrataNode *top = mem_table_node_new("top", size, &all, 1, 0, 4096);
    g_autoptr(StrataGraph) graph = mem_graph_new(top);
    g_autoptr(StrataWalk) walk = strata_walk_new(top);
    g_autoptr(GArray) steps = strata_walk_explain(walk, 16, NULL, NULL);

    g_assert_cmpuint(steps->len, ==, 1);
    g_assert_cmpuint(g_array_index(steps, StrataStep, 0).length, <, size / 2);
}

/* A walk that has asked leaves for a window at a time goes step by step when it is to explain. */
static void
test_explained_after_resolved(void)
{
    StrataNode *base, *top = make_comb(&base);
    g_autoptr(StrataGraph) graph = mem_graph_new(top);
    g_autoptr(StrataWalk) walk = strata_walk_new(top);
    g_autoptr(GArray) steps = NULL;
    gsize n;

    g_assert_nonnull(strata_walk_resolve(walk, 0, 3200, &n, NULL));
    steps = strata_walk_explain(walk, 16, NULL, NULL);
    g_assert_cmpuint(steps->len, ==, 3);
    g_assert_true(g_array_index(steps, StrataStep, 2).node == base->children[STRATA_ROLE_FILE]);
}

/* The fault of a window is nobody's where the range ends before it, for want of room: each unit of
 * the data is cut in two by the end of the file. */
static void
test_a_fault_behind_the_end(void)
{
    MemExtent units[8];
    StrataNode *top;
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataWalk) walk = NULL;
    gsize n;

    for (gsize i = 0; i < G_N_ELEMENTS(units); i++)
        units[i] = extent(i * 16, 16, STRATA_ANSWER_DATA, 96, 0);
    top = mem_table_node_new("top", 160, units, G_N_ELEMENTS(units), 4, 10);
    mem_node_set_fault(top, 128);
    graph = mem_graph_new(
        mem_node_attach(top, STRATA_ROLE_FILE, mem_sparse_leaf_new("file", 100, NULL, 0)));
    walk = walk_new_sized(top, 10);
    g_assert_nonnull(strata_walk_resolve(walk, 0, 160, &n, NULL));
    g_assert_cmpuint(n, ==, 10);
}

/* Up to the last byte that there can be, which no unit and no window ends at. */
static void
test_the_far_end(void)
{
    const guint64 half = G_GUINT64_CONSTANT(1) << 62, unit = 1 << 21, small = 1 << 16;
    const guint64 size = half - 1; /* of all but the base, which has as much before it */
    MemExtent last = extent(2 * half - unit, unit - 1, STRATA_ANSWER_DATA, 3 * unit, 0);
    MemExtent zero = extent(half - 2 * small, small, STRATA_ANSWER_ZERO, 0, 0);
    MemExtent content = extent(0, 4 * unit, STRATA_ANSWER_OWN, 0, 0);
    StrataNode *top = mem_table_node_new("top", size, &zero, 1, 16, 8192);
    StrataNode *base = mem_table_node_new("base", half + size, &last, 1, 21, 1024);
    StrataNode *file = mem_sparse_leaf_new("file", 4 * unit, &content, 1);
    StrataNode *window = mem_node_attach(mem_window_new("window", size, half), STRATA_ROLE_FILE,
                                         mem_node_attach(base, STRATA_ROLE_FILE, file));
    g_autoptr(StrataGraph) graph = mem_graph_new(mem_node_attach(top, STRATA_ROLE_BACKING, window));
    g_autoptr(StrataWalk) walk = strata_walk_new(top);
    g_autoptr(GString) got = g_string_new(NULL);
    gsize n = 0;

    for (guint64 at = half - 2 * unit; at < size;) {
        const StrataRun *runs = strata_walk_resolve(walk, at, size - at, &n, NULL);

        g_assert_nonnull(runs);
        for (gsize i = 0; i < n; i++) {
            g_string_append_printf(got, "-%u %s %u %s@%u\n", (guint)(half - runs[i].offset),
                                   runs[i].claimant ? runs[i].claimant->name : "-", runs[i].flags,
                                   runs[i].leaf ? runs[i].leaf->name : "-",
                                   (guint)runs[i].leaf_offset);
            at = runs[i].offset + runs[i].length;
        }
    }
    g_assert_cmpstr(got->str, ==,
                    "-4194304 - 1 -@0\n"
                    "-2097152 base 0 file@6291456\n"
                    "-131072 top 1 -@0\n"
                    "-65536 base 0 file@8323072\n");
}

/* -- Bits -- */

static void
test_bits(void)
{
    for (gsize n = 1; n < 200; n += 7) {
        for (gsize at = 0; at + n < 300; at += 13) {
            guint64 bits[5] = { 0 }, copied[5] = { 0 };
            gsize step;

            bits_fill(bits, at, n);
            for (gsize i = 0; i < 300; i++)
                g_assert_cmpint(bits_get(bits, i), ==, i >= at && i < at + n);
            g_assert_cmpuint(bits_find(bits, 0, 300), ==, at);
            g_assert_cmpuint(bits_find(bits, at + n, 300), ==, 300);
            g_assert_cmpuint(bits_find(bits, 0, at), ==, at);
            for (gsize done = 0; done < n; done += step) {
                step = MIN(n - done, 37);
                bits_put(copied, at + done, bits_word_at(bits, at + done, 320), step);
            }
            g_assert_cmpmem(copied, sizeof copied, bits, sizeof bits);
        }
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/segment/random-chains", test_random_chains);
    g_test_add_func("/segment/questions", test_questions);
    g_test_add_func("/segment/fewer-details", test_fewer_details);
    g_test_add_func("/segment/nothing-is-found-twice", test_nothing_is_found_twice);
    g_test_add_func("/segment/asked-again-is-found-again", test_asked_again_is_found_again);
    g_test_add_func("/segment/hidden-layers-are-not-asked", test_hidden_layers_are_not_asked);
    g_test_add_func("/segment/hidden-damage-is-not-told", test_hidden_damage_is_not_told);
    g_test_add_func("/segment/a-call-is-bounded", test_a_call_is_bounded);
    g_test_add_func("/segment/an-explanation-is-bounded", test_an_explanation_is_bounded);
    g_test_add_func("/segment/explained-after-resolved", test_explained_after_resolved);
    g_test_add_func("/segment/a-fault-behind-the-end", test_a_fault_behind_the_end);
    g_test_add_func("/segment/the-far-end", test_the_far_end);
    g_test_add_func("/segment/bits", test_bits);
    return g_test_run();
}
