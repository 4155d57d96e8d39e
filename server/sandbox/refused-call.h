/* SPDX-License-Identifier: LGPL-2.1-or-later
 * refused-call.h - what happens when a system call is refused by the filter. */
#ifndef STRATA_REFUSED_CALL_H
#define STRATA_REFUSED_CALL_H

#include <glib.h>

/* That line is to be a JSON object, as the others of the log. Before refused_call_watch(). */
void refused_call_tell_in_json(void);

/* From now on a call that a filter traps (SIGSYS) fails with EPERM, or ENOSYS if it is newer than
 * anything known here; the first time, a line on standard error says which call it was.
 *
 * Returns: whether that can be had on this kind of machine; else the filter itself has to answer */
gboolean refused_call_watch(void);

#endif
