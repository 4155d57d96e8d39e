/* SPDX-License-Identifier: LGPL-2.1-or-later
 * damage.c - where does a range that cannot be told end? */
#include "damage.h"

/* The first byte that can be told, of (@bad, @good]. Halves the distance each time. */
static guint64
damage_bisect(guint64 bad, guint64 good, DamageProbe probe, gpointer data)
{
    while (good - bad > 1) {
        guint64 middle = bad + (good - bad) / 2;

        if (probe(middle, data))
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

    while (bad < end - 1) { /* each turn moves bad forward, to end - 1 at most */
        guint64 next = step < end - bad ? bad + step : end - 1;

        if (probe(next, data))
            return damage_bisect(bad, next, probe, data);
        bad = next;
        if (search->fine_steps > 0)
            search->fine_steps--;
        else if (step <= G_MAXUINT64 / 2)
            step *= 2;
    }
    return end;
}
