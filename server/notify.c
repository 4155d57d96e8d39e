/* SPDX-License-Identifier: LGPL-2.1-or-later
 * notify.c - READY=1, RELOADING=1, STOPPING=1 and WATCHDOG=1. What cannot be sent is lost: the
 * manager has time limits of its own. */
#include "notify.h"

#include <systemd/sd-daemon.h>
#include <unistd.h>

void
notify_ready(const char *status)
{
    (void)sd_notifyf(0, "READY=1\nMAINPID=%d\nSTATUS=%s", (int)getpid(), status);
}

/* The time tells the manager which request to reload is being answered. It is CLOCK_MONOTONIC, as
 * is GLib's. */
void
notify_reloading(void)
{
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, g_get_monotonic_time());
}

void
notify_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1");
}

static gboolean
give_sign(gpointer data)
{
    if (strata_engine_is_alive(data))
        (void)sd_notify(0, "WATCHDOG=1");
    return G_SOURCE_CONTINUE;
}

/* Half the time, as sd_watchdog_enabled(3) recommends. */
void
notify_watch(StrataEngine *engine)
{
    guint64 usec;

    if (sd_watchdog_enabled(0, &usec) > 0)
        g_timeout_add((guint)CLAMP(usec / 2000, 1, G_MAXINT), give_sign, engine);
}
