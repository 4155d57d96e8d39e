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

/* Immutable, reference-counted. */
typedef struct {
    gint ref_count; /* atomic */
    gsize size;     /* bytes */
    guint8 bytes[] __attribute__((aligned(8)));
} Table;

/* Makes the @size bytes of a table from what @key names. Called under no lock, from whichever
 * thread wants the table first. What it reads through caches must lie below key->storage: threads
 * wait for each other's tables, and this is why they never do so in a circle. */
typedef gboolean (*TableFill)(const TableKey *key, gpointer data, guint8 *bytes, gsize size,
                              GError **error);

/* @budget: bytes of tables that the cache itself keeps alive; tables in use may exceed it. */
TableCache *table_cache_new(gsize budget);
void table_cache_free(TableCache *cache);

/* Forgets everything, because a file has changed. A table that is being made meanwhile goes to
 * those who waited for it by then, and to nobody after them. Thread-safe. */
void table_cache_clear(TableCache *cache);

/* The work that this thread has done for caches so far, what lies below in nested images included:
 * each 4 KiB that are read or made count one, and a table one at least. It only grows: whoever does
 * long work compares it with what it was, and stops. */
guint64 table_cache_count_work(void);

/* The @size bytes that @fill makes from what @key names (always the same for the same key), from
 * the cache or made now; who comes while another thread makes them waits for that. Thread-safe.
 * Returns a reference for table_unref(), or NULL with @error. A failure is not remembered. */
Table *table_cache_make(TableCache *cache, const TableKey *key, gsize size, TableFill fill,
                        gpointer data, GError **error);

/* The same for the bytes of the storage as they stand there, read through strata_node_read(). */
Table *table_cache_get(TableCache *cache, StrataNode *storage, guint64 offset, gsize size,
                       GError **error);
void table_unref(Table *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_unref)

#endif
