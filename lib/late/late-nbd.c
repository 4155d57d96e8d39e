/* SPDX-License-Identifier: LGPL-2.1-or-later
 * late-nbd.c - libnbd, loaded for layers that are NBD servers. */
#define LATE_NBD_IS_DEFINED_HERE
#include "late-nbd.h"

LATE_NBD_SYMBOLS(LATE_DEFINE)

static const LateSymbol symbols[] = { LATE_NBD_SYMBOLS(LATE_SYMBOL) };

static LateLibrary library = LATE_LIBRARY("libnbd.so.0", symbols);

gboolean
late_nbd_load(GError **error)
{
    return late_load(&library, error);
}
