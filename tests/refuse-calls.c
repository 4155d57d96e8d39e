/* SPDX-License-Identifier: LGPL-2.1-or-later
 * refuse-calls.c - runs a program on a system that refuses what it would like to have.
 *
 *   refuse-calls WHAT[,WHAT...] PROGRAM [ARGUMENT...]
 *
 * The filter stays, whatever further one the program loads. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *what;
    const char *call;
    int code;
    unsigned n_conditions;
    struct scmp_arg_cmp conditions[2];
} refusals[] = {
    { "nowait", "preadv2", EOPNOTSUPP, 0, { { 0 } } },
    { "nowait-by-filter", "preadv2", EPERM, 0, { { 0 } } },
    { "nowait-unknown", "preadv2", ENOSYS, 0, { { 0 } } },
    { "congestion",
      "setsockopt",
      EPERM,
      2,
      { { .arg = 1, .op = SCMP_CMP_EQ, .datum_a = IPPROTO_TCP },
        { .arg = 2, .op = SCMP_CMP_EQ, .datum_a = TCP_CONGESTION } } },
    { "splice", "splice", EINVAL, 0, { { 0 } } },
    { "splice-by-filter", "splice", EPERM, 0, { { 0 } } },
    { "pipe", "pipe2", EMFILE, 0, { { 0 } } },
    { "pipe-size",
      "fcntl",
      EPERM,
      1,
      { { .arg = 1, .op = SCMP_CMP_EQ, .datum_a = F_SETPIPE_SZ } } },
};

static void
die(const char *what)
{
    fprintf(stderr, "refuse-calls: %s\n", what);
    exit(EXIT_FAILURE);
}

static void
refuse(scmp_filter_ctx filter, const char *what)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (strcmp(refusals[i].what, what) != 0)
            continue;
        if (seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((unsigned)refusals[i].code),
                                   seccomp_syscall_resolve_name(refusals[i].call),
                                   refusals[i].n_conditions, refusals[i].conditions) < 0)
            die("the filter does not take a rule");
        return;
    }
    die(what);
}

int
main(int argc, char **argv)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    if (argc < 3 || filter == NULL)
        die("say what to refuse, and a program");
    for (char *what; (what = strsep(&argv[1], ",")) != NULL;)
        refuse(filter, what);
    if (seccomp_load(filter) < 0)
        die("the filter cannot be loaded");
    seccomp_release(filter);
    execv(argv[2], argv + 2);
    die(strerror(errno));
}
