/* SPDX-License-Identifier: LGPL-2.1-or-later
 * late-microhttpd.c - libmicrohttpd, loaded for metrics. */
#define LATE_MICROHTTPD_IS_DEFINED_HERE
#include "late-microhttpd.h"

LATE_MICROHTTPD_SYMBOLS(LATE_DEFINE)

static const LateSymbol symbols[] = { LATE_MICROHTTPD_SYMBOLS(LATE_SYMBOL) };

static LateLibrary library = LATE_LIBRARY("libmicrohttpd.so.12", symbols);

gboolean
late_microhttpd_load(GError **error)
{
    return late_load(&library, error);
}
