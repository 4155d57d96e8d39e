/* SPDX-License-Identifier: LGPL-2.1-or-later
 * every-thread.h - what the kernel lets a thread do for itself alone, done by all of them. */
#ifndef STRATA_EVERY_THREAD_H
#define STRATA_EVERY_THREAD_H

#include <glib.h>

/* Called in a signal handler: async-signal-safe calls only. Returns 0 or an errno. */
typedef int (*EveryThreadFunc)(int argument);

/* Lets every thread of the process call @func, the caller first. It must be such that threads which
 * are started by one that has called it need not call it, and that it may be called twice. Threads
 * that are started meanwhile are seen. To be called by one thread at a time.
 *
 * IO: @func failed, or the threads cannot be told (no /proc), or one of them does not listen: it
 * blocks the signal that is used. All the others have called @func then. */
gboolean every_thread_call(EveryThreadFunc func, int argument, GError **error);

#endif
