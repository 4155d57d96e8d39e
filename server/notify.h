/* SPDX-License-Identifier: LGPL-2.1-or-later
 * notify.h - tells the service manager how far the server is (sd_notify(3)). Without one, each of
 * these does nothing. */
#ifndef STRATA_NOTIFY_H
#define STRATA_NOTIFY_H

#include "engine.h"

/* Before anything else of it, and before the process gives up reading files. */
gboolean notify_prepare(GError **error);

/* @status: a line for people */
void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(void);

/* If the manager wants signs of life: sends them from the main loop, while the accepting thread of
 * @engine gives some, too. */
void notify_watch(StrataEngine *engine);

#endif
