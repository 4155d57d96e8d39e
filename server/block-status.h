/* SPDX-License-Identifier: LGPL-2.1-or-later
 * block-status.h - lists of extents, one per context. */
#ifndef STRATA_BLOCK_STATUS_H
#define STRATA_BLOCK_STATUS_H

#include "contexts.h"
#include "proto.h"

/* The extents of one context, in wire order of bytes once they are finished. */
typedef struct {
    const Context *context;
    GArray *extents; /* NbdExtent; neighbours differ */
    guint limit;     /* on how many there may be */
    gboolean full;   /* a further extent would have been over the limit: the list has ended */
} StatusList;

void status_list_init(StatusList *list, const Context *context, guint limit);
void status_list_clear(StatusList *list);

/* Adds what follows the extents so far. The sum of all lengths is the caller's to keep in 32 bits.
 */
void status_list_add(StatusList *list, guint64 length, guint32 value);

/* Asks a context that tells of ranges itself, and adds what it says of the bytes from *@offset on;
 * *@offset is moved to where that ends, not past @end. Returns how many extents it told, or 0 with
 * @error set if not even the first byte can be told. */
gsize status_list_ask(StatusList *list, guint64 *offset, guint64 end, GError **error);

/* Turns the extents into the protocol's byte order. */
NbdExtent *status_list_finish(StatusList *list);

#endif
