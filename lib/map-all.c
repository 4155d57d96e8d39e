/* SPDX-License-Identifier: LGPL-2.1-or-later
 * map-all.c - the map() of nodes that cannot tell one part of themselves from another. */
#include "driver.h"

gsize
strata_map_all_as_own(const StrataRange *ranges, gsize n_ranges, guint16 flags,
                      StrataAnswer *answers, gsize max_answers)
{
    gsize n = MIN(n_ranges, max_answers);

    for (gsize i = 0; i < n; i++)
        answers[i] = (StrataAnswer){
            .length = ranges[i].length,
            .kind = STRATA_ANSWER_OWN,
            .flags = flags,
        };
    return n;
}
