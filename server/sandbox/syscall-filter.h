/* SPDX-License-Identifier: LGPL-2.1-or-later
 * syscall-filter.h - the system calls that the confined server may make: seccomp(2). */
#ifndef STRATA_SYSCALL_FILTER_H
#define STRATA_SYSCALL_FILTER_H

#include "sandbox-needs.h"

/* Puts the filter on all threads, for good. Another call than those on the list fails with EPERM,
 * and the first time the log says which it was.
 *
 * IO: the kernel has no such filters, or something forbids them. */
gboolean syscall_filter_load(const SandboxNeeds *needs, GError **error);

#endif
