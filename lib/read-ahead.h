/* SPDX-License-Identifier: LGPL-2.1-or-later
 * read-ahead.h - tables that will be needed soon, fetched into a graph's cache by a thread of their
 * own. */
#ifndef STRATA_READ_AHEAD_H
#define STRATA_READ_AHEAD_H

#include <strata/graph.h>

typedef struct _ReadAhead ReadAhead;

/* Tables that are asked for and not begun, at most: of all who ask. */
#define READ_AHEAD_MAX 128

typedef struct {
    StrataNode *node;    /* with tables */
    guint64 offset;      /* bytes, in the node: the table that tells of this byte */
    gconstpointer asker; /* looked at by nobody: who asks for it */
    guint64 at;          /* bytes: where that one needs it */
} ReadAheadTable;

ReadAhead *read_ahead_new(void);

/* Ends its thread until somebody asks again: for who has just opened a graph, and may fork. Nobody
 * else has the graph. */
void read_ahead_rest(ReadAhead *ahead);

/* Waits for its thread. Not called from it: what it calls holds no reference to the graph. */
void read_ahead_free(ReadAhead *ahead);

/* Has @tables fetched, in that order, and no longer those that @asker needed before @passed. What
 * there is no room for, or no thread, is left to who needs it; so are failures. Thread-safe. */
void read_ahead_ask(ReadAhead *ahead, gconstpointer asker, guint64 passed,
                    const ReadAheadTable *tables, gsize n_tables);

#endif
