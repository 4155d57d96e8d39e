/* SPDX-License-Identifier: LGPL-2.1-or-later
 * syscall-filter.c - loads the system call filter: a program that was made when the server was
 * built, by make-filter.c, which has the list of calls. */
#include "syscall-filter.h"

#include "refused-call.h"

#include <filter-programs.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const FilterProgram *
choose_program(const SandboxNeeds *needs)
{
    guint variant = 0;

    variant |= needs->uses_unix ? FILTER_UNIX : 0;
    variant |= needs->uses_ip ? FILTER_IP : 0;
    variant |= needs->uses_vsock ? FILTER_VSOCK : 0;
    return &programs[variant];
}

/* Without a command there is nobody else to signal. */
static void
fill_in(struct sock_filter *step, pid_t child, gboolean is_watched)
{
    if (filter_step_is(step, FILTER_COMPARES, FILTER_PID_SELF))
        step->k = (guint32)getpid();
    else if (filter_step_is(step, FILTER_COMPARES, FILTER_PID_CHILD))
        step->k = (guint32)(child != 0 ? child : getpid());
    else if (is_watched && filter_step_is(step, FILTER_ANSWERS, FILTER_REFUSES))
        step->k = SECCOMP_RET_TRAP;
}

/* The kernel takes it from everybody who gains no rights by execve(2) any more. Returns an errno,
 * or 0. */
static int
load(const struct sock_fprog *program)
{
    long result;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return errno;
    result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, program);
    if (result < 0)
        return errno;
    return result > 0 ? ESRCH : 0; /* the thread that has a filter of its own */
}

gboolean
syscall_filter_load(const SandboxNeeds *needs, GError **error)
{
    const FilterProgram *made = choose_program(needs);
    g_autofree struct sock_filter *steps = g_memdup2(made->steps, made->n_steps * sizeof *steps);
    const struct sock_fprog program = { .len = (guint16)made->n_steps, .filter = steps };
    gboolean is_watched = refused_call_watch();
    int failed;

    for (gsize i = 0; i < made->n_steps; i++)
        fill_in(&steps[i], needs->child, is_watched);
    failed = load(&program);
    if (failed == 0)
        return TRUE;
    g_set_error_literal(error, STRATA_ERROR, STRATA_ERROR_IO, g_strerror(failed));
    return FALSE;
}
