/* SPDX-License-Identifier: LGPL-2.1-or-later
 * descriptors.h - standard input, output and error, which a program may be started without. */
#ifndef STRATA_DESCRIPTORS_H
#define STRATA_DESCRIPTORS_H

#include <glib.h>

/* Opens /dev/null for each that is closed, so that nothing that is opened later is taken for it. To
 * be called once, before anything is opened. */
void descriptors_fill_standard(void);

/* Whether the descriptor of that number was closed then. */
gboolean descriptors_was_closed(int fd);

#endif
