/* SPDX-License-Identifier: LGPL-2.1-or-later
 * stop.h - the end of serving, and a signal that comes meanwhile. */
#ifndef STRATA_STOP_H
#define STRATA_STOP_H

#include "engine.h"

/* As strata_engine_stop(), while SIGTERM or SIGINT shortens the time that it takes. Called from the
 * main thread, when its loop has ended. */
gboolean stop_engine(StrataEngine *engine);

#endif
