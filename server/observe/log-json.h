/* SPDX-License-Identifier: LGPL-2.1-or-later
 * log-json.h - a line of the log as a JSON object (RFC 8259). */
#ifndef STRATA_LOG_JSON_H
#define STRATA_LOG_JSON_H

#include "log.h"

/* @time: since 1970, in microseconds. @fields (nullable). Returns one line without its end, all of
 * it printable and UTF-8. Free with g_free(). */
char *log_json_line(gint64 time, const char *level, const char *message, const LogFields *fields);

#endif
