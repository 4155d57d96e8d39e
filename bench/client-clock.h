/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-clock.h - time that passes, and processor time that the client takes. */
#ifndef STRATA_CLIENT_CLOCK_H
#define STRATA_CLIENT_CLOCK_H

#include <glib.h>

typedef struct {
    gint64 began;   /* ns */
    double cpu;     /* seconds of this process until then */
    double seconds; /* what may pass; 0: without end */
} Clock;

/* Nanoseconds of CLOCK_MONOTONIC. */
gint64 clock_now(void);

void clock_start(Clock *clock, double seconds);
gboolean clock_is_over(const Clock *clock, gint64 now);
double clock_seconds(const Clock *clock);
double clock_cpu_seconds(const Clock *clock);

#endif
