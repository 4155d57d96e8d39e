/* SPDX-License-Identifier: LGPL-2.1-or-later
 * landlock.c - the rules of the sandbox about files, ports and processes.
 *
 * What is open stays as it was opened; the rules are about what is opened, removed or connected to
 * from now on. Everything that the kernel's version knows is forbidden, and then what the server
 * still has to do is allowed. The C library has no functions for these system calls, and the
 * headers of an older system do not have the newer numbers: both are here. */
#include "landlock.h"

#include "every-thread.h"
#include "sanitizers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/landlock.h of Linux 6.15. */
#define FS_TRUNCATE             (1ULL << 14) /* version 3 */
#define FS_IOCTL_DEV            (1ULL << 15) /* version 5 */
#define NET_BIND_TCP            (1ULL << 0)  /* version 4 */
#define NET_CONNECT_TCP         (1ULL << 1)
#define SCOPE_ABSTRACT_SOCKET   (1ULL << 0) /* version 6 */
#define SCOPE_SIGNAL            (1ULL << 1)
#define CREATE_RULESET_ERRATA   (1U << 1)
#define ERRATUM_SIGNALS_OF_SELF (1 << 1) /* erratum 2: mended, threads may signal each other */
#define RULE_NET_PORT           2

/* struct landlock_ruleset_attr, of which each version knows the beginning only. */
typedef struct {
    guint64 handled_access_fs;
    guint64 handled_access_net; /* version 4 */
    guint64 scoped;             /* version 6 */
} RulesetAttr;

typedef struct {
    guint64 allowed_access;
    guint64 port;
} NetPortAttr;

/* Rights that a rule for a file can give; the others are those of folders. */
#define OF_FILES                                                                                 \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | \
     FS_TRUNCATE | FS_IOCTL_DEV)

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

/* What libraries read when it comes to it: texts of errors, time zones, how many processors there
 * are, settings of TLS; and what the process is told about itself. None has a secret. */
static const char *const read_always[] = {
    "/etc/crypto-policies",
    "/etc/gnutls",
    "/etc/localtime",
    "/proc/self",
    "/sys/devices/system/cpu",
    "/usr/lib/locale",
    "/usr/share/locale",
    "/usr/share/zoneinfo",
#if STRATA_HAS_SANITIZER /* reads programs and their symbols to write its report */
    "/proc",
    "/usr",
#endif
};

typedef struct {
    int fd; /* of the rules */
    int version;
    RulesetAttr attr;
} Ruleset;

int
landlock_find_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    return version < 0 ? 0 : (int)version;
}

static guint64
files_of_version(int version)
{
    guint64 all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1; /* version 1 */

    if (version >= 2)
        all |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3)
        all |= FS_TRUNCATE;
    if (version >= 5)
        all |= FS_IOCTL_DEV;
    return all;
}

/* Confined one by one, threads are strangers to each other: before that erratum was mended, they
 * could not even signal their own process. */
static gboolean
can_signal_itself(void)
{
    return (syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_ERRATA) &
            ERRATUM_SIGNALS_OF_SELF) != 0;
}

/* The socket that the service manager is told of readiness on may be an abstract one. */
static gboolean
notifies_abstract_socket(void)
{
    const char *path = g_getenv("NOTIFY_SOCKET");

    return path != NULL && *path == '@';
}

static guint64
choose_scopes(const SandboxNeeds *needs)
{
    guint64 scopes = 0;

    if (!notifies_abstract_socket())
        scopes |= SCOPE_ABSTRACT_SOCKET;
    if (needs->child == 0 && can_signal_itself())
        scopes |= SCOPE_SIGNAL;
    return scopes;
}

/* Returns errno. */
static int
make_ruleset(Ruleset *ruleset, const SandboxNeeds *needs)
{
    gsize size = G_STRUCT_OFFSET(RulesetAttr, handled_access_net);

    ruleset->attr.handled_access_fs = files_of_version(ruleset->version);
    if (ruleset->version >= 4) {
        size = G_STRUCT_OFFSET(RulesetAttr, scoped);
        ruleset->attr.handled_access_net =
            needs->any_server ? NET_BIND_TCP : NET_BIND_TCP | NET_CONNECT_TCP;
    }
    if (ruleset->version >= 6) {
        size = sizeof(RulesetAttr);
        ruleset->attr.scoped = choose_scopes(needs);
    }
    ruleset->fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset->attr, size, 0);
    return ruleset->fd < 0 ? errno : 0;
}

/* Allows @rights for what @path leads to now; what is not there needs no rule. */
static void
allow_path(Ruleset *ruleset, const char *path, guint64 rights)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat found;
    struct landlock_path_beneath_attr rule = { .parent_fd = fd };

    if (fd < 0)
        return;
    if (fstat(fd, &found) == 0) {
        rule.allowed_access = rights & ruleset->attr.handled_access_fs;
        if (!S_ISDIR(found.st_mode))
            rule.allowed_access &= OF_FILES;
        syscall(SYS_landlock_add_rule, ruleset->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    }
    close(fd);
}

/* @paths: (nullable) */
static void
allow_paths(Ruleset *ruleset, const GPtrArray *paths, guint64 rights)
{
    for (guint i = 0; paths != NULL && i < paths->len; i++)
        allow_path(ruleset, paths->pdata[i], rights);
}

static void
allow_ports(Ruleset *ruleset, const GArray *ports)
{
    for (guint i = 0; ports != NULL && i < ports->len; i++) {
        NetPortAttr rule = {
            .allowed_access = NET_CONNECT_TCP,
            .port = g_array_index(ports, guint64, i),
        };

        syscall(SYS_landlock_add_rule, ruleset->fd, RULE_NET_PORT, &rule, 0);
    }
}

/* A rule that is not taken allows nothing: no such failure is a hole. */
static void
add_rules(Ruleset *ruleset, const SandboxNeeds *needs)
{
    for (gsize i = 0; i < G_N_ELEMENTS(read_always); i++)
        allow_path(ruleset, read_always[i], READ);
    allow_path(ruleset, "/dev/null", READ | LANDLOCK_ACCESS_FS_WRITE_FILE);
    allow_paths(ruleset, needs->readable, READ | FS_IOCTL_DEV); /* the size of a device */
    allow_paths(ruleset, needs->removable, LANDLOCK_ACCESS_FS_REMOVE_FILE);
    allow_paths(ruleset, needs->emptied, LANDLOCK_ACCESS_FS_REMOVE_DIR);
    if (ruleset->attr.handled_access_net & NET_CONNECT_TCP)
        allow_ports(ruleset, needs->ports);
}

/* In a signal handler. */
static int
confine_thread(int ruleset_fd)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_landlock_restrict_self, ruleset_fd, 0) < 0)
        return errno;
    return 0;
}

static void
tell_limits(const Ruleset *ruleset, const SandboxNeeds *needs, GPtrArray *limits)
{
    if (needs->uses_ip && !(ruleset->attr.handled_access_net & NET_CONNECT_TCP))
        g_ptr_array_add(limits, (gpointer)(needs->any_server
                                               ? "TCP ports: which servers are layers shows later"
                                               : "TCP ports: they need Linux 6.7"));
    if (!(ruleset->attr.scoped & SCOPE_ABSTRACT_SOCKET))
        g_ptr_array_add(limits, (gpointer)(ruleset->version >= 6
                                               ? "abstract sockets: NOTIFY_SOCKET is one"
                                               : "abstract sockets: they need Linux 6.12"));
}

gboolean
landlock_confine(const SandboxNeeds *needs, int version, GPtrArray *limits, GError **error)
{
    Ruleset ruleset = { .version = version };
    int failed = make_ruleset(&ruleset, needs);
    gboolean succeeded;

    if (failed != 0) {
        g_set_error_literal(error, STRATA_ERROR, STRATA_ERROR_IO, g_strerror(failed));
        return FALSE;
    }
    add_rules(&ruleset, needs);
    tell_limits(&ruleset, needs, limits);
    succeeded = every_thread_call(confine_thread, ruleset.fd, error);
    close(ruleset.fd);
    return succeeded;
}
