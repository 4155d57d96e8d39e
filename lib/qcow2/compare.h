/* SPDX-License-Identifier: LGPL-2.1-or-later
 * compare.h - whether an image that somebody wrote to is still the one that was opened. */
#ifndef STRATA_QCOW2_COMPARE_H
#define STRATA_QCOW2_COMPARE_H

#include "header.h"

/* FALSE with @error (CHANGED) if @now, what stands in the image of @node, contradicts @before, what
 * it was opened with, in anything that is needed to read it. */
gboolean qcow2_compare_headers(StrataNode *node, const Qcow2Header *before, const Qcow2Header *now,
                               GError **error);

/* Marks each bitmap of @node that is not the same in @now, with an error that its readers get from
 * then on. @now: (nullable) (element-type StrataBitmap): as they stand in the image. */
void qcow2_compare_bitmaps(StrataNode *node, GPtrArray *now);

#endif
