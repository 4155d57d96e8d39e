/* SPDX-License-Identifier: LGPL-2.1-or-later
 * snapshots.h - the snapshot table of a qcow2 image. */
#ifndef STRATA_QCOW2_SNAPSHOTS_H
#define STRATA_QCOW2_SNAPSHOTS_H

#include "driver.h"
#include "header.h"

/* Fills in node->snapshots and, where the spec of @node names a snapshot, makes @header that of
 * the disk as it was then. A node that is opened again shares the list of the one that is open.
 * Without @opener (nullable) the list is not wanted, and may be a part of the table.
 *
 * Damage keeps nobody from the disk of today: there are no snapshots then, and *@out_damage
 * (nullable text for people, free with g_free()) says why. Only a snapshot that the spec names and
 * that cannot be had makes it fail: NOT_FOUND, DAMAGED, UNSUPPORTED, LIMIT, or what reading gave.
 */
gboolean qcow2_snapshots_open(StrataNode *node, const StrataOpener *opener, Qcow2Header *header,
                              char **out_damage, GError **error);

#endif
