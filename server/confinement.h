/* SPDX-License-Identifier: LGPL-2.1-or-later
 * confinement.h - what strata-nbd gives up between its start and its first client, by its options:
 * --user, --group, --sandbox. */
#ifndef STRATA_CONFINEMENT_H
#define STRATA_CONFINEMENT_H

#include "options.h"
#include "sandbox/privileges.h"
#include "sandbox/sandbox.h"

/* All zero at first. */
typedef struct {
    const Options *options;
    Privileges privileges;
    SandboxMode mode;
    SandboxNeeds needs; /* what opens something that is to be used later adds to it */
} Confinement;

void confinement_clear(Confinement *confinement);

/* Looks up what the options ask for, and notes what they need later; before anything is opened. */
gboolean confinement_prepare(Confinement *confinement, const Options *options, GError **error);

/* Becomes the user of --user. @directory: (nullable): that of the private socket of --run, which
 * the user's command is to reach */
gboolean confinement_drop_privileges(Confinement *confinement, const char *directory,
                                     GError **error);

/* Enters the sandbox, with the command of --run left outside. @child: 0: none */
gboolean confinement_enter(Confinement *confinement, pid_t child, GError **error);

#endif
