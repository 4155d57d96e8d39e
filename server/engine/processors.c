/* SPDX-License-Identifier: LGPL-2.1-or-later
 * processors.c - how many of the machine's processors there are for a server. */
#include "processors.h"

#include <sched.h>

void
processors_init(Processors *processors)
{
    cpu_set_t usable;

    *processors = (Processors){ .n = (gint)g_get_num_processors() };
    if (sched_getaffinity(0, sizeof usable, &usable) == 0)
        processors->n = MIN(processors->n, CPU_COUNT(&usable));
}
