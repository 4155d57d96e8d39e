/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-limits.c - what clients may cost, from the command line. */
#include "client-limits.h"

#include <malloc.h>
#include <pthread.h>

/* The system's usual 8 MiB are address space only, as long as no huge page is put there: below 2
 * MiB none has room, and a thread costs what it touches. */
#define STACK_SIZE (1024 * 1024)

/* What is larger is given back to the system as soon as it is freed. Left alone, the allocator
 * raises this to the size of the largest buffer that it has seen freed, and keeps what is smaller;
 * and between the walks and outboxes of a thousand clients that were busy at once nearly all that
 * it keeps is of no use. So it is less than the parts of those. */
#define MMAP_THRESHOLD (64 * 1024)

static gboolean
unit_shift(const char *unit, guint *out_shift)
{
    static const char units[] = { 'k', 'm', 'g' };

    *out_shift = 0;
    if (*unit == '\0')
        return TRUE;
    for (guint i = 0; i < G_N_ELEMENTS(units); i++)
        if (g_ascii_tolower(*unit) == units[i] && unit[1] == '\0') {
            *out_shift = 10 * (i + 1);
            return TRUE;
        }
    return FALSE;
}

gboolean
limits_parse_size(const char *text, gint64 *out_size)
{
    gchar *unit;
    guint64 number;
    guint shift;

    if (!g_ascii_isdigit(*text))
        return FALSE;
    number = g_ascii_strtoull(text, &unit, 10);
    if (!unit_shift(unit, &shift) || number > (guint64)G_MAXINT64 >> shift)
        return FALSE;
    *out_size = (gint64)(number << shift);
    return TRUE;
}

static void
set(guint *limit, int option)
{
    if (option >= 0)
        *limit = (guint)option;
}

/* One host has no more than half of those that there may be in all, whatever they are. Who sets a
 * limit for peers means the users of this machine, too. */
static void
set_per_peer(StrataEngineLimits *limits, const LimitOptions *options)
{
    guint half = limits->max_connections / 2 + limits->max_connections % 2;

    if (limits->max_connections != 0)
        limits->max_connections_per_peer = MIN(limits->max_connections_per_peer, half);
    set(&limits->max_connections_per_peer, options->max_connections_per_peer);
    set(&limits->max_connections_per_user, options->max_connections_per_peer);
}

void
limits_from_options(const LimitOptions *options, int shared, StrataEngineLimits *out_limits)
{
    strata_engine_limits_init(out_limits);
    out_limits->are_options = TRUE;
    out_limits->shared = (guint)MAX(shared, 0);
    set(&out_limits->max_connections, options->max_connections);
    set_per_peer(out_limits, options);
    set(&out_limits->handshake_seconds, options->handshake_timeout);
    set(&out_limits->idle_seconds, options->idle_timeout);
    set(&out_limits->max_requests, options->max_requests);
    set(&out_limits->stop_seconds, options->stop_timeout);
    set(&out_limits->busy_poll_usec, options->busy_poll);
    if (options->max_bytes >= 0)
        out_limits->max_bytes = (guint64)options->max_bytes;
}

void
limits_bound_process(void)
{
    pthread_attr_t attributes;

    (void)mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    /* Where it fails, the stacks are those of the system. */
    if (pthread_attr_init(&attributes) != 0)
        return;
    if (pthread_attr_setstacksize(&attributes, STACK_SIZE) == 0)
        (void)pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
}
