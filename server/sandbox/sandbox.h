/* SPDX-License-Identifier: LGPL-2.1-or-later
 * sandbox.h - the server gives up what it does not need any more. */
#ifndef STRATA_SANDBOX_H
#define STRATA_SANDBOX_H

#include "sandbox-needs.h"

typedef enum {
    SANDBOX_AUTO, /* what can be had */
    SANDBOX_ON,   /* all of it, or an error */
    SANDBOX_OFF,
} SandboxMode;

/* @word: (nullable): of --sandbox. SPEC */
gboolean sandbox_mode_parse(SandboxMode *mode, const char *word, GError **error);

/* Confines all threads of the process, for good, to what @needs says; and says in the log, at the
 * level of information, what is in force and what is not. To be called when all has been opened,
 * bound and started that is to be free.
 *
 * IO: with SANDBOX_ON, what could not be had and why */
gboolean sandbox_enter(SandboxMode mode, const SandboxNeeds *needs, GError **error);

#endif
