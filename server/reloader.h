/* SPDX-License-Identifier: LGPL-2.1-or-later
 * reloader.h - work that is done in a thread each time it is asked for, and once more if it is
 * asked for meanwhile. */
#ifndef STRATA_RELOADER_H
#define STRATA_RELOADER_H

#include <glib.h>

typedef struct _Reloader Reloader;

/* @work: called with @data, in the thread, by one thread at a time */
Reloader *reloader_new(void (*work)(gpointer data), gpointer data);

/* Has the work done. @done (nullable): called from the main loop when it is over. Main thread.
 * Returns FALSE with @error where no thread can be had. */
gboolean reloader_start(Reloader *reloader, void (*done)(gpointer data), gpointer data,
                        GError **error);

/* Waits for work that goes on, two seconds at most. Returns FALSE if it then still does not end;
 * nothing it uses may be freed. */
gboolean reloader_stop(Reloader *reloader);

/* After reloader_stop() returned TRUE. */
void reloader_free(Reloader *reloader);

#endif
