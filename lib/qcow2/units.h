/* SPDX-License-Identifier: LGPL-2.1-or-later
 * units.h - what the entries of L2 tables say of their clusters and subclusters. */
#ifndef STRATA_QCOW2_UNITS_H
#define STRATA_QCOW2_UNITS_H

#include "slices.h"

/* What an L2 entry says of its cluster. */
typedef struct {
    guint64 entry;
    guint64 bitmap;    /* of 32 subclusters: 0-31 allocated, 32-63 zero; in a standard image they
                          are all alike */
    guint64 guest;     /* offset of the cluster for the guest */
    guint64 host;      /* and in the file that keeps it */
    gboolean has_host; /* in a data file, host offset 0 is as good as any */
    gboolean compressed;
} Qcow2Cluster;

/* The cluster with that number in @slice, which is not empty. */
Qcow2Cluster qcow2_cluster_read(const Qcow2Header *header, const StrataSlice *slice, gsize index);

/* Returns what is wrong with the cluster's entry, or NULL. */
const char *qcow2_cluster_find_damage(const Qcow2Header *header, const Qcow2Cluster *cluster);

/* Returns FALSE, with what @damage says in @error. */
gboolean qcow2_cluster_throw(StrataNode *node, const StrataSlice *slice,
                             const Qcow2Cluster *cluster, const char *damage, GError **error);

/* Of StrataDriver. */
void qcow2_find_own(StrataNode *node, const StrataSlice *slice, gsize first, gsize n_units,
                    guint64 *bits);
gsize qcow2_tell_units(StrataNode *node, const StrataSlice *slice, gsize first, gsize n_units,
                       const guint64 *wanted, StrataUnits *units);
void qcow2_throw_damage(StrataNode *node, const StrataSlice *slice, gsize unit, GError **error);

#endif
