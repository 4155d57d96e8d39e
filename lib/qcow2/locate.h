/* SPDX-License-Identifier: LGPL-2.1-or-later
 * locate.h - where the bytes of one cluster lie, for who has to decode them. */
#ifndef STRATA_QCOW2_LOCATE_H
#define STRATA_QCOW2_LOCATE_H

#include "qcow2.h"

/* Where the bytes of an allocated cluster lie in the node's storage. */
typedef struct {
    gboolean compressed;
    guint64 host;   /* of the byte that was asked for; of a compressed cluster's data */
    guint64 length; /* bytes from there on that lie together: of one or more clusters; of a
                       compressed cluster's data, which may be shorter */
} Qcow2Place;

/* Looks up guest offset @guest, which the tables say is kept; @length: how many bytes are of
 * interest, at least 1 and within the node. DAMAGED, or what reading gave. Thread-safe. */
gboolean qcow2_locate(StrataNode *node, guint64 guest, guint64 length, Qcow2Place *out_place,
                      GError **error);

#endif
