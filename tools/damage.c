/* SPDX-License-Identifier: LGPL-2.1-or-later
 * damage.c - where does a range that cannot be told end? */
#include "damage.h"

static gboolean
damage_try(DamageSearch *search, guint64 offset, DamageProbe probe, gpointer data)
{
    gint64 began = g_get_monotonic_time();
    gboolean can_be_told = probe(offset, data);

    search->patience -= g_get_monotonic_time() - began;
    return can_be_told;
}

/* The first byte that can be told, of (@bad, @good]. Halves the distance each time. */
static guint64
damage_bisect(DamageSearch *search, guint64 bad, guint64 good, DamageProbe probe, gpointer data)
{
    while (good - bad > 1 && search->patience > 0) {
        guint64 middle = bad + (good - bad) / 2;

        if (damage_try(search, middle, probe, data))
            good = middle;
        else
            bad = middle;
    }
    return good;
}

guint64
damage_find_end(DamageSearch *search, guint64 bad, guint64 end, DamageProbe probe, gpointer data)
{
    guint64 step = search->step;

    /* Each turn moves bad forward, to end - 1 at most. */
    while (bad < end - 1 && search->patience > 0) {
        guint64 next = step < end - bad ? bad + step : end - 1;

        if (damage_try(search, next, probe, data))
            return damage_bisect(search, bad, next, probe, data);
        bad = next;
        if (search->fine_steps > 0)
            search->fine_steps--;
        else if (step <= G_MAXUINT64 / 2)
            step *= 2;
    }
    return end;
}

Extent
damage_find_extent(DamageSearch *search, guint64 bad, guint64 end, DamageProbe probe, gpointer data,
                   const char *message)
{
    return (Extent){
        .offset = bad,
        .length = damage_find_end(search, bad, end, probe, data) - bad,
        .content = CONTENT_ERROR,
        .depth = EXTENT_UNKNOWN,
        .layer = EXTENT_UNKNOWN,
        .message = message,
    };
}
