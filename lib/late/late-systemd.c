/* SPDX-License-Identifier: LGPL-2.1-or-later
 * late-systemd.c - libsystemd, loaded for whom a service manager or the journal is there. */
#define LATE_SYSTEMD_IS_DEFINED_HERE
#include "late-systemd.h"

LATE_SYSTEMD_SYMBOLS(LATE_DEFINE)

static const LateSymbol symbols[] = { LATE_SYSTEMD_SYMBOLS(LATE_SYMBOL) };

static LateLibrary library = LATE_LIBRARY("libsystemd.so.0", symbols);

gboolean
late_systemd_load(GError **error)
{
    return late_load(&library, error);
}
