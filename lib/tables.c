/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tables.c - a bounded cache of what is read, or made, from the bytes of images.
 *
 *      index:   TableKey ──> Entry ──ref──> Table <──ref── whoever uses it now
 *      recency: newest Entry <──> ... <──> oldest Entry, the next to go
 *      fills:   TableKey ──> Fill: the thread that makes the table, and those who wait for it
 *
 * The cache owns one reference to each table that it keeps. Evicting drops that one only, so a
 * table lives on as long as somebody still looks at it. */
#include "tables.h"

#include "driver.h"
#include "error.h"
#include "node.h"

/* To make a table of an image in an image takes tables and clusters of the inner one. An image may
 * be made so that each takes all of those below it, which doubles and doubles again with every
 * level; honest ones need a few for each level, and find most in the cache. */
#define WORK_UNIT       4096 /* bytes */
#define WORK_PER_MIB    ((1 << 20) / WORK_UNIT)
#define MAX_NESTED_WORK (256 * WORK_PER_MIB)

typedef struct {
    TableKey key;
    Table *table;  /* one reference */
    GList recency; /* data is the entry itself */
} Entry;

/* All of it is guarded by the cache's lock. */
typedef struct {
    TableKey key;
    guint n_users; /* the thread that makes it and those who wait; the last one frees it */
    gboolean has_ended;
    Table *table; /* one reference; NULL before the end, and where it failed */
    GCond ended;
} Fill;

struct _TableCache {
    gsize budget; /* bytes; never changes */

    GMutex lock;       /* guards all below; held for a lookup or an insertion, never for a fill */
    GHashTable *index; /* key in an Entry -> that Entry, owned */
    GQueue recency;    /* of Entry.recency, newest first */
    gsize held;        /* bytes of all tables in index */
    GHashTable *fills; /* key in a Fill -> that Fill, not owned */
};

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

static Table *
table_ref(Table *table)
{
    g_atomic_int_inc(&table->ref_count);
    return table;
}

void
table_unref(Table *table)
{
    if (g_atomic_int_dec_and_test(&table->ref_count))
        g_free(table);
}

static void
entry_free(gpointer pointer)
{
    Entry *entry = pointer;

    table_unref(entry->table);
    g_free(entry);
}

TableCache *
table_cache_new(gsize budget)
{
    TableCache *cache = g_new0(TableCache, 1);

    cache->budget = budget;
    g_mutex_init(&cache->lock);
    cache->index = g_hash_table_new_full(key_hash, key_equal, NULL, entry_free);
    cache->fills = g_hash_table_new(key_hash, key_equal);
    g_queue_init(&cache->recency);
    return cache;
}

void
table_cache_free(TableCache *cache)
{
    g_hash_table_unref(cache->fills);
    g_hash_table_unref(cache->index);
    g_mutex_clear(&cache->lock);
    g_free(cache);
}

/* -- What is kept. All with the lock held -- */

/* Returns a new reference, or NULL. */
static Table *
find(TableCache *cache, const TableKey *key)
{
    Entry *entry = g_hash_table_lookup(cache->index, key);

    if (entry == NULL)
        return NULL;
    g_queue_unlink(&cache->recency, &entry->recency);
    g_queue_push_head_link(&cache->recency, &entry->recency);
    return table_ref(entry->table);
}

static void
make_room(TableCache *cache, gsize size)
{
    while (cache->held > cache->budget - size) {
        Entry *oldest = g_queue_peek_tail(&cache->recency);

        g_queue_unlink(&cache->recency, &oldest->recency);
        cache->held -= oldest->table->size;
        g_hash_table_remove(cache->index, &oldest->key);
    }
}

/* The key is not there yet. A table above the whole budget is not kept. */
static void
keep(TableCache *cache, const TableKey *key, Table *table)
{
    Entry *entry;

    if (table->size > cache->budget)
        return;
    make_room(cache, table->size);
    entry = g_new0(Entry, 1);
    entry->key = *key;
    entry->table = table_ref(table);
    entry->recency.data = entry;
    g_hash_table_insert(cache->index, &entry->key, entry);
    g_queue_push_head_link(&cache->recency, &entry->recency);
    cache->held += table->size;
}

void
table_cache_clear(TableCache *cache)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&cache->lock);

    g_queue_init(&cache->recency); /* its links lie in the entries */
    g_hash_table_remove_all(cache->index);
    cache->held = 0;
    g_hash_table_remove_all(cache->fills); /* so that fill_end() does not keep their tables */
}

/* -- What is being made. All but fill_end() with the lock held -- */

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

/* Returns a new reference, or NULL where it failed. */
static Table *
fill_wait(TableCache *cache, Fill *fill)
{
    Table *table = NULL;

    fill->n_users++;
    while (!fill->has_ended)
        g_cond_wait(&fill->ended, &cache->lock);
    if (fill->table != NULL)
        table = table_ref(fill->table);
    fill_leave(fill);
    return table;
}

/* @table: (nullable) what came of it. */
static void
fill_end(TableCache *cache, Fill *fill, Table *table)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&cache->lock);

    fill->table = table != NULL ? table_ref(table) : NULL;
    fill->has_ended = TRUE;
    g_cond_broadcast(&fill->ended);
    if (g_hash_table_lookup(cache->fills, &fill->key) == fill) { /* nobody cleared meanwhile */
        g_hash_table_remove(cache->fills, &fill->key);
        if (table != NULL)
            keep(cache, &fill->key, table);
    }
    fill_leave(fill);
}

/* -- The work, and its limit -- */

static __thread guint64 work;        /* table_cache_count_work() */
static __thread guint64 work_before; /* when the outermost table was begun */
static __thread guint level;         /* tables that are being made, one below the other */

guint64
table_cache_count_work(void)
{
    return work;
}

static gboolean
fill_bounded(const TableKey *key, TableFill fill, gpointer data, Table *table, GError **error)
{
    if (work - work_before > MAX_NESTED_WORK)
        return strata_throw(error, key->storage, STRATA_ERROR_LIMIT,
                            "images are nested in each other so that reading one table or cluster"
                            " takes more than %d MiB of others, which is strata's limit",
                            MAX_NESTED_WORK / WORK_PER_MIB);
    work += 1 + MAX(key->length, table->size) / WORK_UNIT;
    return fill(key, data, table->bytes, table->size, error);
}

/* The callers bound @size (2 MiB for qcow2), so that an image cannot make this fail. */
static Table *
table_new(const TableKey *key, gsize size, TableFill fill, gpointer data, GError **error)
{
    g_autoptr(Table) table = g_malloc(sizeof *table + size);
    gboolean is_filled;

    table->ref_count = 1;
    table->size = size;
    if (level++ == 0)
        work_before = work;
    is_filled = fill_bounded(key, fill, data, table, error);
    changes_check_read(key->storage->graph->changes, key->storage);
    level--;
    return is_filled ? g_steal_pointer(&table) : NULL;
}

/* Returns a new reference; or NULL, and the caller has to make the table. Then *@out_fill is what
 * others wait for, or NULL if another thread has just failed at it: it may have had a reason of its
 * own, such as the limit above, and whoever waited for it does not wait for a third. */
static Table *
find_or_begin(TableCache *cache, const TableKey *key, Fill **out_fill)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&cache->lock);
    Table *table = find(cache, key);
    Fill *fill;

    *out_fill = NULL;
    if (table != NULL)
        return table;
    fill = g_hash_table_lookup(cache->fills, key);
    if (fill != NULL)
        return fill_wait(cache, fill);
    *out_fill = fill_begin(cache, key);
    return NULL;
}

Table *
table_cache_make(TableCache *cache, const TableKey *key, gsize size, TableFill fill, gpointer data,
                 GError **error)
{
    Fill *ours;
    Table *table = find_or_begin(cache, key, &ours);

    if (table != NULL)
        return table;
    table = table_new(key, size, fill, data, error);
    if (ours != NULL)
        fill_end(cache, ours, table);
    return table;
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
