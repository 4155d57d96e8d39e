/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tables.h - a bounded cache of what is read, or made, from the bytes of images. A graph has two,
 * each shared by all its nodes: one of metadata tables, one of decompressed clusters. */
#ifndef STRATA_TABLES_H
#define STRATA_TABLES_H

#include <strata/graph.h>

typedef struct _TableCache TableCache;

/* What a table is made from. The length is part of it: an image may claim that two things begin at
 * the same place. */
typedef struct {
    StrataNode *storage;
    guint64 offset; /* bytes, in the storage */
    gsize length;   /* bytes */
} TableKey;

/* Immutable while somebody has a reference, and at the same place. */
typedef struct {
    gsize size;          /* bytes */
    const guint8 *bytes; /* aligned to a cache line */
} Table;

/* What a table takes of the budget besides its bytes: its slot, and its share of the index. */
#define TABLE_OVERHEAD 128 /* bytes */

/* Makes the @size bytes of a table from what @key names. Called under no lock, from whichever
 * thread wants the table first. What it reads through caches must lie below key->storage: threads
 * wait for each other's tables, and this is why they never do so in a circle. */
typedef gboolean (*TableFill)(const TableKey *key, gpointer data, guint8 *bytes, gsize size,
                              GError **error);

/* @budget: bytes that tables take, and TABLE_OVERHEAD for each. It is exceeded by what is in use or
 * being made at one time, and by nothing else.
 * @n_on_trial: 0: what was used longest ago makes room. Else a table that is made for the first
 * time is kept only until that many others were, unless it is used again: for tables that are
 * larger than what is wanted of them, and are often not wanted twice */
TableCache *table_cache_new(gsize budget, guint n_on_trial);

gsize table_cache_get_budget(const TableCache *cache);

/* Tables that are in use live until they are unreferenced. */
void table_cache_free(TableCache *cache);

/* Forgets everything, because a file has changed. A table that is being made meanwhile goes to
 * those who waited for it by then, and to nobody after them. Thread-safe. */
void table_cache_clear(TableCache *cache);

/* Gives back what was in use beyond the budget and no longer is. Thread-safe. */
void table_cache_trim(TableCache *cache);

/* The work that this thread has done for caches so far, or another for it (it waited for that, or
 * was the first to find what was fetched ahead), what lies below in nested images included: each
 * 4 KiB that are read or made count one, and a table one at least. It only grows: whoever does
 * long work compares it with what it was, and stops. */
guint64 table_cache_count_work(void);

/* Other work for the sake of tables: counts as @units of them. */
void table_cache_add_work(guint64 units);

/* All that this thread makes from now on is for others, ahead of them: it counts as the work of who
 * finds it first, and that is no second use of it. */
void table_cache_fill_ahead(void);

/* The @size bytes that @fill makes from what @key names (always the same for the same key), from
 * the cache, without a lock, or made now; who comes while another thread makes them waits for that.
 * Thread-safe.
 * Returns a reference for table_unref(), or NULL with @error. A failure is not remembered. */
Table *table_cache_make(TableCache *cache, const TableKey *key, gsize size, TableFill fill,
                        gpointer data, GError **error);

/* All of the same bytes, copied to @buffer where the cache has them, and else made there, and not
 * kept. For who wants the whole of a table, and most likely never again. */
gboolean table_cache_copy(TableCache *cache, const TableKey *key, gsize size, TableFill fill,
                          gpointer data, guint8 *buffer, GError **error);

/* Memory of the cache's budget for @size bytes that are needed for a short time, and whose content
 * is undefined. Give it back with table_cache_return(). Thread-safe. */
Table *table_cache_borrow(TableCache *cache, gsize size, guint8 **out_bytes);
void table_cache_return(TableCache *cache, Table *borrowed);

/* The same as table_cache_make() for the bytes of the storage as they stand there, read through
 * strata_node_read(). */
Table *table_cache_get(TableCache *cache, StrataNode *storage, guint64 offset, gsize size,
                       GError **error);

/* The same, if the cache has it; else NULL. Takes no lock. Thread-safe. */
Table *table_cache_peek(TableCache *cache, StrataNode *storage, guint64 offset, gsize size);

/* Take no lock. Thread-safe. */
Table *table_ref(Table *table);
void table_unref(Table *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_unref)

#endif
