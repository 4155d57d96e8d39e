/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-latency.h - how long requests took: counts by classes of time that are narrow enough to
 * tell a quantile within 2 percent. */
#ifndef STRATA_CLIENT_LATENCY_H
#define STRATA_CLIENT_LATENCY_H

#include <glib.h>

#define LATENCY_STEPS   64 /* classes between a power of two and the next */
#define LATENCY_OCTAVES 40 /* up to 2^40 ns, 18 minutes */

typedef struct {
    guint64 counts[LATENCY_OCTAVES * LATENCY_STEPS];
    guint64 n;
} Latency;

void latency_add(Latency *latency, gint64 nanoseconds);
void latency_join(Latency *latency, const Latency *other);

/* The time in microseconds within which the part @quantile (0 to 1) of all was done. */
double latency_quantile(const Latency *latency, double quantile);

#endif
