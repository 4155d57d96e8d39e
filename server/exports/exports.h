/* SPDX-License-Identifier: LGPL-2.1-or-later
 * exports.h - export names, inside the engine. */
#ifndef STRATA_EXPORTS_H
#define STRATA_EXPORTS_H

#include "engine.h"
#include "engine/peer.h"
#include "export-view.h"
#include "export.h"

/* Everything that is served, at one time. Thread-safe: clients go on with what they have, and those
 * that come later get what @table says. */
void strata_exports_set_table(StrataExports *exports, ExportTable *table);

/* Errors whose messages are for the log and for no client, since they name what the export hides:
 * of what it is made. */
#define EXPORTS_ERROR_HIDDEN (exports_error_hidden_quark())
GQuark exports_error_hidden_quark(void);

/* Returns: (transfer full): what @name leads to for @peer (NULL: somebody whom no rule keeps out);
 * or NULL with @error: STRATA_ERROR_NOT_FOUND if there is no such export that @peer may see, else
 * why it cannot be opened, which may be of EXPORTS_ERROR_HIDDEN. Blocks on disk where that is done
 * on demand. */
ExportView *exports_find(StrataExports *exports, const Peer *peer, const char *name,
                         GError **error);

/* Whether an export of the name @name, or of what stands in front of an '@' in it, is there but not
 * for @peer. For the log and the counters: clients are not told. Opens nothing. */
gboolean exports_keep_out(StrataExports *exports, const Peer *peer, const char *name);

/* Calls @func for each name that @peer may see, in order: an export's own, then NAME@NODE from the
 * top down, each with its NAME@NODE:SNAPSHOT behind it. Nothing is opened: of what is opened on
 * demand, only the export's own name is told. Returns FALSE when @func, which may do so, or
 * @is_over has ended it; the latter is asked now and then while nothing can be told. */
typedef gboolean (*ExportsFunc)(const char *name, const char *description, gpointer user_data);
gboolean exports_list(StrataExports *exports, const Peer *peer, ExportsFunc func,
                      DirectoryOverFunc is_over, gpointer user_data);

#endif
