/* SPDX-License-Identifier: LGPL-2.1-or-later
 * log-writer.h - where strata-nbd's log goes, and in which form. */
#ifndef STRATA_LOG_WRITER_H
#define STRATA_LOG_WRITER_H

#include <glib.h>

/* From here on all that is logged, by the engine and by libraries, goes to standard error as text.
 * Before the first thread is started. */
void log_writer_install(void);

/* @format: text, json or journal; NULL: journal where standard error leads there, else text.
 * @verbose: INFO level as well. @error: STRATA_ERROR_SPEC. Before the first thread is started. */
gboolean log_writer_set(const char *format, gboolean verbose, GError **error);

/* Whether each line is a JSON object. */
gboolean log_writer_is_json(void);

/* From here on a thread of its own writes, and who logs waits for a reader no longer than a moment
 * (log-queue.h). To be stopped before the program ends, in whatever way. */
void log_writer_start(void);
void log_writer_stop(void);

/* Why the program ends. */
void log_writer_tell_end(const char *message);

#endif
