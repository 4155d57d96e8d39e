/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-read-ahead.c - tables that are fetched beside a walk: when, which, and what comes of it.
 * This program counts the threads that are started: it has a g_thread_try_new() of its own.
 *
 * The image's file is a gate: a function of the test is called for each table that is read, on the
 * thread that reads it, and may wait for another thread or fail. The walk is made by the main
 * thread; it reads tables 0 to 2 itself, and what follows is fetched ahead. */
#include <dlfcn.h>
#include <string.h>

#include <strata/resolve.h>

#include "error.h"
#include "mem-node.h"
#include "qcow2-image.h"
#include "qcow2/format.h"
#include "read-ahead.h"
#include "table-pool.h"

#define CLUSTER_BITS 16
#define TABLE_SIZE   (1u << CLUSTER_BITS)
#define TABLE_SPAN   (G_GUINT64_CONSTANT(1) << (2 * CLUSTER_BITS - 3)) /* bytes of the disk */
#define N_TABLES     24

#define FIRST_AHEAD 3 /* the first table that is fetched by the thread */

/* -- Threads -- */

static gint n_started;       /* atomic */
static gboolean has_threads; /* there are some to be had */

GThread *
g_thread_try_new(const char *name, GThreadFunc func, gpointer data, GError **error)
{
    GThread *(*start)(const char *, GThreadFunc, gpointer, GError **);

    *(void **)&start = dlsym(RTLD_NEXT, "g_thread_try_new");
    if (has_threads) {
        g_atomic_int_inc(&n_started);
        return start(name, func, data, error);
    }
    g_set_error_literal(error, G_THREAD_ERROR, G_THREAD_ERROR_AGAIN, "no thread left");
    return NULL;
}

static guint
count_threads(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/task", 0, NULL);
    guint n = 0;

    g_assert_nonnull(dir);
    while (g_dir_read_name(dir) != NULL)
        n++;
    return n;
}

/* -- The gate -- */

typedef struct _Gate Gate;

/* Called with the lock held; FALSE: the read fails. */
typedef gboolean (*GateFunc)(Gate *gate, guint table, gboolean is_ahead);

struct _Gate {
    StrataGraph *graph;
    GThread *walker;
    GateFunc func; /* (nullable) */

    GMutex lock; /* guards all below */
    GCond changed;
    guint8 *bytes;
    guint n_inside;               /* threads */
    guint n_read[N_TABLES];       /* times, begun */
    guint n_read_ahead[N_TABLES]; /* likewise, by the thread */
    gboolean is_open;
    gboolean is_closed;
};

/* The tables lie behind the header and the L1 table, in the order of the disk. Of one of them a
 * part may be read. */
static gint
table_at(guint64 offset)
{
    return offset >= 2 * TABLE_SIZE ? (gint)(offset / TABLE_SIZE) - 2 : -1;
}

/* With the lock held. */
static gboolean
pass_gate(Gate *gate, guint table)
{
    gboolean is_ahead = g_thread_self() != gate->walker, works;

    g_assert_cmpuint(table, <, N_TABLES);
    gate->n_inside++;
    gate->n_read[table]++;
    gate->n_read_ahead[table] += is_ahead;
    g_cond_broadcast(&gate->changed);
    works = gate->func == NULL || gate->func(gate, table, is_ahead);
    gate->n_inside--;
    return works;
}

static gboolean
gate_read(StrataNode *node, guint64 offset, gsize length, guint8 *buffer, GError **error)
{
    Gate *gate = node->state;
    gint table = table_at(offset);
    gboolean works;

    g_mutex_lock(&gate->lock);
    works = table < 0 || pass_gate(gate, (guint)table);
    g_mutex_unlock(&gate->lock);
    memcpy(buffer, gate->bytes + offset, length);
    return works || strata_throw(error, node, STRATA_ERROR_IO, "table %d fails", table);
}

static gsize
gate_map(StrataNode *node G_GNUC_UNUSED, const StrataRange *ranges, gsize n_ranges,
         StrataAnswer *answers, gsize max_answers, GError **error G_GNUC_UNUSED)
{
    return strata_map_all_as_own(ranges, n_ranges, 0, answers, max_answers);
}

static void
gate_close(StrataNode *node)
{
    Gate *gate = node->state;

    g_mutex_lock(&gate->lock);
    g_assert_cmpuint(gate->n_inside, ==, 0);
    gate->is_closed = TRUE;
    g_mutex_unlock(&gate->lock);
}

static const StrataDriver local_driver = {
    .name = "gate",
    .is_protocol = TRUE,
    .close = gate_close,
    .map = gate_map,
    .is_quick_to_map = TRUE,
    .read = gate_read,
};

static const StrataDriver remote_driver = {
    .name = "far-gate",
    .is_protocol = TRUE,
    .close = gate_close,
    .map = gate_map,
    .read = gate_read,
};

/* An image of which each table has one cluster, of zeros. */
static void
gate_set_up(Gate *gate, const StrataDriver *driver)
{
    Qcow2Image *image = qcow2_image_new(3, CLUSTER_BITS, N_TABLES * TABLE_SPAN, 0, 0);
    StrataNode *leaf = g_new0(StrataNode, 1);
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < N_TABLES; i++)
        qcow2_image_set_entry(image, i * TABLE_SPAN, QCOW2_ENTRY_ZERO, 0);
    *gate = (Gate){ .walker = g_thread_self() };
    g_mutex_init(&gate->lock);
    g_cond_init(&gate->changed);
    leaf->driver = driver;
    leaf->name = g_strdup(driver->name);
    leaf->size = image->bytes->len;
    leaf->claims = TRUE;
    leaf->state = gate;
    gate->bytes = g_memdup2(image->bytes->data, image->bytes->len);
    qcow2_image_free(image);
    gate->graph = qcow2_graph_new(leaf, NULL, NULL, &error);
    g_assert_no_error(error);
    has_threads = TRUE;
    n_started = 0;
}

static void
gate_tear_down(Gate *gate)
{
    g_clear_pointer(&gate->graph, strata_graph_unref);
    g_assert_true(gate->is_closed);
    g_mutex_clear(&gate->lock);
    g_cond_clear(&gate->changed);
    g_free(gate->bytes);
}

static void
gate_open(Gate *gate)
{
    gate->is_open = TRUE;
    g_cond_broadcast(&gate->changed);
}

static void
wait_until_open(Gate *gate)
{
    while (!gate->is_open)
        g_cond_wait(&gate->changed, &gate->lock);
}

static void
wait_until_read(Gate *gate, guint table)
{
    while (gate->n_read[table] == 0)
        g_cond_wait(&gate->changed, &gate->lock);
}

/* -- Walks -- */

/* Goes over all of [0, @end), and finds it as it is. */
static void
walk_over(Gate *gate, guint64 end)
{
    StrataWalk *walk = strata_walk_new(strata_graph_get_top(gate->graph));
    guint64 at = 0;

    while (at < end) {
        g_autoptr(GError) error = NULL;
        gsize n_runs;
        const StrataRun *runs = strata_walk_resolve(walk, at, end - at, &n_runs, &error);

        g_assert_no_error(error);
        for (gsize i = 0; i < n_runs; at += runs[i++].length)
            g_assert_true((runs[i].claimant != NULL) == (at % TABLE_SPAN == 0));
    }
    strata_walk_free(walk);
}

static void
walk_all(Gate *gate)
{
    walk_over(gate, N_TABLES * TABLE_SPAN);
}

/* Asks for much of what a single table tells of. */
static void
touch_table(StrataWalk *walk, guint table)
{
    g_autoptr(GError) error = NULL;
    gsize n_runs;

    strata_walk_resolve(walk, table * TABLE_SPAN + TABLE_SIZE, TABLE_SPAN / 2, &n_runs, &error);
    g_assert_no_error(error);
}

static void
assert_read_by_walk_alone(const Gate *gate)
{
    for (guint i = 0; i < N_TABLES; i++) {
        g_assert_cmpuint(gate->n_read[i], ==, 1);
        g_assert_cmpuint(gate->n_read_ahead[i], ==, 0);
    }
}

/* -- Tests -- */

/* Each of the two waits, inside of a read, for the other one to be inside of one. */
static gboolean
meet(Gate *gate, guint table, gboolean is_ahead)
{
    if (is_ahead)
        wait_until_read(gate, FIRST_AHEAD - 1);
    else if (table == FIRST_AHEAD - 1)
        wait_until_read(gate, FIRST_AHEAD);
    return TRUE;
}

static void
test_fetches_beside_the_walk(void)
{
    Gate gate;

    gate_set_up(&gate, &local_driver);
    gate.func = meet;
    walk_all(&gate);
    g_assert_cmpint(n_started, ==, 1);
    g_assert_cmpuint(gate.n_read_ahead[FIRST_AHEAD], ==, 1);
    for (guint i = 0; i < N_TABLES; i++)
        g_assert_cmpuint(gate.n_read[i], ==, 1);
    gate_tear_down(&gate);
}

/* Whoever read them: else a call would take on all of an image whose tables are fetched for it. */
static void
test_counts_as_the_work_of_the_walk(void)
{
    const guint64 per_table = 1 + TABLE_SIZE / 4096;
    guint64 before = table_cache_count_work();
    Gate gate;

    gate_set_up(&gate, &local_driver);
    gate.func = meet;
    walk_all(&gate);
    g_assert_cmpuint(table_cache_count_work() - before, >=, N_TABLES * per_table);
    g_assert_cmpuint(table_cache_count_work() - before, <, (N_TABLES + 2) * per_table);
    gate_tear_down(&gate);
}

static gboolean
fail_ahead(Gate *gate, guint table, gboolean is_ahead)
{
    meet(gate, table, is_ahead);
    return !is_ahead;
}

static void
test_failure_ahead_is_not_told(void)
{
    Gate gate;

    gate_set_up(&gate, &local_driver);
    gate.func = fail_ahead;
    walk_all(&gate);
    g_assert_cmpuint(gate.n_read_ahead[FIRST_AHEAD], >=, 1);
    for (guint i = 0; i < N_TABLES; i++)
        g_assert_cmpuint(gate.n_read[i] - gate.n_read_ahead[i], ==, 1);
    gate_tear_down(&gate);
}

#define BROKEN 5

static gboolean
fail_broken(Gate *gate, guint table, gboolean is_ahead)
{
    meet(gate, table, is_ahead);
    return table != BROKEN;
}

static void
test_failure_is_told_where_it_is(void)
{
    Gate gate;
    StrataWalk *walk;
    g_autoptr(GError) error = NULL;
    const StrataRun *runs;
    gsize n_runs;

    gate_set_up(&gate, &local_driver);
    gate.func = fail_broken;
    walk = strata_walk_new(strata_graph_get_top(gate.graph));
    runs = strata_walk_resolve(walk, 0, N_TABLES * TABLE_SPAN, &n_runs, NULL);
    g_assert_nonnull(runs);
    g_assert_cmpuint(runs[n_runs - 1].offset + runs[n_runs - 1].length, ==, BROKEN * TABLE_SPAN);
    g_assert_null(strata_walk_resolve(walk, BROKEN * TABLE_SPAN, TABLE_SPAN, &n_runs, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_IO);
    strata_walk_free(walk);
    gate_tear_down(&gate);
}

/* The thread stays inside of its first read; the walk goes on when it is there, and gives up. */
static gboolean
hold_ahead(Gate *gate, guint table, gboolean is_ahead)
{
    if (is_ahead)
        wait_until_open(gate);
    else if (table == FIRST_AHEAD - 1)
        wait_until_read(gate, FIRST_AHEAD);
    return is_ahead || table != FIRST_AHEAD - 1;
}

static gpointer
open_from_outside(gpointer data)
{
    Gate *gate = data;

    g_mutex_lock(&gate->lock);
    gate_open(gate);
    g_mutex_unlock(&gate->lock);
    return NULL;
}

static void
test_graph_is_freed_while_it_reads(void)
{
    guint n_threads = count_threads();
    Gate gate;
    StrataWalk *walk;
    GThread *opener;
    gsize n_runs;

    gate_set_up(&gate, &local_driver);
    gate.func = hold_ahead;
    walk = strata_walk_new(strata_graph_get_top(gate.graph));
    g_assert_nonnull(strata_walk_resolve(walk, 0, N_TABLES * TABLE_SPAN, &n_runs, NULL));
    g_assert_cmpuint(gate.n_inside, ==, 1);
    strata_walk_free(walk);
    opener = g_thread_new("open", open_from_outside, &gate);
    g_clear_pointer(&gate.graph, strata_graph_unref);
    g_thread_join(opener);
    g_assert_cmpuint(count_threads(), ==, n_threads);
    /* Nobody wants the rest any more. */
    for (guint i = FIRST_AHEAD + 1; i < N_TABLES; i++)
        g_assert_cmpuint(gate.n_read[i], ==, 0);
    gate_tear_down(&gate);
}

static void
test_no_thread_is_left(void)
{
    guint n_threads = count_threads();
    Gate gate;

    gate_set_up(&gate, &local_driver);
    gate.func = meet;
    walk_all(&gate);
    g_assert_cmpuint(count_threads(), ==, n_threads + 1);
    gate_tear_down(&gate);
    g_assert_cmpuint(count_threads(), ==, n_threads);
}

/* Who opens a graph may fork before it is asked anything: no thread may be lost by that. */
static void
test_rests_until_it_is_asked(void)
{
    guint n_threads = count_threads();
    Gate gate;

    gate_set_up(&gate, &local_driver);
    gate.func = meet;
    walk_all(&gate);
    read_ahead_rest(gate.graph->ahead);
    g_assert_cmpuint(count_threads(), ==, n_threads);
    table_cache_clear(gate.graph->tables);
    walk_all(&gate);
    g_assert_cmpint(n_started, ==, 2);
    gate_tear_down(&gate);
    g_assert_cmpuint(count_threads(), ==, n_threads);
}

/* What is fetched while the cache is cleared was read before, and is read again. */
static gboolean
clear_meanwhile(Gate *gate, guint table, gboolean is_ahead)
{
    if (is_ahead) {
        wait_until_open(gate);
    } else if (table == FIRST_AHEAD - 1) {
        wait_until_read(gate, FIRST_AHEAD);
        table_cache_clear(gate->graph->tables);
        gate_open(gate);
    }
    return TRUE;
}

static void
test_clear_during_a_fetch(void)
{
    Gate gate;

    gate_set_up(&gate, &local_driver);
    gate.func = clear_meanwhile;
    walk_all(&gate);
    g_assert_cmpuint(gate.n_read_ahead[FIRST_AHEAD], ==, 1);
    g_assert_cmpuint(gate.n_read[FIRST_AHEAD], ==, 2);
    gate_tear_down(&gate);
}

static void
test_random_walks_start_none(void)
{
    Gate gate;
    StrataWalk *walk;

    gate_set_up(&gate, &local_driver);
    walk = strata_walk_new(strata_graph_get_top(gate.graph));
    for (guint i = 0; i < N_TABLES; i++)
        touch_table(walk, i * 7 % N_TABLES);
    strata_walk_free(walk);
    g_assert_cmpint(n_started, ==, 0);
    assert_read_by_walk_alone(&gate);
    walk_all(&gate); /* all of them are cached by now */
    g_assert_cmpint(n_started, ==, 0);
    gate_tear_down(&gate);
}

/* The thread is at its first table until the walk is somewhere else. */
static void
test_stops_when_the_walk_goes_elsewhere(void)
{
    Gate gate;
    StrataWalk *walk;
    gsize n_runs;

    gate_set_up(&gate, &local_driver);
    gate.func = hold_ahead;
    walk = strata_walk_new(strata_graph_get_top(gate.graph));
    g_assert_nonnull(strata_walk_resolve(walk, 0, N_TABLES * TABLE_SPAN, &n_runs, NULL));
    touch_table(walk, N_TABLES - 1);
    open_from_outside(&gate);
    strata_walk_free(walk);
    g_clear_pointer(&gate.graph, strata_graph_unref);
    g_assert_cmpuint(gate.n_read[FIRST_AHEAD], ==, 1);
    g_assert_cmpuint(gate.n_read[FIRST_AHEAD + 1], ==, 0);
    gate_tear_down(&gate);
}

#define N_ASKED 9 /* tables */

static gboolean
wait_for_all_asked(Gate *gate, guint table, gboolean is_ahead)
{
    if (!is_ahead && table == FIRST_AHEAD - 1)
        wait_until_read(gate, N_ASKED - 1);
    return TRUE;
}

static void
test_not_beyond_what_is_asked(void)
{
    Gate gate;

    gate_set_up(&gate, &local_driver);
    gate.func = wait_for_all_asked;
    walk_over(&gate, N_ASKED * TABLE_SPAN - TABLE_SIZE);
    g_clear_pointer(&gate.graph, strata_graph_unref);
    for (guint i = 0; i < N_TABLES; i++)
        g_assert_cmpuint(gate.n_read[i], ==, i < N_ASKED);
    gate_tear_down(&gate);
}

static void
test_little_is_worth_no_thread(void)
{
    Gate gate;

    gate_set_up(&gate, &local_driver);
    walk_over(&gate, 6 * TABLE_SPAN);
    g_assert_cmpint(n_started, ==, 0);
    gate_tear_down(&gate);
}

static void
test_servers_are_left_alone(void)
{
    Gate gate;

    gate_set_up(&gate, &remote_driver);
    walk_all(&gate);
    g_assert_cmpint(n_started, ==, 0);
    assert_read_by_walk_alone(&gate);
    gate_tear_down(&gate);
}

static void
test_works_without_a_thread(void)
{
    Gate gate;

    gate_set_up(&gate, &local_driver);
    has_threads = FALSE;
    walk_all(&gate);
    assert_read_by_walk_alone(&gate);
    gate_tear_down(&gate);
}

/* With a cache in which a quarter has room for two tables, threads are not worth it. */
static void
test_small_cache_is_not_flooded(void)
{
    Gate gate;

    gate_set_up(&gate, &local_driver);
    table_cache_free(gate.graph->tables);
    gate.graph->tables = table_cache_new(8 * (TABLE_SIZE + TABLE_OVERHEAD), 0);
    walk_all(&gate);
    g_assert_cmpint(n_started, ==, 0);
    assert_read_by_walk_alone(&gate);
    gate_tear_down(&gate);
}

/* -- The pool -- */

static void
keep(TablePool *pool, const TableKey *key, gboolean is_ahead)
{
    guint8 *bytes;
    Table *table = table_pool_take(pool, TABLE_SIZE, &bytes);

    memset(bytes, 0, TABLE_SIZE);
    table_pool_keep(pool, table, key, is_ahead);
    table_unref(table);
}

static gboolean
use(TablePool *pool, const TableKey *key)
{
    g_autoptr(Table) table = table_pool_find(pool, key);

    return table != NULL;
}

/* A scan uses each table once, fetched ahead or not. */
static void
test_first_use_is_no_second_one(void)
{
    const TableKey ahead = { .offset = 1, .length = TABLE_SIZE };
    const TableKey other = { .offset = 2, .length = TABLE_SIZE };
    const TableKey third = { .offset = 3, .length = TABLE_SIZE };
    TablePool *pool = table_pool_new(2 * (TABLE_SIZE + TABLE_OVERHEAD), 0);
    guint64 before = table_cache_count_work();

    keep(pool, &ahead, TRUE);
    keep(pool, &other, FALSE);
    g_assert_true(use(pool, &ahead));
    g_assert_cmpuint(table_cache_count_work() - before, ==, 1 + TABLE_SIZE / 4096);
    keep(pool, &third, FALSE);
    g_assert_false(use(pool, &ahead));
    g_assert_true(use(pool, &other));
    g_assert_cmpuint(table_cache_count_work() - before, ==, 1 + TABLE_SIZE / 4096);
    table_pool_free(pool);
}

/* Nobody has used it yet: what comes before it is not to push it out. */
static void
test_waits_for_its_first_use(void)
{
    const TableKey ahead = { .offset = 1, .length = TABLE_SIZE };
    const TableKey other = { .offset = 2, .length = TABLE_SIZE };
    const TableKey third = { .offset = 3, .length = TABLE_SIZE };
    TablePool *pool = table_pool_new(2 * (TABLE_SIZE + TABLE_OVERHEAD), 0);

    keep(pool, &ahead, TRUE);
    keep(pool, &other, FALSE);
    keep(pool, &third, FALSE);
    g_assert_true(use(pool, &ahead));
    g_assert_false(use(pool, &other));
    table_pool_free(pool);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/read-ahead/beside-the-walk", test_fetches_beside_the_walk);
    g_test_add_func("/read-ahead/counts-as-work", test_counts_as_the_work_of_the_walk);
    g_test_add_func("/read-ahead/failure-ahead", test_failure_ahead_is_not_told);
    g_test_add_func("/read-ahead/failure", test_failure_is_told_where_it_is);
    g_test_add_func("/read-ahead/freed-while-it-reads", test_graph_is_freed_while_it_reads);
    g_test_add_func("/read-ahead/no-thread-left", test_no_thread_is_left);
    g_test_add_func("/read-ahead/rests-until-it-is-asked", test_rests_until_it_is_asked);
    g_test_add_func("/read-ahead/clear", test_clear_during_a_fetch);
    g_test_add_func("/read-ahead/random", test_random_walks_start_none);
    g_test_add_func("/read-ahead/elsewhere", test_stops_when_the_walk_goes_elsewhere);
    g_test_add_func("/read-ahead/not-beyond", test_not_beyond_what_is_asked);
    g_test_add_func("/read-ahead/little", test_little_is_worth_no_thread);
    g_test_add_func("/read-ahead/servers", test_servers_are_left_alone);
    g_test_add_func("/read-ahead/without-a-thread", test_works_without_a_thread);
    g_test_add_func("/read-ahead/small-cache", test_small_cache_is_not_flooded);
    g_test_add_func("/read-ahead/first-use", test_first_use_is_no_second_one);
    g_test_add_func("/read-ahead/waits-for-first-use", test_waits_for_its_first_use);
    return g_test_run();
}
