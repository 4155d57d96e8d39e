/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tables.c - a bounded cache of what is read, or made, from the bytes of images.
 *
 *      pool:    TableKey ──> Table, without a lock; what is kept, and within what budget
 *      fills:   TableKey ──> Fill: the thread that makes the table, and those who wait for it
 *
 * Who finds a table in the pool comes by nothing else of this. */
#include "tables.h"

#include <string.h>

#include "driver.h"
#include "error.h"
#include "node.h"
#include "table-pool.h"
#include "wait.h"

/* To make a table of an image in an image takes tables and clusters of the inner one. An image may
 * be made so that each takes all of those below it, which doubles and doubles again with every
 * level; honest ones need a few for each level, and find most in the cache. */
#define WORK_UNIT       4096 /* bytes */
#define WORK_PER_MIB    ((1 << 20) / WORK_UNIT)
#define MAX_NESTED_WORK (256 * WORK_PER_MIB)

/* All of it is guarded by the cache's lock. */
typedef struct {
    TableKey key;
    guint n_users; /* the thread that makes it and those who wait; the last one frees it */
    gboolean has_ended;
    Table *table; /* one reference; NULL before the end, and where it failed */
    GCond ended;
} Fill;

struct _TableCache {
    TablePool *pool; /* owned */
    gsize budget;    /* bytes */

    GMutex lock;       /* guards .fills, and all of the pool but looking for what is there; held for
                          no fill */
    GHashTable *fills; /* key in a Fill -> that Fill, not owned */
};

/* Of this thread. */
static __thread guint64 work;        /* table_cache_count_work() */
static __thread guint64 work_before; /* when the outermost table was begun */
static __thread gboolean is_ahead;   /* table_cache_fill_ahead() */
static __thread guint level;         /* tables that are being made, one below the other */

static guint
key_hash(gconstpointer pointer)
{
    const TableKey *key = pointer;
    guint64 mixed = (key->offset ^ key->length ^ (guintptr)key->storage) * 0x9e3779b97f4a7c15u;

    return (guint)(mixed >> 32);
}

static gboolean
key_equal(gconstpointer a, gconstpointer b)
{
    const TableKey *left = a, *right = b;

    return left->offset == right->offset && left->storage == right->storage &&
           left->length == right->length;
}

TableCache *
table_cache_new(gsize budget, guint n_on_trial)
{
    TableCache *cache = g_new0(TableCache, 1);

    g_mutex_init(&cache->lock);
    cache->pool = table_pool_new(budget, n_on_trial);
    cache->budget = budget;
    cache->fills = g_hash_table_new(key_hash, key_equal);
    return cache;
}

gsize
table_cache_get_budget(const TableCache *cache)
{
    return cache->budget;
}

void
table_cache_free(TableCache *cache)
{
    g_hash_table_unref(cache->fills);
    table_pool_free(cache->pool);
    g_mutex_clear(&cache->lock);
    g_free(cache);
}

void
table_cache_trim(TableCache *cache)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&cache->lock);

    table_pool_trim(cache->pool);
}

void
table_cache_clear(TableCache *cache)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&cache->lock);

    table_pool_clear(cache->pool);
    g_hash_table_remove_all(cache->fills); /* so that fill_end() does not keep their tables */
}

/* -- What is being made. With the lock held -- */

static Fill *
fill_begin(TableCache *cache, const TableKey *key)
{
    Fill *fill = g_new0(Fill, 1);

    fill->key = *key;
    fill->n_users = 1;
    g_cond_init(&fill->ended);
    g_hash_table_insert(cache->fills, &fill->key, fill);
    return fill;
}

static void
fill_leave(Fill *fill)
{
    if (--fill->n_users > 0)
        return;
    g_clear_pointer(&fill->table, table_unref);
    g_cond_clear(&fill->ended);
    g_free(fill);
}

/* Returns a new reference, or NULL where it failed. The lock is free in between. */
static Table *
fill_wait(TableCache *cache, Fill *fill)
{
    Table *table = NULL;

    fill->n_users++; /* so that it is still there */
    g_mutex_unlock(&cache->lock);
    wait_announce();
    g_mutex_lock(&cache->lock);
    while (!fill->has_ended)
        g_cond_wait(&fill->ended, &cache->lock);
    if (fill->table != NULL)
        table = table_ref(fill->table);
    work += 1 + fill->key.length / WORK_UNIT;
    fill_leave(fill);
    return table;
}

/* @table: (nullable) what came of it, pinned. */
static void
fill_end(Fill *fill, Table *table)
{
    fill->table = table != NULL ? table_ref(table) : NULL;
    fill->has_ended = TRUE;
    g_cond_broadcast(&fill->ended);
    fill_leave(fill);
}

/* -- The work, and its limit -- */

guint64
table_cache_count_work(void)
{
    const TablePoolAhead *ahead = table_pool_count_ahead();

    return work + ahead->n_tables + ahead->n_bytes / WORK_UNIT;
}

void
table_cache_add_work(guint64 units)
{
    work += units;
}

void
table_cache_fill_ahead(void)
{
    is_ahead = TRUE;
}

static gboolean
fill_bounded(const TableKey *key, TableFill fill, gpointer data, guint8 *bytes, gsize size,
             GError **error)
{
    if (work - work_before > MAX_NESTED_WORK)
        return strata_throw(error, key->storage, STRATA_ERROR_LIMIT,
                            "images are nested in each other so that reading one table or cluster"
                            " takes more than %d MiB of others, which is strata's limit",
                            MAX_NESTED_WORK / WORK_PER_MIB);
    work += 1 + MAX(key->length, size) / WORK_UNIT;
    return fill(key, data, bytes, size, error);
}

/* The callers bound @size (2 MiB for qcow2), so that an image cannot make this fail. */
static gboolean
fill_table(const TableKey *key, TableFill fill, gpointer data, guint8 *bytes, gsize size,
           GError **error)
{
    gboolean is_filled;

    if (level++ == 0)
        work_before = work;
    is_filled = fill_bounded(key, fill, data, bytes, size, error);
    changes_check_read(key->storage->graph->changes, key->storage);
    level--;
    return is_filled;
}

/* -- Both -- */

/* What a thread has to make. */
typedef struct {
    Fill *fill;    /* what others wait for; NULL if another thread has just failed at it */
    Table *table;  /* taken from the pool */
    guint8 *bytes; /* of the table */
} Task;

/* Returns a new reference; or NULL, and the caller has to do *@out_task. There is nothing to wait
 * for if another thread has just failed: it may have had a reason of its own, such as the limit
 * above, and whoever waited for it does not wait for a third. */
static Table *
find_or_begin(TableCache *cache, const TableKey *key, gsize size, Task *out_task)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&cache->lock);
    Table *table = table_pool_find_surely(cache->pool, key);
    Fill *fill = table == NULL ? g_hash_table_lookup(cache->fills, key) : NULL;

    *out_task = (Task){ 0 };
    if (fill != NULL)
        table = fill_wait(cache, fill);
    else if (table == NULL)
        out_task->fill = fill_begin(cache, key);
    if (table == NULL)
        out_task->table = table_pool_take(cache->pool, size, &out_task->bytes);
    return table;
}

/* Makes of the slot what everybody sees of it, or nothing. */
static Table *
end(TableCache *cache, const TableKey *key, const Task *task, gboolean is_filled)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&cache->lock);
    Fill *fill = task->fill;
    gboolean is_awaited = fill != NULL && g_hash_table_lookup(cache->fills, key) == fill;

    if (is_awaited) /* nobody cleared meanwhile */
        g_hash_table_remove(cache->fills, key);
    if (!is_filled)
        table_pool_give_back(cache->pool, task->table);
    else if (is_awaited)
        table_pool_keep(cache->pool, task->table, key, is_ahead);
    else
        table_pool_lend(cache->pool, task->table);
    if (fill != NULL)
        fill_end(fill, is_filled ? task->table : NULL);
    return is_filled ? task->table : NULL;
}

Table *
table_cache_make(TableCache *cache, const TableKey *key, gsize size, TableFill fill, gpointer data,
                 GError **error)
{
    Table *table = table_pool_find(cache->pool, key);
    gboolean is_filled;
    Task task;

    if (G_LIKELY(table != NULL))
        return table;
    table = find_or_begin(cache, key, size, &task);
    if (table != NULL)
        return table;
    is_filled = fill_table(key, fill, data, task.bytes, size, error);
    return end(cache, key, &task, is_filled);
}

gboolean
table_cache_copy(TableCache *cache, const TableKey *key, gsize size, TableFill fill, gpointer data,
                 guint8 *buffer, GError **error)
{
    g_autoptr(Table) table = table_pool_find(cache->pool, key);

    if (table == NULL)
        return fill_table(key, fill, data, buffer, size, error);
    memcpy(buffer, table->bytes, size);
    return TRUE;
}

Table *
table_cache_borrow(TableCache *cache, gsize size, guint8 **out_bytes)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&cache->lock);

    return table_pool_take(cache->pool, size, out_bytes);
}

void
table_cache_return(TableCache *cache, Table *borrowed)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&cache->lock);

    table_pool_give_back(cache->pool, borrowed);
}

static gboolean
read_storage(const TableKey *key, gpointer data, guint8 *bytes, gsize size, GError **error)
{
    return strata_node_read(key->storage, key->offset, size, bytes, error);
}

Table *
table_cache_get(TableCache *cache, StrataNode *storage, guint64 offset, gsize size, GError **error)
{
    const TableKey key = { .storage = storage, .offset = offset, .length = size };

    return table_cache_make(cache, &key, size, read_storage, NULL, error);
}

Table *
table_cache_peek(TableCache *cache, StrataNode *storage, guint64 offset, gsize size)
{
    const TableKey key = { .storage = storage, .offset = offset, .length = size };

    return table_pool_find(cache->pool, &key);
}
