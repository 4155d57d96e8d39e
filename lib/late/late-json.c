/* SPDX-License-Identifier: LGPL-2.1-or-later
 * late-json.c - json-glib, with what it needs of GObject, loaded for specs that are JSON. */
#define LATE_JSON_IS_DEFINED_HERE
#include "late-json.h"

LATE_JSON_SYMBOLS(LATE_DEFINE)

static const LateSymbol symbols[] = { LATE_JSON_SYMBOLS(LATE_SYMBOL) };

static LateLibrary library = LATE_LIBRARY("libjson-glib-1.0.so.0", symbols);

gboolean
late_json_load(GError **error)
{
    return late_load(&library, error);
}
