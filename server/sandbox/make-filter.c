/* SPDX-License-Identifier: LGPL-2.1-or-later
 * make-filter.c - a list of what the server and its libraries call once everything is set up, and
 * the programs that keep to it (syscall-filter.c), which this writes in C when the server is built:
 * to make one takes as long as all else that the server does to start.
 *
 * No program is started, no process or namespace made, no file is written or given another name, no
 * memory becomes code. What the list does not have is answered by EPERM; a call that is newer than
 * the list by ENOSYS, for which C libraries have a way of old. */
#include "filter-variants.h"
#include "sanitizers.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>

/* linux/prctl.h of Linux 5.17: names of memory, for whom looks at maps. */
#define PR_SET_VMA 0x53564d41

/* Names, because the numbers differ between machines; what a machine does not have is passed over.
 */
static const char *const allowed[] = {
    /* what is open; fcntl() has a rule of its own */
    "close",
    "close_range",
    "dup",
    "dup2",
    "dup3",
    "lseek",
    "_llseek",
    "pread64",
    "preadv",
    "preadv2",
    "pwrite64",
    "read",
    "readv",
    "write",
    "writev",
    "fadvise64",
    "arm_fadvise64_64",
    "fadvise64_64",
    "ftruncate",
    "ftruncate64",
    "fstat",
    "fstat64",
    "fstatfs",
    "fstatfs64",
    "eventfd2",
    "pipe",
    "pipe2",
    "memfd_create",
    "sendfile",
    "sendfile64",
    "splice",

    /* what is opened for reading (Landlock), and removed at the end */
    "access",
    "faccessat",
    "faccessat2",
    "getcwd",
    "getdents",
    "getdents64",
    "lstat",
    "lstat64",
    "newfstatat",
    "fstatat64",
    "open",
    "openat",
    "openat2",
    "readlink",
    "readlinkat",
    "rmdir",
    "stat",
    "stat64",
    "statfs",
    "statfs64",
    "statx",
    "unlink",
    "unlinkat",
    "inotify_init1",
    "inotify_add_watch",
    "inotify_rm_watch",
    /* sockets; making them, connecting and sending have rules of their own */
    "accept",
    "accept4",
    "bind",
    "getpeername",
    "getsockname",
    "getsockopt",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmmsg_time64",
    "recvmsg",
    "setsockopt",
    "shutdown",
    /* waiting */
    "_newselect",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "futex",
    "futex_time64",
    "futex_waitv",
    "nanosleep",
    "poll",
    "ppoll",
    "ppoll_time64",
    "pselect6",
    "pselect6_time64",
    "restart_syscall",
    "select",
    "timerfd_create",
    "timerfd_settime",
    "timerfd_settime64",
    "timerfd_gettime",
    "timerfd_gettime64",
    "pidfd_open",
    "wait4",
    "waitid",
    "waitpid",
    /* memory; mmap() and mprotect() have rules of their own */
    "brk",
    "madvise",
    "membarrier",
    "mremap",
    "munmap",

    /* threads and signals; starting and killing have rules of their own */
    "exit",
    "exit_group",
    "get_robust_list",
    "getcpu",
    "getpid",
    "getppid",
    "gettid",
    "rseq",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigtimedwait",
    "rt_sigtimedwait_time64",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_getscheduler",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    "sigreturn",
    /* questions */
    "clock_getres",
    "clock_getres_time64",
    "clock_gettime",
    "clock_gettime64",
    "getegid",
    "getegid32",
    "geteuid",
    "geteuid32",
    "getgid",
    "getgid32",
    "getgroups",
    "getgroups32",
    "getrandom",
    "getresgid",
    "getresgid32",
    "getresuid",
    "getresuid32",
    "getrlimit",
    "getrusage",
    "gettimeofday",
    "getuid",
    "getuid32",
    "sysinfo",
    "time",
    "times",
    "ugetrlimit",
    "uname",
    "riscv_hwprobe",
#if STRATA_HAS_SANITIZER /* looks for leaks at the end, from another process */
    "clone",
    "ptrace",
    "prctl",
    "sched_setaffinity",
    "prlimit64",
    "setrlimit",
    "tgkill",
    "process_vm_readv",
#endif
};

static const unsigned long ioctls[] = {
    BLKGETSIZE64,                                 /* the size of a device */
    FIONBIO,      FIONREAD, SIOCGIFINDEX, TCGETS, /* is it a terminal? */
};

/* Not whom the kernel shall signal when something can be read, F_SETOWN and F_SETSIG: it sends any
 * signal to any process, past the rules of signals. */
static const int fcntls[] = {
    F_DUPFD,  F_DUPFD_CLOEXEC, F_GETFD,     F_SETFD,      F_GETFL,      F_SETFL,
    F_GETLK,  F_SETLK,         F_SETLKW,    F_OFD_GETLK,  F_OFD_SETLK,  F_OFD_SETLKW,
    F_GETOWN, F_GET_SEALS,     F_ADD_SEALS, F_GETPIPE_SZ, F_SETPIPE_SZ,
};

static const int prctls[] = { PR_GET_NAME, PR_SET_NAME, PR_GET_DUMPABLE, PR_SET_VMA };

#define NEW_NAMESPACES                                                                            \
    (CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUSER | \
     CLONE_NEWUTS)

/* clone(2): where the flags are the second argument. */
#if defined(__s390__) || defined(__CRIS__)
#define CLONE_FLAGS 1
#else
#define CLONE_FLAGS 0
#endif

/* All functions that add rules return a negative errno, or 0. What a machine does not have adds
 * nothing. */
static int
allow(scmp_filter_ctx filter, const char *name, guint n_conditions,
      const struct scmp_arg_cmp *conditions)
{
    int number = seccomp_syscall_resolve_name(name);

    if (number == __NR_SCMP_ERROR)
        return 0;
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, n_conditions, conditions);
}

static int
allow_equal(scmp_filter_ctx filter, const char *name, guint argument, guint64 value)
{
    struct scmp_arg_cmp condition = SCMP_CMP(argument, SCMP_CMP_EQ, value);

    return allow(filter, name, 1, &condition);
}

/* With these bits of the argument, and none of the others in @mask. */
static int
allow_bits(scmp_filter_ctx filter, const char *name, guint argument, guint64 mask, guint64 bits)
{
    struct scmp_arg_cmp condition = SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, mask, bits);

    return allow(filter, name, 1, &condition);
}

static int
allow_listed(scmp_filter_ctx filter)
{
    int failed = 0;

    for (gsize i = 0; failed == 0 && i < G_N_ELEMENTS(allowed); i++)
        failed = allow(filter, allowed[i], 0, NULL);
    for (gsize i = 0; failed == 0 && i < G_N_ELEMENTS(ioctls); i++)
        failed = allow_equal(filter, "ioctl", 1, ioctls[i]);
    for (gsize i = 0; failed == 0 && i < G_N_ELEMENTS(fcntls); i++)
        failed = allow_equal(filter, "fcntl", 1, (guint64)fcntls[i]);
    for (gsize i = 0; failed == 0 && i < G_N_ELEMENTS(fcntls); i++)
        failed = allow_equal(filter, "fcntl64", 1, (guint64)fcntls[i]);
    for (gsize i = 0; failed == 0 && i < G_N_ELEMENTS(prctls); i++)
        failed = allow_equal(filter, "prctl", 0, (guint64)prctls[i]);
    if (failed == 0) /* may ask for limits, and not set them */
        failed = allow_equal(filter, "prlimit64", 2, 0);
    return failed;
}

/* Without code, there is also no loading of libraries any more. */
static int
allow_memory_without_code(scmp_filter_ctx filter)
{
    static const char *const names[] = { "mmap", "mmap2", "mprotect" };
    int failed = 0;

    for (gsize i = 0; failed == 0 && i < G_N_ELEMENTS(names); i++)
        failed = allow_bits(filter, names[i], 2, PROT_EXEC, 0);
    return failed;
}

/* The flags of clone3() lie in memory, which a filter cannot see: C libraries go back to clone().
 */
static int
allow_threads(scmp_filter_ctx filter)
{
    int failed =
        allow_bits(filter, "clone", CLONE_FLAGS, CLONE_THREAD | NEW_NAMESPACES, CLONE_THREAD);
    int number = seccomp_syscall_resolve_name("clone3");

    if (failed == 0 && number != __NR_SCMP_ERROR)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), number, 0);
    return failed;
}

/* To itself, and to the command of --run. */
static int
allow_signals(scmp_filter_ctx filter)
{
    static const char *const names[] = { "kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo" };
    int failed = 0;

    for (gsize i = 0; failed == 0 && i < G_N_ELEMENTS(names); i++)
        failed = allow_equal(filter, names[i], 0, FILTER_PID_SELF);
    if (failed == 0)
        failed = allow_equal(filter, "kill", 0, FILTER_PID_CHILD);
    return failed;
}

/* The lower bits of the type of a socket; the others are flags. */
#define SOCKET_TYPE 0xf

static int
allow_socket(scmp_filter_ctx filter, int family, int type, int protocol)
{
    const struct scmp_arg_cmp conditions[] = {
        SCMP_CMP(0, SCMP_CMP_EQ, (scmp_datum_t)family),
        SCMP_CMP(1, SCMP_CMP_MASKED_EQ, SOCKET_TYPE, (scmp_datum_t)type),
        SCMP_CMP(2, SCMP_CMP_EQ, (scmp_datum_t)protocol),
    };

    return allow(filter, "socket", G_N_ELEMENTS(conditions), conditions);
}

/* TCP for servers, UDP for names of hosts, and the question for addresses of this machine by which
 * the C library sorts those that it has found. MPTCP and the like know nothing of the rules of TCP
 * ports, and raw sockets of none. */
static int
allow_ip_sockets(scmp_filter_ctx filter)
{
    static const struct {
        int family, type, protocol;
    } sockets[] = {
        { AF_INET, SOCK_STREAM, 0 },
        { AF_INET, SOCK_STREAM, IPPROTO_TCP },
        { AF_INET, SOCK_DGRAM, 0 },
        { AF_INET, SOCK_DGRAM, IPPROTO_UDP },
        { AF_INET6, SOCK_STREAM, 0 },
        { AF_INET6, SOCK_STREAM, IPPROTO_TCP },
        { AF_INET6, SOCK_DGRAM, 0 },
        { AF_INET6, SOCK_DGRAM, IPPROTO_UDP },
        { AF_NETLINK, SOCK_RAW, NETLINK_ROUTE },
    };
    int failed = 0;

    for (gsize i = 0; failed == 0 && i < G_N_ELEMENTS(sockets); i++)
        failed = allow_socket(filter, sockets[i].family, sockets[i].type, sockets[i].protocol);
    return failed;
}

/* The log of the system and the service manager are sent datagrams to their paths; only servers
 * that are layers are connected to, with what it takes to find them. */
static int
allow_sockets(scmp_filter_ctx filter, guint variant)
{
    int failed = allow_equal(filter, "socket", 0, AF_UNIX);

    if (failed == 0)
        failed = allow_equal(filter, "socketpair", 0, AF_UNIX);
    if (failed == 0 && (variant & FILTER_VSOCK) != 0)
        failed = allow_equal(filter, "socket", 0, AF_VSOCK);
    if (failed == 0 && (variant & FILTER_IP) != 0)
        failed = allow_ip_sockets(filter);
    if (failed == 0 && variant != 0)
        failed = allow(filter, "connect", 0, NULL);
    return failed;
}

/* All but MSG_FASTOPEN, which connects, past the rules of TCP ports. */
static int
allow_sending(scmp_filter_ctx filter)
{
    static const struct {
        const char *name;
        guint flags; /* the argument */
    } calls[] = { { "send", 3 }, { "sendto", 3 }, { "sendmsg", 2 }, { "sendmmsg", 3 } };
    int failed = 0;

    for (gsize i = 0; failed == 0 && i < G_N_ELEMENTS(calls); i++)
        failed = allow_bits(filter, calls[i].name, calls[i].flags, MSG_FASTOPEN, 0);
    return failed;
}

static int
add_rules(scmp_filter_ctx filter, guint variant)
{
    int failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree */

    if (failed == 0)
        failed = allow_listed(filter);
    if (failed == 0)
        failed = allow_memory_without_code(filter);
    if (failed == 0)
        failed = allow_threads(filter);
    if (failed == 0)
        failed = allow_signals(filter);
    if (failed == 0)
        failed = allow_sockets(filter, variant);
    if (failed == 0)
        failed = allow_sending(filter);
    return failed;
}

/* Writes the finished program to @file. */
static int
export_program(guint variant, FILE *file)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(FILTER_REFUSAL));
    int failed = filter != NULL ? add_rules(filter, variant) : -ENOMEM;

    if (failed == 0)
        failed = seccomp_export_bpf(filter, fileno(file));
    if (filter != NULL)
        seccomp_release(filter);
    return failed;
}

/* Whether each of what the server puts its own values for is there, where it looks for it. */
static gboolean
has_places(const GArray *program)
{
    guint n_self = 0, n_child = 0, n_refusals = 0;

    for (guint i = 0; i < program->len; i++) {
        const struct sock_filter *step = &g_array_index(program, struct sock_filter, i);

        n_self += filter_step_is(step, FILTER_COMPARES, FILTER_PID_SELF);
        n_child += filter_step_is(step, FILTER_COMPARES, FILTER_PID_CHILD);
        n_refusals += filter_step_is(step, FILTER_ANSWERS, FILTER_REFUSES);
    }
    return n_self > 0 && n_child > 0 && n_refusals > 0;
}

/* Returns: (transfer full) (element-type struct sock_filter): NULL when that was told */
static GArray *
make_program(guint variant)
{
    g_autoptr(GArray) program = g_array_new(FALSE, FALSE, sizeof(struct sock_filter));
    FILE *file = tmpfile();
    int failed = file != NULL ? export_program(variant, file) : -errno;
    struct sock_filter step;

    if (failed == 0)
        rewind(file);
    while (failed == 0 && fread(&step, sizeof step, 1, file) == 1)
        g_array_append_val(program, step);
    if (file != NULL)
        fclose(file);
    if (failed == 0 && has_places(program))
        return g_steal_pointer(&program);
    fprintf(stderr, "make-filter: %s\n",
            failed != 0 ? g_strerror(-failed)
                        : "a value of the server has no place in the program");
    return NULL;
}

static gboolean
write_program(guint variant)
{
    g_autoptr(GArray) program = make_program(variant);

    if (program == NULL)
        return FALSE;
    printf("static const struct sock_filter steps_%u[] = {\n", variant);
    for (guint i = 0; i < program->len; i++) {
        const struct sock_filter *step = &g_array_index(program, struct sock_filter, i);

        printf("    { 0x%02x, %u, %u, 0x%08x },\n", step->code, step->jt, step->jf, step->k);
    }
    printf("};\n");
    return TRUE;
}

int
main(void)
{
    printf("#include \"sandbox/filter-variants.h\"\n");
    for (guint i = 0; i < FILTER_VARIANTS; i++)
        if (!write_program(i))
            return EXIT_FAILURE;
    printf("static const FilterProgram programs[FILTER_VARIANTS] = {\n");
    for (guint i = 0; i < FILTER_VARIANTS; i++)
        printf("    { steps_%u, G_N_ELEMENTS(steps_%u) },\n", i, i);
    printf("};\n");
    return EXIT_SUCCESS;
}
