/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-clock.c - time that passes, and processor time that the client takes. */
#include "client-clock.h"

#include <sys/resource.h>
#include <time.h>

gint64
clock_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (gint64)time.tv_sec * 1000000000 + time.tv_nsec;
}

static double
cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void
clock_start(Clock *clock, double seconds)
{
    clock->seconds = seconds;
    clock->cpu = cpu_seconds();
    clock->began = clock_now();
}

gboolean
clock_is_over(const Clock *clock, gint64 now)
{
    return clock->seconds > 0 && (double)(now - clock->began) >= clock->seconds * 1e9;
}

double
clock_seconds(const Clock *clock)
{
    return (double)(clock_now() - clock->began) / 1e9;
}

double
clock_cpu_seconds(const Clock *clock)
{
    return cpu_seconds() - clock->cpu;
}
