/* SPDX-License-Identifier: LGPL-2.1-or-later
 * notify.c - READY=1, RELOADING=1, STOPPING=1 and WATCHDOG=1. What cannot be sent is lost: the
 * manager has time limits of its own. */
#include "notify.h"

#include "late-systemd.h"

#include <unistd.h>

/* Who started this program wants to hear of it. Written before there are threads. */
static gboolean has_manager;

gboolean
notify_prepare(GError **error)
{
    has_manager = g_getenv("NOTIFY_SOCKET") != NULL || g_getenv("WATCHDOG_USEC") != NULL;
    return !has_manager || late_systemd_load(error);
}

void
notify_ready(const char *status)
{
    if (has_manager)
        (void)sd_notifyf(0, "READY=1\nMAINPID=%d\nSTATUS=%s", (int)getpid(), status);
}

/* The time tells the manager which request to reload is being answered. It is CLOCK_MONOTONIC, as
 * is GLib's. */
void
notify_reloading(void)
{
    if (has_manager)
        (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT,
                         g_get_monotonic_time());
}

void
notify_stopping(void)
{
    if (has_manager)
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

    if (has_manager && sd_watchdog_enabled(0, &usec) > 0)
        g_timeout_add((guint)CLAMP(usec / 2000, 1, G_MAXINT), give_sign, engine);
}
