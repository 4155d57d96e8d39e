/* SPDX-License-Identifier: LGPL-2.1-or-later
 * served.h - all that strata-nbd serves by its options: the IMAGE, the exports of --config, the
 * files of --directory; opened at the start, and read again while it runs. */
#ifndef STRATA_SERVED_H
#define STRATA_SERVED_H

#include "exports/exports.h"
#include "options.h"
#include "sandbox/sandbox-needs.h"

typedef struct _Served Served;

/* Whether an access rule guards anything of it; before it is read again for the first time. */
gboolean served_has_access_rules(const Served *served);

/* Reads the configuration and opens all that is to be open. @needs: what is read later is added */
Served *served_new(const Options *options, SandboxNeeds *needs, GError **error);

/* A re-reading that goes on is waited for, two seconds at most. Returns FALSE if it then still does
 * not end, for storage does not answer; nothing it uses may be freed. */
gboolean served_stop(Served *served);

/* After served_stop() returned TRUE. */
void served_free(Served *served);

/* Returns: (transfer full): for strata_engine_new(). It outlives all re-reading: served_stop()
 * comes before the engine is freed. */
StrataExports *served_take_exports(Served *served);

/* Whether there is anything that can be read again: not for an IMAGE alone. */
gboolean served_can_reload(const Served *served);

/* Reads configuration and directory again, in a thread, and logs what came of it; clients go on
 * with what they have. @done (nullable): called from the main loop when that is over. Main thread.
 */
void served_reload(Served *served, void (*done)(gpointer data), gpointer data);

#endif
