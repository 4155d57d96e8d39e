/* SPDX-License-Identifier: LGPL-2.1-or-later
 * bitmaps.h - the dirty bitmaps that a server tells of. */
#ifndef STRATA_NBD_BITMAPS_H
#define STRATA_NBD_BITMAPS_H

#include "nbd/handle.h"

/* Adds a bitmap of @node for each that @export names, and logs how many it does not name. @target
 * outlives the node. */
void remote_bitmaps_add(StrataNode *node, const RemoteTarget *target, const RemoteExport *export);

/* As map_bitmap() of StrataDriver. */
gsize remote_bitmaps_map(StrataNode *node, const StrataBitmap *bitmap, StrataRange range,
                         StrataBitmapRun *runs, gsize max_runs, GError **error);

#endif
