/* SPDX-License-Identifier: LGPL-2.1-or-later
 * table-map.h - what a node with tables says of ranges, as answers: a unit at a time. */
#ifndef TESTS_TABLE_MAP_H
#define TESTS_TABLE_MAP_H

#include "driver.h"

/* As StrataDriver.map (driver.h), with neighbouring answers merged as far as they go. */
gsize table_map(StrataNode *node, const StrataRange *ranges, gsize n_ranges, StrataAnswer *answers,
                gsize max_answers, GError **error);

#endif
