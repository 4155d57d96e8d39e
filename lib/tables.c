/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tables.c - the bounded cache of metadata tables that all nodes of a graph share.
 *
 *      index:   (storage, offset, size) ──> Entry ──ref──> Table <──ref── whoever uses it now
 *      recency: newest Entry <──> ... <──> oldest Entry, the next to go
 *
 * The cache owns one reference to each table that it keeps. Evicting drops that one only, so a
 * table lives on as long as somebody still looks at it. */
#include "tables.h"

#include "driver.h"
#include "error.h"

/* To read a table of an image in an image takes tables of the inner one. An image may be made so
 * that each takes all of those below it, which doubles and doubles again with every level; honest
 * ones need two for each level, and find most in the cache. */
#define MAX_NESTED_READS 4096

/* The size belongs to the key, because an image may claim that tables of two kinds begin at the
 * same place. */
typedef struct {
    StrataNode *storage;
    guint64 offset;
    gsize size;
} Key;

typedef struct {
    Key key;
    Table *table;  /* one reference */
    GList recency; /* data is the entry itself */
} Entry;

struct _TableCache {
    gsize budget; /* bytes; never changes */

    GMutex lock;       /* guards all below; held for a lookup or an insertion, never for a read */
    GHashTable *index; /* Key in an Entry -> that Entry, owned */
    GQueue recency;    /* of Entry.recency, newest first */
    gsize held;        /* bytes of all tables in index */
};

static guint
key_hash(gconstpointer pointer)
{
    const Key *key = pointer;
    guint64 mixed = (key->offset ^ key->size ^ (guintptr)key->storage) * 0x9e3779b97f4a7c15u;

    return (guint)(mixed >> 32);
}

static gboolean
key_equal(gconstpointer a, gconstpointer b)
{
    const Key *left = a, *right = b;

    return left->offset == right->offset && left->storage == right->storage &&
           left->size == right->size;
}

static void
entry_free(gpointer pointer)
{
    Entry *entry = pointer;

    table_unref(entry->table);
    g_free(entry);
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

/* What this thread has read, and how much of that below the table that it reads now. */
static __thread guint64 reads;
static __thread guint64 reads_before; /* when the outermost table was begun */
static __thread guint level;          /* tables that are being read, one below the other */

guint64
table_cache_count_reads(void)
{
    return reads;
}

static gboolean
read_nested(const Key *key, Table *table, GError **error)
{
    if (reads - reads_before > MAX_NESTED_READS)
        return strata_throw(error, key->storage, STRATA_ERROR_LIMIT,
                            "images are nested in each other so that reading one table takes more "
                            "than %d others, which is strata's limit",
                            MAX_NESTED_READS);
    return strata_node_read(key->storage, key->offset, key->size, table->bytes, error);
}

/* The callers bound @size (64 KiB for qcow2), so that an image cannot make this fail. */
static Table *
table_read(const Key *key, GError **error)
{
    g_autoptr(Table) table = g_malloc(sizeof *table + key->size);
    gboolean was_read;

    table->ref_count = 1;
    table->size = key->size;
    if (level++ == 0)
        reads_before = reads;
    reads++;
    was_read = read_nested(key, table, error);
    level--;
    return was_read ? g_steal_pointer(&table) : NULL;
}

TableCache *
table_cache_new(gsize budget)
{
    TableCache *cache = g_new0(TableCache, 1);

    cache->budget = budget;
    g_mutex_init(&cache->lock);
    cache->index = g_hash_table_new_full(key_hash, key_equal, NULL, entry_free);
    g_queue_init(&cache->recency);
    return cache;
}

void
table_cache_free(TableCache *cache)
{
    g_hash_table_unref(cache->index);
    g_mutex_clear(&cache->lock);
    g_free(cache);
}

/* With the lock held. Returns a new reference, or NULL. */
static Table *
find(TableCache *cache, const Key *key)
{
    Entry *entry = g_hash_table_lookup(cache->index, key);

    if (entry == NULL)
        return NULL;
    g_queue_unlink(&cache->recency, &entry->recency);
    g_queue_push_head_link(&cache->recency, &entry->recency);
    return table_ref(entry->table);
}

/* With the lock held. */
static void
make_room(TableCache *cache, gsize size)
{
    while (cache->held > cache->budget - size) {
        Entry *oldest = g_queue_peek_tail(&cache->recency);

        g_queue_unlink(&cache->recency, &oldest->recency);
        cache->held -= oldest->key.size;
        g_hash_table_remove(cache->index, &oldest->key);
    }
}

/* With the lock held; the key is not there yet. A table above the whole budget is not kept. */
static void
keep(TableCache *cache, const Key *key, Table *table)
{
    Entry *entry;

    if (key->size > cache->budget)
        return;
    make_room(cache, key->size);
    entry = g_new0(Entry, 1);
    entry->key = *key;
    entry->table = table_ref(table);
    entry->recency.data = entry;
    g_hash_table_insert(cache->index, &entry->key, entry);
    g_queue_push_head_link(&cache->recency, &entry->recency);
    cache->held += key->size;
}

static Table *
lookup(TableCache *cache, const Key *key)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&cache->lock);

    return find(cache, key);
}

/* Takes @table over. Another thread may have read the same table meanwhile; then the one that is
 * kept already is returned, so that all users share it. */
static Table *
publish(TableCache *cache, const Key *key, Table *table)
{
    g_autoptr(Table) ours = table;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&cache->lock);
    Table *theirs = find(cache, key);

    if (theirs != NULL)
        return theirs;
    keep(cache, key, ours);
    return g_steal_pointer(&ours);
}

Table *
table_cache_get(TableCache *cache, StrataNode *storage, guint64 offset, gsize size, GError **error)
{
    const Key key = { .storage = storage, .offset = offset, .size = size };
    Table *table = lookup(cache, &key);

    if (table != NULL)
        return table;
    table = table_read(&key, error);
    if (table == NULL)
        return NULL;
    return publish(cache, &key, table);
}
