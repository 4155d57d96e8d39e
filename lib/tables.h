/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tables.h - the bounded cache of metadata tables that all nodes of a graph share. */
#ifndef STRATA_TABLES_H
#define STRATA_TABLES_H

#include <strata/graph.h>

typedef struct _TableCache TableCache;

/* A piece of a file's metadata as it stands there: immutable, reference-counted. */
typedef struct {
    gint ref_count; /* atomic */
    gsize size;     /* bytes */
    guint8 bytes[] __attribute__((aligned(8)));
} Table;

/* @budget: bytes of tables that the cache itself keeps alive; tables in use may exceed it. */
TableCache *table_cache_new(gsize budget);
void table_cache_free(TableCache *cache);

/* How many tables this thread has read from storage so far, those included that lie below others in
 * nested images. It only grows: whoever does long work compares it with what it was, and stops. */
guint64 table_cache_count_reads(void);

/* The @size bytes at @offset of @storage, from the cache or read through strata_node_read(). The
 * size is part of what names a table: an image may claim that two kinds of them begin at the same
 * place. The read happens under no lock. Thread-safe. Returns a reference for table_unref(), or
 * NULL with @error. */
Table *table_cache_get(TableCache *cache, StrataNode *storage, guint64 offset, gsize size,
                       GError **error);
void table_unref(Table *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_unref)

#endif
