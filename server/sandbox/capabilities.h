/* SPDX-License-Identifier: LGPL-2.1-or-later
 * capabilities.h - what a server that runs as root keeps of root's rights. */
#ifndef STRATA_CAPABILITIES_H
#define STRATA_CAPABILITIES_H

#include "sandbox-needs.h"

/* Gives up, in all threads and for good, the capabilities that reading images and @needs do not
 * take; those that the process does not have it does not get. IO */
gboolean capabilities_limit(const SandboxNeeds *needs, GError **error);

#endif
