/* SPDX-License-Identifier: LGPL-2.1-or-later
 * landlock.h - rules of the kernel about which files, ports and processes the server may reach:
 * landlock(7). */
#ifndef STRATA_LANDLOCK_H
#define STRATA_LANDLOCK_H

#include "sandbox-needs.h"

/* The version of the kernel's Landlock, from 1 up; 0 where there is none, or it is switched off. */
int landlock_find_version(void);

/* Confines all threads to @needs, as far as @version goes; for good. @limits: gets a sentence for
 * everything that this version does not keep in (element-type utf8).
 *
 * IO: the kernel refuses, or not every thread could be confined. */
gboolean landlock_confine(const SandboxNeeds *needs, int version, GPtrArray *limits,
                          GError **error);

#endif
