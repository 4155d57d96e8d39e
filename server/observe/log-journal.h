/* SPDX-License-Identifier: LGPL-2.1-or-later
 * log-journal.h - lines of the log as entries of the system's journal (systemd.journal-fields(7)).
 */
#ifndef STRATA_LOG_JOURNAL_H
#define STRATA_LOG_JOURNAL_H

#include "log.h"

/* Whether there is a journal to send to. */
gboolean log_journal_is_there(void);

/* Whether standard error leads to the journal anyway ($JOURNAL_STREAM, systemd.exec(5)). */
gboolean log_journal_is_standard_error(void);

/* @priority: of syslog(3). @fields (nullable). Returns: (transfer full) (element-type utf8): an
 * entry, for g_ptr_array_unref() */
GPtrArray *log_journal_entry(int priority, const char *message, const LogFields *fields);

/* Returns FALSE if the journal did not take it. */
gboolean log_journal_send(const GPtrArray *entry);

#endif
