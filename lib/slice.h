/* SPDX-License-Identifier: LGPL-2.1-or-later
 * slice.h - where the tables of a node are open: one of them, or a stretch that none describes. */
#ifndef STRATA_SLICE_H
#define STRATA_SLICE_H

#include "tables.h"

/* All zero: closed. Tables that are open stay in memory: nobody keeps a slice open while he waits
 * for a client. */
typedef struct {
    guint64 begin, end;   /* bytes, in the node */
    gboolean is_empty;    /* nothing between them is the node's own */
    Table *table;         /* (nullable) the one that is open */
    guint64 table_offset; /* where it lies in the storage, for messages */
    Table *index;         /* (nullable) the one that leads to others; it may span more */
    guint64 index_first;  /* the number of its first entry */
} StrataSlice;

static inline gboolean
slice_tells_of(const StrataSlice *slice, guint64 offset)
{
    return offset >= slice->begin && offset < slice->end;
}

/* Leaves .index open. */
static inline void
slice_clear_table(StrataSlice *slice)
{
    g_clear_pointer(&slice->table, table_unref);
    slice->begin = slice->end = 0;
}

static inline void
slice_close(StrataSlice *slice)
{
    slice_clear_table(slice);
    g_clear_pointer(&slice->index, table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(StrataSlice, slice_close)

#endif
