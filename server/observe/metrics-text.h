/* SPDX-License-Identifier: LGPL-2.1-or-later
 * metrics-text.h - what was counted, in the text format of Prometheus, version 0.0.4. */
#ifndef STRATA_METRICS_TEXT_H
#define STRATA_METRICS_TEXT_H

#include "counters.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* @start_time: of the server, since 1970, in microseconds */
GString *metrics_text(const CountersSnapshot *snapshot, gint64 start_time);

#endif
