/* SPDX-License-Identifier: LGPL-2.1-or-later
 * block-status.h - lists of extents, one per context. */
#ifndef STRATA_BLOCK_STATUS_H
#define STRATA_BLOCK_STATUS_H

#include "contexts.h"
#include "proto.h"

/* The extents of one context. */
typedef struct {
    const Context *context;
    guint32 id;            /* of the context, for the client */
    NbdExtExtent *extents; /* in the machine's order of bytes; none goes on in the next */
    guint n_extents;
    guint n_allocated;
    guint limit;      /* on how many there may be */
    gboolean full;    /* there was no room for a further extent, or no memory: the list has ended */
    StrataNode *leaf; /* of a context of places: where the last extent lies, NULL for nowhere */
} StatusList;

/* Returns FALSE if there is no memory for its first extents; it is to be cleared all the same. */
gboolean status_list_init(StatusList *list, const Context *context, guint32 id, guint limit);
void status_list_clear(StatusList *list);

/* Adds what follows the extents so far: a range of one value, or runs as the list's context has
 * them. A range of the last extent's value makes that one longer; a run of places does where it
 * goes on in the same leaf. */
void status_list_add(StatusList *list, guint64 length, guint64 value);
void status_list_add_runs(StatusList *list, const StrataRun *runs, gsize n_runs);

/* Asks a context that tells of ranges itself, and adds what it says of the bytes from *@offset on;
 * *@offset is moved to where that ends, not past @end. Returns how many extents it told, or 0 with
 * @error set if not even the first byte can be told. */
gsize status_list_ask(StatusList *list, guint64 *offset, guint64 end, GError **error);

#endif
