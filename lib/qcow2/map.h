/* SPDX-License-Identifier: LGPL-2.1-or-later
 * map.h - ranges of a qcow2 image through its L1 and L2 tables to answers. */
#ifndef STRATA_QCOW2_MAP_H
#define STRATA_QCOW2_MAP_H

#include "header.h"

/* StrataDriver.map for @node, whose header is @header. */
gsize qcow2_map(StrataNode *node, const Qcow2Header *header, const StrataRange *ranges,
                gsize n_ranges, StrataAnswer *answers, gsize max_answers, GError **error);

#endif
