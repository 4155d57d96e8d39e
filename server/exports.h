/* SPDX-License-Identifier: LGPL-2.1-or-later
 * exports.h - export names, inside the engine. */
#ifndef STRATA_EXPORTS_H
#define STRATA_EXPORTS_H

#include "engine.h"
#include "export-view.h"

/* Returns: (transfer full): what @name leads to; or NULL with @error: STRATA_ERROR_NOT_FOUND if
 * there is no such export, else why its snapshot cannot be opened. Blocks on disk where @name is
 * that of a snapshot. */
ExportView *exports_find(StrataExports *exports, const char *name, GError **error);

/* Calls @func for each name of the list, in order: a graph's own, then NAME@NODE from the top
 * down, each with its NAME@NODE:SNAPSHOT behind it. */
typedef void (*ExportsFunc)(const char *name, const char *description, gpointer user_data);
void exports_list(StrataExports *exports, ExportsFunc func, gpointer user_data);

#endif
