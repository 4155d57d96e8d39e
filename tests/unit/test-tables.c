/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-tables.c - the table cache: what it keeps, what it lets go, and what threads see. This
 * program counts the memory of tables: the cache takes it by g_aligned_alloc(), which its object
 * files find here before GLib's. */
#include <malloc.h>
#include <stdatomic.h>
#include <string.h>

#include "error.h"
#include "mem-node.h"
#include "table-pool.h"
#include "tables.h"

#define TABLE_SIZE 512
#define N_TABLES   16

/* What a cache needs to keep @n tables of @size bytes. */
#define ROOM_FOR(n, size) ((n) * ((size) + TABLE_OVERHEAD))

static atomic_size_t n_bytes;  /* that are allocated now */
static atomic_size_t n_allocs; /* ever */

gpointer
g_aligned_alloc(gsize n_blocks, gsize size, gsize alignment)
{
    void *memory = NULL;

    g_assert_cmpint(posix_memalign(&memory, alignment, n_blocks * size), ==, 0);
    atomic_fetch_add(&n_bytes, malloc_usable_size(memory));
    atomic_fetch_add(&n_allocs, 1);
    return memory;
}

gpointer
g_aligned_alloc0(gsize n_blocks, gsize size, gsize alignment)
{
    return memset(g_aligned_alloc(n_blocks, size, alignment), 0, n_blocks * size);
}

void
g_aligned_free(gpointer memory)
{
    if (memory)
        atomic_fetch_sub(&n_bytes, malloc_usable_size(memory));
    free(memory);
}

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
test_lives_longer_than_its_cache(void)
{
    g_autoptr(StrataGraph) graph = numbered_graph();
    gsize before = atomic_load(&n_bytes);
    TableCache *cache = table_cache_new(ROOM_FOR(1, TABLE_SIZE), 0);
    Table *first = get(cache, graph, 7);
    Table *again = get(cache, graph, 7);

    g_assert_true(first == again);
    for (int i = 0; i < 4; i++)
        table_unref(get(cache, graph, i));
    table_cache_free(cache);
    g_assert_cmpuint(first->bytes[0], ==, 7);
    table_unref(first);
    g_assert_cmpuint(again->bytes[TABLE_SIZE - 1], ==, 7);
    table_unref(again);
    g_assert_cmpuint(atomic_load(&n_bytes), ==, before);
}

static void
test_above_the_budget_is_not_kept(void)
{
    g_autoptr(StrataGraph) graph = numbered_graph();
    TableCache *cache = table_cache_new(ROOM_FOR(1, TABLE_SIZE) - 1, 0);
    g_autoptr(Table) table = get(cache, graph, 5);

    g_assert_false(is_kept(cache, graph, table, 5));
    table_cache_free(cache);
}

static void
test_same_offset_other_size(void)
{
    g_autoptr(StrataGraph) graph = numbered_graph();
    StrataNode *leaf = strata_graph_get_top(graph);
    TableCache *cache = table_cache_new(ROOM_FOR(N_TABLES, TABLE_SIZE), 0);
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
    TableCache *cache = table_cache_new(ROOM_FOR(N_TABLES, TABLE_SIZE), 0);

    for (int i = 0; i < 2; i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(
            table_cache_get(cache, leaf, (N_TABLES - 1) * TABLE_SIZE, 2 * TABLE_SIZE, &error));
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
    }
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
    const gsize budgets[] = { ROOM_FOR(10, TABLE_SIZE), 0 };

    for (gsize i = 0; i < G_N_ELEMENTS(budgets); i++) {
        g_autoptr(StrataGraph) graph = numbered_graph();
        Maker maker = { table_cache_new(budgets[i], 0), graph, .wait_for_all = TRUE, .value = 1 };

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
    Maker maker = { table_cache_new(ROOM_FOR(1, TABLE_SIZE), 0), graph, .wait_for_all = TRUE,
                    .n_failures = 1 };
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
    TableCache *cache = table_cache_new(ROOM_FOR(2, TABLE_SIZE), 0);
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
    Maker maker = { table_cache_new(ROOM_FOR(10, TABLE_SIZE), 0), graph, .clear = TRUE,
                    .value = 1 };
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
    TableCache *cache = table_cache_new(ROOM_FOR(10, TABLE_SIZE), 0);
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

/* -- What goes and what stays -- */

/* Tables of words that tell their key and the time when they were made. */
typedef struct {
    TableCache *cache;
    StrataGraph *graph;
    atomic_uint n_fills;
    atomic_uint time;    /* of the file: tables are made of what it is then */
    atomic_uint cleared; /* whoever begins now gets tables of that time, or of a later one */
    atomic_bool has_ended;
    gboolean fails; /* every other time */
} Library;

static guint64
word_of(const TableKey *key, guint time, gsize index)
{
    return (key->offset ^ key->length << 40 ^ index << 20) * 0x9e3779b97f4a7c15u + time;
}

static gboolean
write_words(const TableKey *key, gpointer data, guint8 *bytes, gsize size, GError **error)
{
    Library *library = data;
    guint n = atomic_fetch_add(&library->n_fills, 1);
    guint now = atomic_load(&library->time);
    guint64 *words = (guint64 *)(void *)bytes;

    for (gsize i = 0; i < size / sizeof *words; i++)
        words[i] = word_of(key, now, i);
    if (library->fails && n % 2)
        return strata_throw(error, key->storage, STRATA_ERROR_IO, "not now");
    return TRUE;
}

static void
check_words(const Table *table, const TableKey *key)
{
    const guint64 *words = (const guint64 *)(const void *)table->bytes;
    guint made = (guint)(words[0] - word_of(key, 0, 0));

    for (gsize i = 0; i < table->size / sizeof *words; i++)
        g_assert_cmphex(words[i], ==, word_of(key, made, i));
}

static guint
time_of(const Table *table, const TableKey *key)
{
    return (guint)(*(const guint64 *)(const void *)table->bytes - word_of(key, 0, 0));
}

static TableKey
nth_key(Library *library, guint n, gsize size)
{
    return (TableKey){ strata_graph_get_top(library->graph), (guint64)n << 16, size };
}

static Table *
borrow(Library *library, guint n, gsize size, GError **error)
{
    const TableKey key = nth_key(library, n, size);
    Table *table = table_cache_make(library->cache, &key, size, write_words, library, error);

    if (table)
        check_words(table, &key);
    return table;
}

/* Returns whether it had to be made. */
static gboolean
borrow_briefly(Library *library, guint n, gsize size)
{
    g_autoptr(GError) error = NULL;
    guint before = atomic_load(&library->n_fills);
    Table *table = borrow(library, n, size, &error);

    g_assert_no_error(error);
    table_unref(table);
    return atomic_load(&library->n_fills) > before;
}

static Library
library_new(gsize budget)
{
    return (Library){ .cache = table_cache_new(budget, 0), .graph = numbered_graph() };
}

static void
library_close(Library *library)
{
    table_cache_free(library->cache);
    strata_graph_unref(library->graph);
}

static void
test_keeps_what_is_used_again(void)
{
    Library library = library_new(ROOM_FOR(3, TABLE_SIZE));

    for (guint i = 0; i < 3; i++)
        g_assert_true(borrow_briefly(&library, i, TABLE_SIZE));
    g_assert_false(borrow_briefly(&library, 0, TABLE_SIZE));
    g_assert_true(borrow_briefly(&library, 3, TABLE_SIZE)); /* pushes out 1 */
    g_assert_false(borrow_briefly(&library, 0, TABLE_SIZE));
    g_assert_false(borrow_briefly(&library, 2, TABLE_SIZE));
    g_assert_false(borrow_briefly(&library, 3, TABLE_SIZE));
    g_assert_true(borrow_briefly(&library, 1, TABLE_SIZE));
    library_close(&library);
}

/* As a walk over a large image takes L2 tables one after the other, and its L1 table in between. */
static void
test_scan_leaves_what_is_used_again(void)
{
    Library library = library_new(ROOM_FOR(20, TABLE_SIZE));

    g_assert_true(borrow_briefly(&library, 0, TABLE_SIZE));
    for (guint i = 1; i < 1000; i++) {
        g_assert_true(borrow_briefly(&library, i, TABLE_SIZE));
        g_assert_false(borrow_briefly(&library, 0, TABLE_SIZE));
    }
    library_close(&library);
}

static void
test_pinned_is_not_evicted(void)
{
    Library library = library_new(ROOM_FOR(4, TABLE_SIZE));
    const TableKey key = nth_key(&library, 0, TABLE_SIZE);
    g_autoptr(Table) pinned = borrow(&library, 0, TABLE_SIZE, NULL);

    for (guint i = 1; i < 100; i++) {
        g_assert_true(borrow_briefly(&library, i, TABLE_SIZE));
        check_words(pinned, &key);
    }
    g_assert_false(borrow_briefly(&library, 0, TABLE_SIZE));
    library_close(&library);
}

/* -- Trials -- */

#define N_ON_TRIAL 4

/* Makes tables that were not made before. */
static void
make_others(Library *library, guint first, guint n)
{
    for (guint i = first; i < first + n; i++)
        g_assert_true(borrow_briefly(library, i, TABLE_SIZE));
}

static Library
trial_new(guint room)
{
    Library library = { .graph = numbered_graph() };

    library.cache = table_cache_new(ROOM_FOR(room, TABLE_SIZE), N_ON_TRIAL);
    return library;
}

static void
test_trial_of_what_is_used_again(void)
{
    Library library = trial_new(1000);

    g_assert_true(borrow_briefly(&library, 0, TABLE_SIZE));
    make_others(&library, 1, N_ON_TRIAL - 1);
    g_assert_false(borrow_briefly(&library, 0, TABLE_SIZE));
    make_others(&library, 10, 500);
    g_assert_false(borrow_briefly(&library, 0, TABLE_SIZE));
    library_close(&library);
}

/* However much room there is, what is made once and not used takes the memory of a few. */
static void
test_trial_of_a_scan(void)
{
    gsize before = atomic_load(&n_bytes), after_some;
    Library library = trial_new(1000);

    make_others(&library, 0, N_ON_TRIAL + 1);
    after_some = atomic_load(&n_bytes);
    g_assert_cmpuint(after_some, >, before);
    make_others(&library, 100, 500);
    g_assert_cmpuint(atomic_load(&n_bytes), ==, after_some);
    library_close(&library);
}

#define ROOM 8

/* Asks a pool for a table that is at no place in memory: so it has the same hash each time, and no
 * note of one is lost for that of another here. Returns whether it had to be made. */
static gboolean
make_in(TablePool *pool, guint n)
{
    const TableKey key = { NULL, (guint64)n << 16, 65536 };
    Table *table = table_pool_find(pool, &key);
    gboolean is_made = table == NULL;
    guint8 *bytes;

    if (is_made) {
        table = table_pool_take(pool, key.length, &bytes);
        table_pool_keep(pool, table, &key, FALSE);
    }
    table_unref(table);
    return is_made;
}

static void
make_others_in(TablePool *pool, guint first, guint n)
{
    for (guint i = first; i < first + n; i++)
        g_assert_true(make_in(pool, i));
}

/* The second time is soon enough while as many tables as fit are made twice, and no later. */
static void
test_trial_of_what_is_made_again(void)
{
    TablePool *pool = table_pool_new(ROOM_FOR(ROOM, 65536), 2);

    g_assert_true(make_in(pool, 1));
    make_others_in(pool, 100, 2 * ROOM - 1);
    g_assert_true(make_in(pool, 1));
    make_others_in(pool, 200, ROOM / 2);
    g_assert_false(make_in(pool, 1));

    g_assert_true(make_in(pool, 2));
    make_others_in(pool, 300, 2 * ROOM);
    g_assert_true(make_in(pool, 2));
    make_others_in(pool, 400, 2);
    g_assert_true(make_in(pool, 2));
    table_pool_free(pool);
}

static void
test_trial_of_what_is_pinned(void)
{
    Library library = trial_new(1000);
    const TableKey key = nth_key(&library, 0, TABLE_SIZE);
    g_autoptr(Table) pinned = borrow(&library, 0, TABLE_SIZE, NULL);

    for (guint i = 1; i < 100; i++) {
        make_others(&library, i, 1);
        check_words(pinned, &key);
    }
    g_assert_false(borrow_briefly(&library, 0, TABLE_SIZE));
    library_close(&library);
}

/* What is on trial may be gone, and its slot another's. */
static void
test_trial_and_clear(void)
{
    Library library = trial_new(3);

    for (guint i = 0; i < 100; i++) {
        make_others(&library, 10 * i, i % 7);
        table_cache_clear(library.cache);
    }
    library_close(&library);
}

/* Far more tables than chains: some keys meet. */
static void
test_many_in_a_chain(void)
{
    enum { N_SMALL = 400, SMALL = 8 };
    Library library = library_new(ROOM_FOR(N_SMALL, SMALL));

    for (guint i = 0; i < N_SMALL; i++)
        g_assert_true(borrow_briefly(&library, i, SMALL));
    for (guint i = 0; i < 3 * N_SMALL; i++)
        g_assert_false(borrow_briefly(&library, i % N_SMALL, SMALL));
    library_close(&library);
}

/* Small tables do not stay in the room of large ones. */
static void
test_small_after_large(void)
{
    enum { N_SMALL = 100 };
    Library library = library_new(ROOM_FOR(2, 65536));

    for (guint i = 0; i < 2; i++)
        borrow_briefly(&library, i, 65536);
    for (guint i = 0; i < N_SMALL; i++)
        g_assert_true(borrow_briefly(&library, i, TABLE_SIZE));
    for (guint i = 0; i < N_SMALL; i++)
        g_assert_false(borrow_briefly(&library, i, TABLE_SIZE));
    library_close(&library);
}

/* Who takes a copy gets what is there, and leaves nothing there. */
static void
test_copy(void)
{
    Library library = library_new(ROOM_FOR(4, TABLE_SIZE));
    const TableKey key = nth_key(&library, 0, TABLE_SIZE);
    guint64 words[TABLE_SIZE / sizeof(guint64)];
    const Table copy = { .size = sizeof words, .bytes = (const guint8 *)words };

    for (guint i = 1; i <= 4; i++) {
        if (i == 3)
            g_assert_true(borrow_briefly(&library, 0, TABLE_SIZE));
        memset(words, 0, sizeof words);
        g_assert_true(table_cache_copy(library.cache, &key, TABLE_SIZE, write_words, &library,
                                       (guint8 *)words, NULL));
        check_words(&copy, &key);
        g_assert_cmpuint(atomic_load(&library.n_fills), ==, MIN(i, 3));
    }
    library_close(&library);
}

/* -- Memory -- */

/* What is borrowed for a short time is of the same memory. */
static void
test_memory_of_borrowed(void)
{
    const gsize budget = ROOM_FOR(4, 4096);
    gsize before = atomic_load(&n_bytes);
    Library library = library_new(budget);

    for (guint i = 0; i < 100; i++) {
        guint8 *bytes;
        Table *borrowed = table_cache_borrow(library.cache, 4096, &bytes);

        memset(bytes, 1, 4096);
        borrow_briefly(&library, i, 4096);
        g_assert_cmpuint(bytes[4095], ==, 1);
        table_cache_return(library.cache, borrowed);
        g_assert_cmpuint(atomic_load(&n_bytes) - before, <=, budget);
    }
    library_close(&library);
    g_assert_cmpuint(atomic_load(&n_bytes), ==, before);
}

static void
test_memory_is_bounded(void)
{
    static const gsize sizes[] = { 8, 512, 4096, 65536, 2 << 20 };
    const gsize budget = 3 << 20;
    gsize before = atomic_load(&n_bytes);
    Library library = library_new(budget);

    for (guint i = 0; i < 10000; i++) {
        gsize size = sizes[(i / 100 + i % 2) % G_N_ELEMENTS(sizes)];

        if (size > 65536 && i % 10)
            continue;
        borrow_briefly(&library, i, size);
        g_assert_cmpuint(atomic_load(&n_bytes) - before, <=, budget);
    }
    library_close(&library);
    g_assert_cmpuint(atomic_load(&n_bytes), ==, before);
}

/* What is pinned goes beyond the budget, and comes back within it: when the next table is made, or
 * when somebody says so. */
static void
check_memory_of_pinned(gboolean is_trimmed)
{
    enum { N_PINNED = 50 };
    const gsize budget = ROOM_FOR(10, 4096);
    gsize before = atomic_load(&n_bytes);
    Library library = library_new(budget);
    Table *pinned[N_PINNED];

    for (guint i = 0; i < N_PINNED; i++)
        pinned[i] = borrow(&library, i, 4096, NULL);
    g_assert_cmpuint(atomic_load(&n_bytes) - before, <, ROOM_FOR(N_PINNED + 1, 4096));
    for (guint i = 0; i < N_PINNED; i++) {
        const TableKey key = nth_key(&library, i, 4096);

        check_words(pinned[i], &key);
        table_unref(pinned[i]);
    }
    if (is_trimmed)
        table_cache_trim(library.cache);
    else
        borrow_briefly(&library, N_PINNED, 4096);
    g_assert_cmpuint(atomic_load(&n_bytes) - before, <=, budget + N_PINNED * TABLE_OVERHEAD);
    g_assert_true(borrow_briefly(&library, N_PINNED + 1, 4096));
    library_close(&library);
}

static void
test_memory_of_pinned(void)
{
    check_memory_of_pinned(FALSE);
    check_memory_of_pinned(TRUE);
}

static void
test_memory_is_used_again(void)
{
    Library library = library_new(ROOM_FOR(20, 65536));
    gsize before;

    for (guint i = 0; i < 20; i++)
        borrow_briefly(&library, i, 65536);
    before = atomic_load(&n_allocs);
    for (guint i = 0; i < 1000; i++) {
        g_assert_true(borrow_briefly(&library, 20 + i, 65536));
        if (i % 100 == 0)
            table_cache_clear(library.cache);
    }
    g_assert_cmpuint(atomic_load(&n_allocs), ==, before);
    library_close(&library);
}

static void
test_memory_of_failures(void)
{
    const gsize budget = ROOM_FOR(4, 4096);
    gsize before = atomic_load(&n_bytes);
    Library library = library_new(budget);

    library.fails = TRUE;
    for (guint i = 0; i < 1000; i++) {
        Table *table = borrow(&library, i, 4096, NULL);

        g_assert_cmpint(table != NULL, ==, i % 2 == 0);
        if (table)
            table_unref(table);
        g_assert_cmpuint(atomic_load(&n_bytes) - before, <=, budget);
    }
    library_close(&library);
}

/* -- Threads -- */

#define N_SHARED   200
#define BIG_TABLE  8192
#define MANY_TURNS 4000

static gsize
shared_size(guint n)
{
    return n % 7 ? TABLE_SIZE << n % 3 : BIG_TABLE;
}

static gpointer
read_shared(gpointer data)
{
    Library *library = data;
    g_autoptr(GRand) random = g_rand_new_with_seed(GPOINTER_TO_UINT(g_thread_self()));

    for (guint i = 0; i < MANY_TURNS; i++) {
        guint n = MIN(g_rand_int_range(random, 0, N_SHARED), g_rand_int_range(random, 0, N_SHARED));
        const TableKey key = nth_key(library, n, shared_size(n));
        guint at_least = atomic_load(&library->cleared);
        g_autoptr(Table) table = borrow(library, n, shared_size(n), NULL);

        if (!table)
            continue;
        g_assert_cmpuint(time_of(table, &key), >=, at_least);
        if (i % 16 == 0)
            g_thread_yield();
        check_words(table, &key);
    }
    return NULL;
}

static gpointer
change_shared(gpointer data)
{
    Library *library = data;

    while (!atomic_load(&library->has_ended)) {
        guint now = atomic_fetch_add(&library->time, 1) + 1;

        table_cache_clear(library->cache);
        atomic_store(&library->cleared, now);
        g_usleep(500);
    }
    return NULL;
}

static void
run_threads(Library *library)
{
    GThread *readers[4];
    GThread *changer = g_thread_new("changer", change_shared, library);

    for (gsize i = 0; i < G_N_ELEMENTS(readers); i++)
        readers[i] = g_thread_new("reader", read_shared, library);
    for (gsize i = 0; i < G_N_ELEMENTS(readers); i++)
        g_thread_join(readers[i]);
    atomic_store(&library->has_ended, TRUE);
    g_thread_join(changer);
}

/* More tables than fit, of several sizes, some of which cannot be made, of a file that changes:
 * each is what it says, as long as it is held, and of no time before the last change. */
static void
test_many_threads(void)
{
    static const gsize budgets[] = { 0, ROOM_FOR(3, BIG_TABLE), ROOM_FOR(40, BIG_TABLE) };

    for (gsize i = 0; i < G_N_ELEMENTS(budgets); i++) {
        gsize before = atomic_load(&n_bytes);
        Library library = library_new(budgets[i]);

        library.fails = i == 1;
        run_threads(&library);
        library_close(&library);
        g_assert_cmpuint(atomic_load(&n_bytes), ==, before);
    }
}

static void
test_many_threads_and_trials(void)
{
    gsize before = atomic_load(&n_bytes);
    Library library = trial_new(1000);

    run_threads(&library);
    library_close(&library);
    g_assert_cmpuint(atomic_load(&n_bytes), ==, before);
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
    graph->tables = table_cache_new(0, 0);
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

static Table *
take_filled(TablePool *pool, guint8 byte)
{
    guint8 *bytes;
    Table *table = table_pool_take(pool, TABLE_SIZE, &bytes);

    memset(bytes, byte, TABLE_SIZE);
    return table;
}

/* A reader has found a slot, and is held up; when it goes on, the slot is somebody else's. */
static void
test_reader_comes_late(void)
{
    g_autoptr(StrataGraph) graph = numbered_graph();
    StrataNode *leaf = strata_graph_get_top(graph);
    const TableKey first = { leaf, 0, TABLE_SIZE }, second = { leaf, 512, TABLE_SIZE };
    TablePool *pool = table_pool_new(ROOM_FOR(1, TABLE_SIZE), 0);
    Table *slot = take_filled(pool, 1);

    table_pool_keep(pool, slot, &first, FALSE);
    table_unref(slot);
    g_assert_true(table_pool_pin(slot, &first));
    table_unref(slot);
    g_assert_true(take_filled(pool, 2) == slot);
    g_assert_false(table_pool_pin(slot, &first)); /* claimed */
    table_pool_keep(pool, slot, &second, FALSE);
    table_unref(slot);
    g_assert_false(table_pool_pin(slot, &first));
    g_assert_true(table_pool_pin(slot, &second));
    table_pool_clear(pool);
    g_assert_false(table_pool_pin(slot, &second)); /* pinned, and gone */
    g_assert_cmpuint(slot->bytes[0], ==, 2);
    table_unref(slot);
    g_assert_true(take_filled(pool, 3) == slot); /* so every pin has been taken back */
    table_pool_lend(pool, slot);
    g_assert_false(table_pool_pin(slot, &second));
    table_unref(slot);
    table_pool_free(pool);
}

/* Slots that change hands all the time, so that one is taken while somebody just looks at it. */
#define N_HOT 6

static gpointer
read_hot(gpointer data)
{
    Library *library = data;

    for (guint i = 0; i < 20 * MANY_TURNS; i++)
        table_unref(borrow(library, i * 2654435761u >> 16 & 0xff ? i % N_HOT : 0, 8, NULL));
    return NULL;
}

static void
test_slots_change_hands(void)
{
    Library library = library_new(ROOM_FOR(N_HOT / 2, 8));
    GThread *threads[3];

    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("reader", read_hot, &library);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    library_close(&library);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tables/lives-longer-than-its-cache", test_lives_longer_than_its_cache);
    g_test_add_func("/tables/above-the-budget-is-not-kept", test_above_the_budget_is_not_kept);
    g_test_add_func("/tables/same-offset-other-size", test_same_offset_other_size);
    g_test_add_func("/tables/failed-read-is-told-each-time", test_failed_read_is_told_each_time);
    g_test_add_func("/tables/made-once-for-all-who-wait", test_made_once_for_all_who_wait);
    g_test_add_func("/tables/failure-is-for-one", test_failure_is_for_one);
    g_test_add_func("/tables/clear-forgets-all", test_clear_forgets_all);
    g_test_add_func("/tables/clear-while-a-table-is-made", test_clear_while_a_table_is_made);
    g_test_add_func("/tables/clear-between-two", test_clear_between_two);
    g_test_add_func("/tables/keeps-what-is-used-again", test_keeps_what_is_used_again);
    g_test_add_func("/tables/scan-leaves-what-is-used-again", test_scan_leaves_what_is_used_again);
    g_test_add_func("/tables/pinned-is-not-evicted", test_pinned_is_not_evicted);
    g_test_add_func("/tables/trial-of-what-is-used-again", test_trial_of_what_is_used_again);
    g_test_add_func("/tables/trial-of-a-scan", test_trial_of_a_scan);
    g_test_add_func("/tables/trial-of-what-is-made-again", test_trial_of_what_is_made_again);
    g_test_add_func("/tables/trial-of-what-is-pinned", test_trial_of_what_is_pinned);
    g_test_add_func("/tables/trial-and-clear", test_trial_and_clear);
    g_test_add_func("/tables/many-in-a-chain", test_many_in_a_chain);
    g_test_add_func("/tables/small-after-large", test_small_after_large);
    g_test_add_func("/tables/copy", test_copy);
    g_test_add_func("/tables/memory-of-borrowed", test_memory_of_borrowed);
    g_test_add_func("/tables/memory-is-bounded", test_memory_is_bounded);
    g_test_add_func("/tables/memory-of-pinned", test_memory_of_pinned);
    g_test_add_func("/tables/memory-is-used-again", test_memory_is_used_again);
    g_test_add_func("/tables/memory-of-failures", test_memory_of_failures);
    g_test_add_func("/tables/many-threads", test_many_threads);
    g_test_add_func("/tables/many-threads-and-trials", test_many_threads_and_trials);
    g_test_add_func("/tables/reader-comes-late", test_reader_comes_late);
    g_test_add_func("/tables/slots-change-hands", test_slots_change_hands);
    g_test_add_func("/tables/nesting-is-bounded", test_nesting_is_bounded);
    return g_test_run();
}
