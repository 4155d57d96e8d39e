/* SPDX-License-Identifier: LGPL-2.1-or-later
 * image-plan.c - which layer of a made chain holds what. */
#include "image-plan.h"

#include <string.h>

/* What is decided about a stretch; a layer's own decisions add its number. */
enum { DECIDE_ALLOCATED = 1, DECIDE_OWNER, DECIDE_HIDDEN = 1 << 16, DECIDE_ZEROS = 1 << 17 };

/* The mixing steps of the generator splitmix64, which spread each bit over all. */
guint64
plan_hash(guint64 a, guint64 b)
{
    guint64 x = a + b * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static gboolean
happens(guint64 hash, double share)
{
    return (double)(hash >> 11) * 0x1p-53 < share;
}

guint64
plan_cluster_size(const Plan *plan)
{
    return G_GUINT64_CONSTANT(1) << plan->cluster_bits;
}

guint64
plan_unit_size(const Plan *plan)
{
    return plan_cluster_size(plan) / (plan->extended ? SUBCLUSTERS : 1);
}

guint64
plan_n_units(const Plan *plan)
{
    return (plan->size + plan_unit_size(plan) - 1) / plan_unit_size(plan);
}

static UnitKind
decide(const Plan *plan, guint layer, guint64 stretch)
{
    guint64 hash = plan_hash(plan->seed, stretch);
    guint owner;

    if (!happens(plan_hash(hash, DECIDE_ALLOCATED), plan->allocated))
        return UNIT_ABSENT;
    owner = (guint)(plan_hash(hash, DECIDE_OWNER) % plan->n_layers);
    if (layer < owner)
        return UNIT_ABSENT;
    if (layer > owner && !happens(plan_hash(hash, DECIDE_HIDDEN + layer), plan->hidden))
        return UNIT_ABSENT;
    return happens(plan_hash(hash, DECIDE_ZEROS + layer), plan->zeros) ? UNIT_ZERO : UNIT_DATA;
}

gboolean
plan_fill(const Plan *plan, guint layer, guint64 first, guint64 n, guint8 *kinds)
{
    guint64 end = first + n;
    gboolean holds = FALSE;

    while (first < end) {
        guint64 stretch = first / plan->stretch;
        guint64 length = MIN((stretch + 1) * plan->stretch, end) - first;
        UnitKind kind = decide(plan, layer, stretch);

        memset(kinds, kind, length);
        holds |= kind != UNIT_ABSENT;
        kinds += length;
        first += length;
    }
    return holds;
}
