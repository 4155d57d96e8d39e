/* SPDX-License-Identifier: LGPL-2.1-or-later
 * qemu-options.h - the options of qemu-nbd that strata-nbd does not have. */
#ifndef STRATA_QEMU_OPTIONS_H
#define STRATA_QEMU_OPTIONS_H

#include <glib.h>

/* Recognised so that the user is told what to do instead. */
typedef struct {
    const char *name;
    char letter; /* '\0': none */
    const char *instead;
} QemuOption;

extern const QemuOption qemu_options[];
extern const gsize qemu_options_count;

#endif
