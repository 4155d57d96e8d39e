/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-extents.h - what a server tells of one context, from the beginning of an export to its
 * end: counted, and summed up so that two servers can be compared that cut it differently. */
#ifndef STRATA_CLIENT_EXTENTS_H
#define STRATA_CLIENT_EXTENTS_H

#include <glib.h>

typedef struct {
    guint64 position;      /* all before it is told */
    guint64 begin, value;  /* of the run that ends there, and may grow */
    guint64 n_extents;     /* as they came */
    guint64 n_merged;      /* runs that are over: neighbours of one value are one */
    guint64 sum, weighted; /* of those, as Fletcher's checksum has it */
} Extents;

/* The request that is answered, and the export. */
typedef struct {
    guint64 at; /* where the next extent begins */
    guint64 request_end;
    guint64 size;
} ExtentsBounds;

/* Takes @n extents as NBD_REPLY_TYPE_BLOCK_STATUS has them, or _EXT if @is_wide. What was told
 * before is passed over. Fatal where an extent is empty, begins past the request or ends past the
 * export. */
void extents_take(Extents *extents, ExtentsBounds *bounds, const guint8 *data, gsize n,
                  gboolean is_wide);

/* Ends the last run. */
void extents_finish(Extents *extents);

guint64 extents_digest(const Extents *extents);

#endif
