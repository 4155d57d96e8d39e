/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-open-graphs.c - graphs that are opened on demand: once for all who ask, closed after the
 * last, and no more of them than the limit. */
#include "exports/open-graphs.h"

#include "mem-node.h"

typedef struct {
    OpenGraphs graphs;

    GMutex lock; /* guards what follows */
    GCond changed;
    guint n_opened;
    gboolean is_held; /* opening waits */
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer data)
{
    g_mutex_init(&fixture->lock);
    g_cond_init(&fixture->changed);
    open_graphs_init(&fixture->graphs);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    open_graphs_clear(&fixture->graphs);
    g_mutex_clear(&fixture->lock);
    g_cond_clear(&fixture->changed);
}

static StrataGraph *
open_leaf(gconstpointer data, GError **error)
{
    Fixture *fixture = (Fixture *)data;
    const guint8 bytes[512] = { 0 };

    g_mutex_lock(&fixture->lock);
    fixture->n_opened++;
    g_cond_broadcast(&fixture->changed);
    while (fixture->is_held)
        g_cond_wait(&fixture->changed, &fixture->lock);
    g_mutex_unlock(&fixture->lock);
    return mem_graph_new(mem_leaf_new("leaf", bytes, sizeof bytes));
}

static StrataGraph *
fail_to_open(gconstpointer data, GError **error)
{
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO, "no such luck");
    return NULL;
}

static OpenGraph *
acquire(Fixture *fixture, const char *key, guint linger_seconds)
{
    const GraphSource source = {
        .key = key, .open = open_leaf, .data = fixture, .linger_seconds = linger_seconds
    };
    g_autoptr(GError) error = NULL;
    OpenGraph *open = open_graphs_acquire(&fixture->graphs, &source, &error);

    g_assert_no_error(error);
    return open;
}

static void
test_shared_and_closed(Fixture *fixture, gconstpointer data)
{
    OpenGraph *first = acquire(fixture, "a", 0);
    OpenGraph *second = acquire(fixture, "a", 0);
    OpenGraph *other = acquire(fixture, "b", 0);
    guint64 number = open_graph_get_number(first);

    g_assert_true(first == second);
    g_assert_true(first != other);
    g_assert_cmpuint(fixture->n_opened, ==, 2);
    g_assert_cmpuint(number, !=, open_graph_get_number(other));
    open_graph_release(first);
    g_assert_cmpuint(fixture->graphs.n_open, ==, 2);
    open_graph_release(second);
    g_assert_cmpuint(fixture->graphs.n_open, ==, 1);
    first = acquire(fixture, "a", 0);
    g_assert_cmpuint(fixture->n_opened, ==, 3);
    g_assert_cmpuint(number, !=, open_graph_get_number(first));
    open_graph_release(first);
    open_graph_release(other);
    g_assert_cmpuint(fixture->graphs.n_open, ==, 0);
}

static gpointer
acquire_in_thread(gpointer data)
{
    return acquire(data, "slow", 0);
}

/* Another one is opened meanwhile, so that it is seen that nobody waits for a stranger's image. */
static void
test_opened_once(Fixture *fixture, gconstpointer data)
{
    GThread *threads[4];
    OpenGraph *open[G_N_ELEMENTS(threads)], *fast;

    fixture->is_held = TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("client", acquire_in_thread, fixture);
    g_mutex_lock(&fixture->lock);
    while (fixture->n_opened == 0)
        g_cond_wait(&fixture->changed, &fixture->lock);
    fixture->is_held = FALSE;
    g_mutex_unlock(&fixture->lock);
    fast = acquire(fixture, "fast", 0);
    g_mutex_lock(&fixture->lock);
    g_cond_broadcast(&fixture->changed);
    g_mutex_unlock(&fixture->lock);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        open[i] = g_thread_join(threads[i]);
    for (gsize i = 1; i < G_N_ELEMENTS(threads); i++)
        g_assert_true(open[i] == open[0]);
    g_assert_cmpuint(fixture->n_opened, ==, 2);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        open_graph_release(open[i]);
    open_graph_release(fast);
}

static void
test_failure(Fixture *fixture, gconstpointer data)
{
    const GraphSource source = { .key = "a", .open = fail_to_open };
    g_autoptr(GError) error = NULL;
    OpenGraph *open;

    g_assert_null(open_graphs_acquire(&fixture->graphs, &source, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_IO);
    g_assert_cmpuint(fixture->graphs.n_open, ==, 0);
    open = acquire(fixture, "a", 0); /* the failure is not remembered */
    open_graph_release(open);
}

static guint
count_open(Fixture *fixture)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&fixture->graphs.lock);

    return fixture->graphs.n_open;
}

static void
test_lingers(Fixture *fixture, gconstpointer data)
{
    gint64 deadline = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;

    open_graph_release(acquire(fixture, "a", 1));
    open_graph_release(acquire(fixture, "a", 1));
    g_assert_cmpuint(fixture->n_opened, ==, 1);
    while (count_open(fixture) > 0 && g_get_monotonic_time() < deadline)
        g_usleep(1000);
    g_assert_cmpuint(count_open(fixture), ==, 0);
    open_graph_release(acquire(fixture, "a", 1000)); /* closed by tear_down() */
    g_assert_cmpuint(fixture->n_opened, ==, 2);
    g_assert_cmpuint(count_open(fixture), ==, 1);
}

static void
test_limit(Fixture *fixture, gconstpointer data)
{
    const GraphSource source = { .key = "more", .open = open_leaf, .data = fixture };
    OpenGraph *open[OPEN_GRAPHS_MAX];
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < OPEN_GRAPHS_MAX; i++) {
        g_autofree char *key = g_strdup_printf("%u", i);

        open[i] = acquire(fixture, key, 1000);
    }
    g_assert_null(open_graphs_acquire(&fixture->graphs, &source, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT);
    open_graph_release(acquire(fixture, "7", 1000)); /* to join is not to open */

    open_graph_release(open[7]);
    open_graph_release(open[3]);
    open[7] = acquire(fixture, "more", 1000);
    g_assert_cmpuint(count_open(fixture), ==, OPEN_GRAPHS_MAX);
    g_assert_cmpuint(fixture->n_opened, ==, OPEN_GRAPHS_MAX + 1);
    open[3] = acquire(fixture, "3", 1000); /* 7 was idle for longer and made room */
    g_assert_cmpuint(fixture->n_opened, ==, OPEN_GRAPHS_MAX + 1);
    for (guint i = 0; i < OPEN_GRAPHS_MAX; i++)
        open_graph_release(open[i]);
}

static void
test_below(Fixture *fixture, gconstpointer data)
{
    OpenGraph *below = acquire(fixture, "image", 0);
    const GraphSource source = {
        .key = "snapshot", .open = open_leaf, .data = fixture, .below = below
    };
    OpenGraph *above = open_graphs_acquire(&fixture->graphs, &source, NULL);

    open_graph_release(below);
    g_assert_cmpuint(fixture->graphs.n_open, ==, 2);
    open_graph_release(above);
    g_assert_cmpuint(fixture->graphs.n_open, ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add("/open-graphs/" name, Fixture, NULL, set_up, func, tear_down)
    ADD("shared-and-closed", test_shared_and_closed);
    ADD("opened-once", test_opened_once);
    ADD("failure", test_failure);
    ADD("lingers", test_lingers);
    ADD("limit", test_limit);
    ADD("below", test_below);
#undef ADD
    return g_test_run();
}
