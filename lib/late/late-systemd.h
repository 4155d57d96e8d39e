/* SPDX-License-Identifier: LGPL-2.1-or-later
 * late-systemd.h - libsystemd, loaded for whom a service manager or the journal is there (late.h).
 * To be included in place of its own headers; a function that is used besides is added to both
 * lists. */
#ifndef STRATA_LATE_SYSTEMD_H
#define STRATA_LATE_SYSTEMD_H

#include "late.h"

/* Where in the source an entry was made would be the same for all of them. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

/* clang-format off */
#define LATE_SYSTEMD_SYMBOLS(X) \
    X(sd_journal_sendv) \
    X(sd_listen_fds_with_names) \
    X(sd_notify) \
    X(sd_notifyf) \
    X(sd_watchdog_enabled)
/* clang-format on */

LATE_SYSTEMD_SYMBOLS(LATE_DECLARE)

/* Before anything of it is used. Any thread, any number of times. */
gboolean late_systemd_load(GError **error);

#ifndef LATE_SYSTEMD_IS_DEFINED_HERE
/* clang-format off */
#define sd_journal_sendv late_sd_journal_sendv
#define sd_listen_fds_with_names late_sd_listen_fds_with_names
#define sd_notify late_sd_notify
#define sd_notifyf late_sd_notifyf
#define sd_watchdog_enabled late_sd_watchdog_enabled
/* clang-format on */
#endif

#endif
