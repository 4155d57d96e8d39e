/* SPDX-License-Identifier: LGPL-2.1-or-later
 * image-plan.h - which layer of a made chain holds what: decided by hashes of a seed, so that every
 * layer, and the flat image beside them, can be written by itself, and comes out the same again. */
#ifndef BENCH_IMAGE_PLAN_H
#define BENCH_IMAGE_PLAN_H

#include <glib.h>

#define SUBCLUSTERS 32 /* in a cluster, with extended L2 entries */

/* A unit is a cluster or, with extended L2 entries, a subcluster. A stretch is so many units that
 * one decision is made for all. Shares are of all stretches, 0 to 1. */
typedef struct {
    guint64 seed;
    guint64 size; /* bytes of the virtual disk */
    guint cluster_bits;
    gboolean extended; /* L2 entries */
    guint n_layers;    /* 0 is the top */
    guint64 stretch;   /* units */
    double allocated;  /* share that some layer owns; which one is random */
    double zeros;      /* share of what a layer holds that it holds as zeros */
    double hidden;     /* chance that a layer below the owner holds something there, too */
} Plan;

typedef enum {
    UNIT_ABSENT,
    UNIT_DATA,
    UNIT_ZERO,
} UnitKind;

guint64 plan_hash(guint64 a, guint64 b);
guint64 plan_cluster_size(const Plan *plan);
guint64 plan_unit_size(const Plan *plan);
guint64 plan_n_units(const Plan *plan);

/* What @layer holds in the @n units from @first on. Returns whether it holds anything. */
gboolean plan_fill(const Plan *plan, guint layer, guint64 first, guint64 n, guint8 *kinds);

#endif
