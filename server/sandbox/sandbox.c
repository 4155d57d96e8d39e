/* SPDX-License-Identifier: LGPL-2.1-or-later
 * sandbox.c - Landlock for files, ports and processes, capabilities(7), seccomp for system calls:
 * one after the other, because the last does not let the others be. */
#include "sandbox.h"

#include "capabilities.h"
#include "landlock.h"
#include "observe/log.h"
#include "privileges.h"
#include "syscall-filter.h"

#include <errno.h>
#include <time.h>

static const LogFields told = { .event = "sandbox" };

gboolean
sandbox_mode_parse(SandboxMode *mode, const char *word, GError **error)
{
    static const char *const words[] = {
        [SANDBOX_AUTO] = "auto", [SANDBOX_ON] = "on", [SANDBOX_OFF] = "off"
    };
    g_autofree char *shown = NULL;

    *mode = SANDBOX_AUTO;
    if (word == NULL)
        return TRUE;
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        *mode = i;
        if (g_str_equal(word, words[i]))
            return TRUE;
    }
    shown = strata_escape(word);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                "--sandbox takes auto, on or off, and not '%s'", shown);
    return FALSE;
}

/* What the C library loads when it first needs it, it cannot load any more later. */
static void
load_what_comes_late(void)
{
    tzset();
    (void)g_strerror(EPERM); /* translations, and the conversion to the locale's characters */
}

/* What @failed says is missing: with SANDBOX_ON an error; else whoever runs the server is told, and
 * not only if he asked. Takes @failed. */
static gboolean
miss(SandboxMode mode, const char *part, GError *failed, GError **error)
{
    g_autoptr(GError) owned = failed;

    if (mode != SANDBOX_ON) {
        log_notice(told.event, "sandbox: without %s: %s", part, owned->message);
        return TRUE;
    }
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO,
                "--sandbox=on: %s cannot be had: %s; --sandbox=auto does with what there is", part,
                owned->message);
    return FALSE;
}

static gboolean
confine_rights(SandboxMode mode, const SandboxNeeds *needs, GError **error)
{
    GError *failed = NULL;

    return capabilities_limit(needs, &failed) ||
           miss(mode, "giving up capabilities", failed, error);
}

static gboolean
confine_files(SandboxMode mode, const SandboxNeeds *needs, GError **error)
{
    g_autoptr(GPtrArray) limits = g_ptr_array_new();
    int version = landlock_find_version();
    GError *failed = NULL;

    if (version == 0)
        g_set_error_literal(&failed, STRATA_ERROR, STRATA_ERROR_UNSUPPORTED,
                            "this kernel has no Landlock, or it is switched off");
    else if (landlock_confine(needs, version, limits, &failed))
        log_event_with(&told, "sandbox: Landlock (version %d) keeps files, ports and processes",
                       version);
    if (failed != NULL)
        return miss(mode, "Landlock", failed, error);
    for (guint i = 0; i < limits->len; i++)
        log_event_with(&told, "sandbox: Landlock does not keep %s", (const char *)limits->pdata[i]);
    return TRUE;
}

static gboolean
confine_calls(SandboxMode mode, const SandboxNeeds *needs, GError **error)
{
    GError *failed = NULL;

    if (!syscall_filter_load(needs, &failed))
        return miss(mode, "seccomp", failed, error);
    log_event_with(&told, "sandbox: seccomp keeps system calls");
    return TRUE;
}

gboolean
sandbox_enter(SandboxMode mode, const SandboxNeeds *needs, GError **error)
{
    if (mode == SANDBOX_OFF) {
        log_event_with(&told, "sandbox: off, as --sandbox says");
        return TRUE;
    }
    if (needs->has_keys)
        privileges_hide_memory();
    load_what_comes_late();
    return confine_files(mode, needs, error) && confine_rights(mode, needs, error) &&
           confine_calls(mode, needs, error);
}
