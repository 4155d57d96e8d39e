/* SPDX-License-Identifier: LGPL-2.1-or-later
 * wait.c - tells whoever calls strata that this thread is about to wait. */
#include "wait.h"

#include <strata/read.h>

static __thread StrataWaitHook thread_hook;
static __thread gpointer thread_data;

void
strata_set_wait_hook(StrataWaitHook hook, gpointer user_data)
{
    thread_hook = hook;
    thread_data = user_data;
}

void
wait_announce(void)
{
    if (thread_hook)
        thread_hook(thread_data);
}
