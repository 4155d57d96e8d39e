/* SPDX-License-Identifier: LGPL-2.1-or-later
 * damage.h - where does a range that cannot be told end? */
#ifndef STRATA_TOOL_DAMAGE_H
#define STRATA_TOOL_DAMAGE_H

#include "extent.h"

/* Whether the byte at @offset can be told. */
typedef gboolean (*DamageProbe)(guint64 offset, gpointer data);

/* One per map: the fine steps are a budget of the whole map, so that an image that is damaged all
 * over costs a bounded number of probes. */
typedef struct {
    guint64 step;     /* bytes, above 0: no damage is expected to be shorter */
    guint fine_steps; /* how many probes may still be that close together */
    gint64 patience;  /* microseconds that the probes of the whole map may still take */
} DamageSearch;

/* Probes mostly take microseconds. Each of a server that has fallen silent takes a minute. */
#define DAMAGE_PATIENCE (30 * G_USEC_PER_SEC)

/* @bad: an offset that cannot be told; @end: where the map ends, above @bad.
 *
 * Goes on step by step, and once the fine steps are used up in steps that double; from the first
 * byte that can be told it then looks back for the exact place. So the end is exact while fine
 * steps last; later a sound range between two damaged ones may be passed over, never the reverse.
 * Without patience the search ends with what is told for certain, or at @end.
 *
 * Returns the offset, above @bad, from which the map can go on, or @end. */
guint64 damage_find_end(DamageSearch *search, guint64 bad, guint64 end, DamageProbe probe,
                        gpointer data);

/* The same as an extent for the map, which says @message. */
Extent damage_find_extent(DamageSearch *search, guint64 bad, guint64 end, DamageProbe probe,
                          gpointer data, const char *message);

#endif
