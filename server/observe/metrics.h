/* SPDX-License-Identifier: LGPL-2.1-or-later
 * metrics.h - the endpoint that tells what the engine has counted: GET /metrics by HTTP. */
#ifndef STRATA_METRICS_H
#define STRATA_METRICS_H

#include "engine.h"
#include "options.h"

typedef struct _Metrics Metrics;

/* Binds and listens on what --metrics says, unix:PATH or tcp:[HOST:]PORT. Who connects is answered
 * once it is started. @out_metrics: NULL without --metrics */
gboolean metrics_open(Metrics **out_metrics, const Options *options, GError **error);

/* Answers, from threads of its own, if @metrics is not NULL. @counters: outlive it */
gboolean metrics_start(Metrics *metrics, StrataCounters *counters, GError **error);

/* Stops, and removes its Unix socket. */
void metrics_free(Metrics *metrics);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Metrics, metrics_free)

#endif
