/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-latency.c - how long requests took: counts by classes of time. */
#include "client-latency.h"

/* Times below LATENCY_STEPS have a class each; from there on, the highest seven bits tell. */
static gsize
class_of(guint64 time)
{
    guint bits = time < LATENCY_STEPS ? 0 : 63 - (guint)__builtin_clzll(time) - 6;
    gsize place = (gsize)bits * LATENCY_STEPS + (gsize)(time >> bits);

    return MIN(place, (gsize)LATENCY_OCTAVES * LATENCY_STEPS - 1);
}

static guint64
time_of(gsize place)
{
    guint64 bits = place < 2 * LATENCY_STEPS ? 0 : place / LATENCY_STEPS - 1;

    return (place - bits * LATENCY_STEPS) << bits;
}

void
latency_add(Latency *latency, gint64 nanoseconds)
{
    latency->counts[class_of(nanoseconds > 0 ? (guint64)nanoseconds : 0)]++;
    latency->n++;
}

void
latency_join(Latency *latency, const Latency *other)
{
    for (gsize i = 0; i < G_N_ELEMENTS(latency->counts); i++)
        latency->counts[i] += other->counts[i];
    latency->n += other->n;
}

double
latency_quantile(const Latency *latency, double quantile)
{
    guint64 wanted = (guint64)(quantile * (double)latency->n), seen = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(latency->counts); i++) {
        seen += latency->counts[i];
        if (seen > wanted)
            return (double)time_of(i) / 1e3;
    }
    return 0;
}
