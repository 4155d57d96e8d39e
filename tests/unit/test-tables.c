/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-tables.c - the table cache: what it keeps, what it lets go, and what threads see. */
#include <string.h>

#include "error.h"
#include "mem-node.h"
#include "tables.h"

#define TABLE_SIZE 512
#define N_TABLES   16

/* A leaf whose every table is filled with its own number. The graph owns the node. */
static StrataGraph *
numbered_graph(void)
{
    guint8 bytes[N_TABLES * TABLE_SIZE];

    for (int i = 0; i < N_TABLES; i++)
        memset(bytes + i * TABLE_SIZE, i, TABLE_SIZE);
    return mem_graph_new(mem_leaf_new("leaf", bytes, sizeof bytes));
}

static Table *
get(TableCache *cache, StrataGraph *graph, int number)
{
    g_autoptr(GError) error = NULL;
    StrataNode *leaf = strata_graph_get_top(graph);
    Table *table = table_cache_get(cache, leaf, (guint64)number * TABLE_SIZE, TABLE_SIZE, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(table->size, ==, TABLE_SIZE);
    g_assert_cmpuint(table->bytes[0], ==, number);
    g_assert_cmpuint(table->bytes[TABLE_SIZE - 1], ==, number);
    return table;
}

/* Whether asking again gives the very same table, which is held meanwhile, so that its memory
 * cannot be used again. */
static gboolean
is_kept(TableCache *cache, StrataGraph *graph, Table *held, int number)
{
    g_autoptr(Table) again = get(cache, graph, number);

    return again == held;
}

static void
test_keeps_the_most_recent(void)
{
    g_autoptr(StrataGraph) graph = numbered_graph();
    TableCache *cache = table_cache_new(3 * TABLE_SIZE);
    g_autoptr(Table) zero = get(cache, graph, 0);
    g_autoptr(Table) one = get(cache, graph, 1);
    g_autoptr(Table) two = get(cache, graph, 2);
    g_autoptr(Table) three = NULL;

    g_assert_true(is_kept(cache, graph, zero, 0)); /* and is now the newest */
    three = get(cache, graph, 3);                  /* pushes out the oldest, 1 */
    g_assert_true(is_kept(cache, graph, zero, 0));
    g_assert_true(is_kept(cache, graph, two, 2));
    g_assert_true(is_kept(cache, graph, three, 3));
    g_assert_false(is_kept(cache, graph, one, 1));
    table_cache_free(cache);
}

static void
test_evicted_table_lives_while_it_is_used(void)
{
    g_autoptr(StrataGraph) graph = numbered_graph();
    TableCache *cache = table_cache_new(TABLE_SIZE);
    g_autoptr(Table) first = get(cache, graph, 7);

    for (int i = 0; i < 4; i++)
        table_unref(get(cache, graph, i));
    g_assert_cmpuint(first->bytes[0], ==, 7);
    table_cache_free(cache);
    g_assert_cmpuint(first->bytes[TABLE_SIZE - 1], ==, 7);
}

static void
test_above_the_budget_is_not_kept(void)
{
    g_autoptr(StrataGraph) graph = numbered_graph();
    TableCache *cache = table_cache_new(TABLE_SIZE - 1);
    g_autoptr(Table) table = get(cache, graph, 5);

    g_assert_false(is_kept(cache, graph, table, 5));
    table_cache_free(cache);
}

static void
test_same_offset_other_size(void)
{
    g_autoptr(StrataGraph) graph = numbered_graph();
    StrataNode *leaf = strata_graph_get_top(graph);
    TableCache *cache = table_cache_new(N_TABLES * TABLE_SIZE);
    g_autoptr(GError) error = NULL;
    g_autoptr(Table) small = table_cache_get(cache, leaf, 0, 8, &error);
    g_autoptr(Table) large = table_cache_get(cache, leaf, 0, 2 * TABLE_SIZE, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(small->size, ==, 8);
    g_assert_cmpuint(large->size, ==, 2 * TABLE_SIZE);
    g_assert_cmpuint(large->bytes[TABLE_SIZE], ==, 1);
    table_cache_free(cache);
}

static void
test_failed_read_is_told_each_time(void)
{
    g_autoptr(StrataGraph) graph = numbered_graph();
    StrataNode *leaf = strata_graph_get_top(graph);
    TableCache *cache = table_cache_new(N_TABLES * TABLE_SIZE);

    for (int i = 0; i < 2; i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(
            table_cache_get(cache, leaf, (N_TABLES - 1) * TABLE_SIZE, 2 * TABLE_SIZE, &error));
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
    }
    table_cache_free(cache);
}

typedef struct {
    TableCache *cache;
    StrataGraph *graph;
    guint32 seed;
} Crowd;

static gpointer
one_of_the_crowd(gpointer data)
{
    Crowd *crowd = data;
    g_autoptr(GRand) random = g_rand_new_with_seed(crowd->seed);

    for (int i = 0; i < 20000; i++)
        table_unref(get(crowd->cache, crowd->graph, g_rand_int_range(random, 0, N_TABLES)));
    return NULL;
}

static void
test_many_threads(void)
{
    g_autoptr(StrataGraph) graph = numbered_graph();
    TableCache *cache = table_cache_new(5 * TABLE_SIZE);
    Crowd crowds[4];
    GThread *threads[G_N_ELEMENTS(crowds)];

    for (gsize i = 0; i < G_N_ELEMENTS(crowds); i++) {
        crowds[i] = (Crowd){ cache, graph, 100 + i };
        threads[i] = g_thread_new("crowd", one_of_the_crowd, &crowds[i]);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(crowds); i++)
        g_thread_join(threads[i]);
    table_cache_free(cache);
}

/* -- Tables that are made -- */

#define N_WAITING 6

/* Makes a table of @value; fails as often as @n_failures says. */
typedef struct _Maker {
    TableCache *cache;
    StrataGraph *graph;
    gboolean wait_for_all; /* until all of N_WAITING have come */
    gboolean clear;        /* the cache, once */
    struct _Maker *before; /* has begun in a thread, waits for all, and ends before this one */
    GThread *thread;       /* which runs it */
    gint n_came;           /* atomic */
    gint n_fills;          /* atomic */
    gint n_failures;       /* atomic */
    guint8 value;
} Maker;

static Table *make(Maker *maker, GError **error);

/* A file changes while the table is made from what it was. Another is begun after that, which ends
 * before this one. */
static void
clear_and_begin_another(Maker *maker)
{
    g_autoptr(Table) other = NULL;

    maker->clear = FALSE;
    table_cache_clear(maker->cache);
    maker->value = 2;
    other = make(maker, NULL);
    g_assert_cmpuint(other->bytes[0], ==, 2);
}

static gboolean
make_fill(const TableKey *key, gpointer data, guint8 *bytes, gsize size, GError **error)
{
    Maker *maker = data;

    g_assert_cmpuint(key->length, ==, 3);
    g_atomic_int_inc(&maker->n_fills);
    while (maker->wait_for_all && g_atomic_int_get(&maker->n_came) < N_WAITING)
        g_thread_yield();
    memset(bytes, maker->value, size);
    if (maker->clear)
        clear_and_begin_another(maker);
    if (maker->before != NULL) {
        g_atomic_int_set(&maker->before->n_came, N_WAITING);
        table_unref(g_thread_join(maker->thread));
    }
    if (g_atomic_int_add(&maker->n_failures, -1) > 0)
        return strata_throw(error, key->storage, STRATA_ERROR_IO, "not now");
    return TRUE;
}

static Table *
make(Maker *maker, GError **error)
{
    const TableKey key = { strata_graph_get_top(maker->graph), 10, 3 };

    g_atomic_int_inc(&maker->n_came);
    return table_cache_make(maker->cache, &key, TABLE_SIZE, make_fill, maker, error);
}

static gpointer
make_in_thread(gpointer data)
{
    return make(data, NULL);
}

/* Returns how many of N_WAITING threads that came at once got a table. */
static guint
make_in_threads(Maker *maker)
{
    GThread *threads[N_WAITING];
    guint n = 0;

    for (gsize i = 0; i < N_WAITING; i++)
        threads[i] = g_thread_new("maker", make_in_thread, maker);
    for (gsize i = 0; i < N_WAITING; i++) {
        Table *table = g_thread_join(threads[i]);

        if (table == NULL)
            continue;
        n++;
        g_assert_cmpuint(table->bytes[TABLE_SIZE - 1], ==, maker->value);
        table_unref(table);
    }
    return n;
}

/* Also where the cache has no room to keep it. */
static void
test_made_once_for_all_who_wait(void)
{
    const gsize budgets[] = { 10 * TABLE_SIZE, 0 };

    for (gsize i = 0; i < G_N_ELEMENTS(budgets); i++) {
        g_autoptr(StrataGraph) graph = numbered_graph();
        Maker maker = { table_cache_new(budgets[i]), graph, .wait_for_all = TRUE, .value = 1 };

        g_assert_cmpuint(make_in_threads(&maker), ==, N_WAITING);
        if (budgets[i] > 0)
            g_assert_cmpint(maker.n_fills, ==, 1);
        table_cache_free(maker.cache);
    }
}

/* The first one fails; those who waited for it try for themselves, and so does who comes later. */
static void
test_failure_is_for_one(void)
{
    g_autoptr(StrataGraph) graph = numbered_graph();
    Maker maker = { table_cache_new(TABLE_SIZE), graph, .wait_for_all = TRUE, .n_failures = 1 };
    g_autoptr(Table) later = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_cmpuint(make_in_threads(&maker), ==, N_WAITING - 1);
    later = make(&maker, &error);
    g_assert_no_error(error);
    table_cache_free(maker.cache);
}

static void
test_clear_forgets_all(void)
{
    g_autoptr(StrataGraph) graph = numbered_graph();
    TableCache *cache = table_cache_new(2 * TABLE_SIZE);
    g_autoptr(Table) zero = get(cache, graph, 0);
    g_autoptr(Table) one = get(cache, graph, 1);
    g_autoptr(Table) again = NULL;

    table_cache_clear(cache);
    g_assert_false(is_kept(cache, graph, zero, 0));
    again = get(cache, graph, 0);
    g_assert_true(is_kept(cache, graph, again, 0));
    g_assert_false(is_kept(cache, graph, one, 1));
    g_assert_true(is_kept(cache, graph, again, 0)); /* so the budget counts from nothing, too */
    g_assert_cmpuint(zero->bytes[0], ==, 0);
    table_cache_free(cache);
}

/* What was begun before the clearing is not kept, and does not push out what was begun after. */
static void
test_clear_while_a_table_is_made(void)
{
    g_autoptr(StrataGraph) graph = numbered_graph();
    Maker maker = { table_cache_new(10 * TABLE_SIZE), graph, .clear = TRUE, .value = 1 };
    g_autoptr(GError) error = NULL;
    g_autoptr(Table) old = make(&maker, &error);
    g_autoptr(Table) new = make(&maker, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(old->bytes[0], ==, 1);
    g_assert_cmpuint(new->bytes[0], ==, 2);
    g_assert_cmpint(maker.n_fills, ==, 2);
    table_cache_free(maker.cache);
}

/* Likewise where the one begun before ends before the other. */
static void
test_clear_between_two(void)
{
    g_autoptr(StrataGraph) graph = numbered_graph();
    TableCache *cache = table_cache_new(10 * TABLE_SIZE);
    Maker before = { cache, graph, .wait_for_all = TRUE, .value = 1 };
    Maker after = { cache, graph, .before = &before, .value = 2 };
    g_autoptr(Table) new = NULL;
    g_autoptr(Table) later = NULL;

    after.thread = g_thread_new("before", make_in_thread, &before);
    while (g_atomic_int_get(&before.n_fills) == 0)
        g_thread_yield();
    table_cache_clear(cache);
    new = make(&after, NULL);
    after.before = NULL;
    later = make(&after, NULL);
    g_assert_cmpuint(new->bytes[0], ==, 2);
    g_assert_true(later == new);
    table_cache_free(cache);
}

/* -- Nesting -- */

/* A node that takes two tables of its storage to answer, and a cache that keeps none. */
static gsize
hungry_map(StrataNode *node, const StrataRange *ranges, gsize n_ranges, StrataAnswer *answers,
           gsize max_answers, GError **error)
{
    for (int i = 0; i < 2; i++) {
        g_autoptr(Table) table =
            table_cache_get(node->graph->tables, node->children[STRATA_ROLE_FILE], i * TABLE_SIZE,
                            TABLE_SIZE, error);

        if (table == NULL)
            return 0;
    }
    answers[0] = (StrataAnswer){ .length = ranges[0].length,
                                 .child_offset = ranges[0].offset,
                                 .kind = STRATA_ANSWER_DATA,
                                 .role = STRATA_ROLE_FILE };
    return 1;
}

static StrataGraph *
nested_graph(guint n_levels)
{
    static StrataDriver hungry;
    guint8 bytes[N_TABLES * TABLE_SIZE] = { 0 };
    StrataNode *top = mem_leaf_new("leaf", bytes, sizeof bytes);
    StrataGraph *graph;

    while (n_levels-- > 0) {
        StrataNode *node = mem_node_new("image", sizeof bytes, NULL, 0);

        hungry = *node->driver;
        hungry.map = hungry_map;
        node->driver = &hungry;
        top = mem_node_attach(node, STRATA_ROLE_FILE, top);
    }
    graph = mem_graph_new(top);
    table_cache_free(graph->tables);
    graph->tables = table_cache_new(0);
    return graph;
}

/* Every level of nesting may treble the work; that must end in an error and not in eternity. */
static void
test_nesting_is_bounded(void)
{
    g_autoptr(StrataGraph) shallow = nested_graph(6);
    g_autoptr(StrataGraph) deep = nested_graph(40);
    g_autoptr(GError) error = NULL;
    guint8 byte;
    guint64 before;

    g_assert_true(strata_node_read(strata_graph_get_top(shallow), 0, 1, &byte, &error));
    g_assert_no_error(error);
    before = table_cache_count_work();
    g_assert_false(strata_node_read(strata_graph_get_top(deep), 0, 1, &byte, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT);
    g_assert_cmpuint(table_cache_count_work() - before, <, 70000);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tables/keeps-the-most-recent", test_keeps_the_most_recent);
    g_test_add_func("/tables/evicted-table-lives-while-it-is-used",
                    test_evicted_table_lives_while_it_is_used);
    g_test_add_func("/tables/above-the-budget-is-not-kept", test_above_the_budget_is_not_kept);
    g_test_add_func("/tables/same-offset-other-size", test_same_offset_other_size);
    g_test_add_func("/tables/failed-read-is-told-each-time", test_failed_read_is_told_each_time);
    g_test_add_func("/tables/many-threads", test_many_threads);
    g_test_add_func("/tables/made-once-for-all-who-wait", test_made_once_for_all_who_wait);
    g_test_add_func("/tables/failure-is-for-one", test_failure_is_for_one);
    g_test_add_func("/tables/clear-forgets-all", test_clear_forgets_all);
    g_test_add_func("/tables/clear-while-a-table-is-made", test_clear_while_a_table_is_made);
    g_test_add_func("/tables/clear-between-two", test_clear_between_two);
    g_test_add_func("/tables/nesting-is-bounded", test_nesting_is_bounded);
    return g_test_run();
}
