/* SPDX-License-Identifier: LGPL-2.1-or-later
 * map.h - ranges of a qcow2 image through its L1 and L2 tables to answers. */
#ifndef STRATA_QCOW2_MAP_H
#define STRATA_QCOW2_MAP_H

#include "header.h"

/* StrataDriver.map for @node, whose header is @header. */
gsize qcow2_map(StrataNode *node, const Qcow2Header *header, const StrataRange *ranges,
                gsize n_ranges, StrataAnswer *answers, gsize max_answers, GError **error);

/* Where the bytes of an allocated cluster lie in the node's storage. */
typedef struct {
    gboolean compressed;
    guint64 host;   /* of the byte that was asked for; of a compressed cluster's data */
    guint64 length; /* from there on: bytes of consecutive clusters; of a compressed cluster's data,
                       which may be shorter */
} Qcow2Place;

/* Looks up guest offset @guest, for which qcow2_map() said DATA or OWN; @length: how many bytes are
 * of interest, at least 1 and within the node. DAMAGED, or what reading gave. Thread-safe. */
gboolean qcow2_locate(StrataNode *node, const Qcow2Header *header, guint64 guest, guint64 length,
                      Qcow2Place *out_place, GError **error);

#endif
