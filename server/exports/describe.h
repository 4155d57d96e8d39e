/* SPDX-License-Identifier: LGPL-2.1-or-later
 * describe.h - what an export is, in a line. (exports_describe_chain() is in engine.h.) */
#ifndef STRATA_DESCRIBE_H
#define STRATA_DESCRIBE_H

#include <strata/strata.h>

/* Returns: (transfer full): @snapshot, and the chain from @node down that it is seen with; what
 * comes from the image is escaped */
char *describe_snapshot(StrataNode *node, const StrataSnapshot *snapshot);

#endif
