/* SPDX-License-Identifier: LGPL-2.1-or-later
 * filter-variants.h - what make-filter.c, which writes the programs of the system call filter when
 * the server is built, agrees upon with syscall-filter.c, which loads one of them. */
#ifndef STRATA_FILTER_VARIANTS_H
#define STRATA_FILTER_VARIANTS_H

#include <errno.h>
#include <glib.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

/* What servers that are layers are connected to by: a program for each set of them. */
enum {
    FILTER_UNIX = 1 << 0,
    FILTER_IP = 1 << 1,
    FILTER_VSOCK = 1 << 2,
    FILTER_VARIANTS = 1 << 3,
};

typedef struct {
    const struct sock_filter *steps;
    gsize n_steps;
} FilterProgram;

/* What stands in the programs for the server itself, and for the command of --run. No process can
 * have these numbers (PID_MAX_LIMIT of Linux is 4194304). */
#define FILTER_PID_SELF  0x7e57ab1eu
#define FILTER_PID_CHILD 0x7e57ab1fu

/* What becomes of a call that is not on the list, if nothing is watched for (refused-call.h). */
#define FILTER_REFUSAL EPERM

/* The steps in which those stand. */
#define FILTER_COMPARES (BPF_JMP | BPF_JEQ | BPF_K)
#define FILTER_ANSWERS  (BPF_RET | BPF_K)
#define FILTER_REFUSES  (SECCOMP_RET_ERRNO | FILTER_REFUSAL)

static inline gboolean
filter_step_is(const struct sock_filter *step, guint code, guint32 value)
{
    return step->code == code && step->k == value;
}

#endif
