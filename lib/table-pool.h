/* SPDX-License-Identifier: LGPL-2.1-or-later
 * table-pool.h - the memory of a table cache: tables in slots that readers find without a lock, and
 * that are used again and again within a budget. */
#ifndef STRATA_TABLE_POOL_H
#define STRATA_TABLE_POOL_H

#include "tables.h"

typedef struct _TablePool TablePool;

/* @n_on_trial: how many of the last tables that were made are kept on trial: what is neither used
 * again by then, nor made again soon, is not kept longer; 0: all is kept as long as there is room
 */
TablePool *table_pool_new(gsize budget, guint n_on_trial);

/* Nobody looks anything up any more. Tables that are pinned live until they are unpinned. */
void table_pool_free(TablePool *pool);

/* Returns the table of @key, pinned, or NULL; also NULL now and then while others change the pool.
 * Takes no lock, and writes to no memory but the table's own. Thread-safe. */
Table *table_pool_find(TablePool *pool, const TableKey *key);

/* The last step of that, for a slot that has been found: whether it still holds the table of @key,
 * which is then pinned. Whoever comes late may find it claimed, or with another table. */
gboolean table_pool_pin(Table *slot, const TableKey *key);

/* Of tables that another thread kept ahead: what this thread was the first to find. Only grows. */
typedef struct {
    guint64 n_tables;
    guint64 n_bytes;
} TablePoolAhead;
const TablePoolAhead *table_pool_count_ahead(void);

/* -- All below are called with one lock held, the same for all of a pool -- */

/* The same, and NULL only if it is not there. */
Table *table_pool_find_surely(TablePool *pool, const TableKey *key);

/* Takes a slot with room for @size bytes: an empty one, or one whose table nobody used for the
 * longest time. Returns where to write them; they are nobody else's until one of the three below
 * is called for the slot. Exceeds the budget only by what is pinned or taken. */
Table *table_pool_take(TablePool *pool, gsize size, guint8 **out_bytes);

/* Gives back to the system what was pinned beyond the budget and no longer is. */
void table_pool_trim(TablePool *pool);

/* @taken is complete: it is found under @key from now on, where there is nothing yet, if it fits in
 * the budget. It is pinned once, for the caller.
 * @is_ahead: for who will find it first. */
void table_pool_keep(TablePool *pool, Table *taken, const TableKey *key, gboolean is_ahead);

/* @taken is complete, and nobody is to find it. It is pinned once, for the caller. */
void table_pool_lend(TablePool *pool, Table *taken);

/* @taken is not needed after all. */
void table_pool_give_back(TablePool *pool, Table *taken);

/* Nothing of what is there is found any more. */
void table_pool_clear(TablePool *pool);

#endif
