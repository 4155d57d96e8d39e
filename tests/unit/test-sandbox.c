/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-sandbox.c - what can be done in the sandbox of strata-nbd and what cannot. Each case runs in
 * a process of its own, because there is no way out. */
#include "sandbox/every-thread.h"
#include "sandbox/landlock.h"
#include "sandbox/privileges.h"
#include "sandbox/refused-call.h"
#include "sandbox/sandbox.h"
#include "sandbox/syscall-filter.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/sanitizers.h"
#include "temp-dir.h"

/* In a folder that is made once: open/ with a file and a link that leads out of it, shut/ with a
 * file. The processes of the cases find it by their environment, and cannot remove it. */
static struct {
    const char *folder, *open, *shut;
} files;

/* What the kernel has, asked once: in the sandbox it cannot be. 0: no Landlock */
static int landlock_version;

static const char folder_variable[] = "SANDBOX_TEST_FOLDER";

static void
find_files(const char *folder)
{
    files.folder = folder;
    files.open = g_strconcat(folder, "/open", NULL);
    files.shut = g_strconcat(folder, "/shut", NULL);
}

static void
put_file(const char *folder)
{
    g_autofree char *path = g_build_filename(folder, "file", NULL);

    g_assert_cmpint(g_mkdir(folder, 0755), ==, 0);
    g_assert_true(g_file_set_contents(path, "text", -1, NULL));
}

static void
make_files(const char *folder)
{
    g_autofree char *link = NULL;

    find_files(folder);
    put_file(files.open);
    put_file(files.shut);
    link = g_build_filename(files.open, "link", NULL);
    g_assert_cmpint(symlink("../shut/file", link), ==, 0);
    g_setenv(folder_variable, folder, TRUE);
}

/* errno of what failed; 0 if it succeeded. */
static int
outcome(long result)
{
    return result < 0 ? errno : 0;
}

static int
try_open(const char *folder, const char *name, int flags)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    int fd = open(path, flags | O_CLOEXEC, 0644);
    int failed = outcome(fd);

    if (fd >= 0)
        close(fd);
    return failed;
}

static int
try_unlink(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);

    return outcome(unlink(path));
}

static int
try_socket_of(int family, int type, int protocol)
{
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);
    int failed = outcome(fd);

    if (fd >= 0)
        close(fd);
    return failed;
}

static int
try_socket(int family, int type)
{
    return try_socket_of(family, type, 0);
}

/* Nobody listens there. */
static int
try_connect_unix(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed;

    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/no-socket", files.open);
    failed = outcome(connect(fd, (struct sockaddr *)&address, sizeof address));
    close(fd);
    return failed;
}

static int
try_connect(guint16 port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = outcome(fd < 0 ? fd : connect(fd, (struct sockaddr *)&address, sizeof address));

    if (fd >= 0)
        close(fd);
    return failed;
}

static int
try_bind(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = outcome(fd < 0 ? fd : bind(fd, (struct sockaddr *)&address, sizeof address));

    if (fd >= 0)
        close(fd);
    return failed;
}

/* Connecting by sending, in each of the calls that can. */
static void
assert_no_fast_open(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(10) };
    struct iovec bytes = { .iov_base = (char *)"x", .iov_len = 1 };
    struct mmsghdr many = {
        .msg_hdr = { .msg_name = &address,
                     .msg_namelen = sizeof address,
                     .msg_iov = &bytes,
                     .msg_iovlen = 1 },
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    g_assert_cmpint(
        outcome(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&address, sizeof address)), ==,
        EPERM);
    g_assert_cmpint(outcome(sendmsg(fd, &many.msg_hdr, MSG_FASTOPEN)), ==, EPERM);
    g_assert_cmpint(outcome(sendmmsg(fd, &many, 1, MSG_FASTOPEN)), ==, EPERM);
    close(fd);
}

/* In the process of its own: enters the sandbox with all parts in force that there are. */
static void
enter(const SandboxNeeds *needs)
{
    GError *error = NULL;

    g_assert_true(sandbox_enter(landlock_version > 0 ? SANDBOX_ON : SANDBOX_AUTO, needs, &error));
    g_assert_no_error(error);
}

static gboolean
in_own_process(void)
{
    if (g_test_subprocess())
        return TRUE;
    g_test_trap_subprocess(NULL, 30 * G_USEC_PER_SEC, G_TEST_SUBPROCESS_INHERIT_STDERR);
    g_test_trap_assert_passed();
    return FALSE;
}

static void
test_files(void)
{
    g_auto(SandboxNeeds) needs = { 0 };
    g_autofree char *removable = g_build_filename(files.open, "socket", NULL);
    g_autofree char *link = g_build_filename(files.open, "link", NULL);
    int fd;

    if (!in_own_process())
        return;
    g_assert_true(g_file_set_contents(removable, "", 0, NULL));
    sandbox_needs_read(&needs, files.open);
    sandbox_needs_remove(&needs, removable);
    fd = open(link, O_RDWR | O_CLOEXEC); /* what is open stays as it is */
    enter(&needs);

    g_assert_cmpint(outcome(mkdir(files.shut, 0755)), ==, EPERM);
    g_assert_cmpint(outcome(rename(files.open, files.shut)), ==, EPERM);
    g_assert_cmpint(outcome(truncate(files.open, 0)), ==, EPERM);
    g_assert_cmpint(outcome(chmod(files.open, 0700)), ==, EPERM);
    g_assert_cmpint(outcome(pwrite(fd, "more", 4, 0)), ==, 0);
    g_assert_cmpint(try_open(files.open, "file", O_RDONLY), ==, 0);
    close(fd);
    if (landlock_version == 0)
        return;
    g_assert_cmpint(try_open(files.open, "", O_RDONLY | O_DIRECTORY), ==, 0);
    g_assert_cmpint(try_open(files.open, "link", O_RDONLY), ==, EACCES);
    g_assert_cmpint(try_open(files.open, "file", O_WRONLY), ==, EACCES);
    g_assert_cmpint(try_open(files.open, "new", O_WRONLY | O_CREAT), ==, EACCES);
    g_assert_cmpint(try_open(files.shut, "file", O_RDONLY), ==, EACCES);
    g_assert_cmpint(try_open(files.shut, "", O_RDONLY | O_DIRECTORY), ==, EACCES);
    g_assert_cmpint(try_unlink(files.open, "socket"), ==, 0);
    g_assert_cmpint(try_unlink(files.shut, "file"), ==, EACCES);
}

static void
test_calls(void)
{
    g_auto(SandboxNeeds) needs = { 0 };
    char *const words[] = { (char *)"true", NULL };

    if (!in_own_process())
        return;
    enter(&needs);
    g_assert_cmpint(outcome(execv("/bin/true", words)), ==, EPERM);
#if !STRATA_HAS_SANITIZER
    g_assert_cmpint(outcome(fork()), ==, EPERM);
    g_assert_cmpint(outcome(ptrace(PTRACE_TRACEME, 0, NULL, NULL)), ==, EPERM);
    g_assert_cmpint(outcome(prctl(PR_SET_DUMPABLE, 1)), ==, EPERM);
    g_assert_cmpint(outcome(syscall(SYS_clone3, NULL, 0)), ==, ENOSYS);
#endif
    g_assert_cmpint(outcome(unshare(CLONE_NEWUSER)), ==, EPERM);
    g_assert_cmpint(outcome(syscall(SYS_mount, NULL, "/", NULL, 0, NULL)), ==, EPERM);
    g_assert_cmpint(outcome(syscall(SYS_bpf, 0, NULL, 0)), ==, EPERM);
    g_assert_cmpint(outcome(syscall(SYS_keyctl, 0, 0, 0, 0, 0)), ==, EPERM);
    g_assert_cmpint(outcome(syscall(SYS_io_uring_setup, 1, NULL)), ==, EPERM);
    g_assert_cmpint(outcome(syscall(SYS_setuid, 0)), ==, EPERM);
    g_assert_cmpint(outcome(syscall(1023, 0)), ==, ENOSYS);
    g_assert_cmpint(outcome(ioctl(0, TIOCSTI, "x")), ==, EPERM);
    g_assert_cmpint(outcome(kill(1, 0)), ==, EPERM);
    g_assert_cmpint(outcome(kill(getpid(), 0)), ==, 0);
    g_assert_cmpint(outcome(fcntl(0, F_GETFL)), ==, 0);
    g_assert_cmpint(outcome(fcntl(0, F_SETOWN, getppid())), ==, EPERM);
    g_assert_cmpint(outcome(fcntl(0, F_SETOWN_EX, &(struct f_owner_ex){ 0 })), ==, EPERM);
    g_assert_cmpint(outcome(fcntl(0, F_SETSIG, SIGKILL)), ==, EPERM);
    g_assert_true(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                  MAP_FAILED);
    g_assert_cmpint(errno, ==, EPERM);
}

/* Once for each call, and naming it. */
static void
test_message(void)
{
    g_auto(SandboxNeeds) needs = { 0 };

    if (g_test_subprocess()) {
        enter(&needs);
        unshare(CLONE_NEWUSER);
        unshare(CLONE_NEWUSER);
        syscall(1023);
        syscall(1000000);
        return;
    }
    g_test_trap_subprocess(NULL, 30 * G_USEC_PER_SEC, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr(
        "*strata-nbd: the sandbox refused the system call unshare (*); if it was rightly made, "
        "--sandbox=off turns the sandbox off\n"
        "strata-nbd: the sandbox refused the system call number 1023; if *\n");
    g_test_trap_assert_stderr_unmatched("*unshare*unshare*");
}

/* The same as an object, with today's date. */
static void
test_message_in_json(void)
{
    g_auto(SandboxNeeds) needs = { 0 };
    g_autoptr(GDateTime) before = NULL;
    g_autoptr(GDateTime) after = NULL;
    g_autofree char *pattern = NULL;

    if (g_test_subprocess()) {
        refused_call_tell_in_json();
        enter(&needs);
        unshare(CLONE_NEWUSER);
        return;
    }
    before = g_date_time_new_now_utc();
    g_test_trap_subprocess(NULL, 30 * G_USEC_PER_SEC, 0);
    after = g_date_time_new_now_utc();
    g_test_trap_assert_passed();
    pattern = g_date_time_format(
        after,
        "*{\"time\":\"%Y-%m-%dT??:??:??.??????Z\",\"level\":\"warning\",\"message\":\"the sandbox "
        "refused the system call unshare (*); if it was rightly made, --sandbox=off turns the "
        "sandbox off\",\"event\":\"sandbox\"}\n");
    if (g_date_time_get_day_of_month(before) == g_date_time_get_day_of_month(after))
        g_test_trap_assert_stderr(pattern);
}

static void
test_sockets(void)
{
    g_auto(SandboxNeeds) needs = { 0 };

    if (!in_own_process())
        return;
    enter(&needs);
    g_assert_cmpint(try_socket(AF_UNIX, SOCK_DGRAM), ==, 0);
    g_assert_cmpint(try_socket(AF_INET, SOCK_STREAM), ==, EPERM);
    g_assert_cmpint(try_socket(AF_INET6, SOCK_DGRAM), ==, EPERM);
    g_assert_cmpint(try_socket(AF_NETLINK, SOCK_RAW), ==, EPERM);
    g_assert_cmpint(try_socket(AF_PACKET, SOCK_RAW), ==, EPERM);
    g_assert_cmpint(try_socket(AF_ALG, SOCK_SEQPACKET), ==, EPERM);
    g_assert_cmpint(try_socket(AF_VSOCK, SOCK_STREAM), ==, EPERM);
    g_assert_cmpint(try_connect_unix(), ==, EPERM);
}

/* With a layer on a server that has a path. */
static void
test_unix_server(void)
{
    g_auto(SandboxNeeds) needs = { 0 };

    if (!in_own_process())
        return;
    sandbox_needs_add_server(&needs, "nbd+unix:///?socket=/s");
    enter(&needs);
    g_assert_cmpint(try_connect_unix(), ==, ENOENT);
    g_assert_cmpint(try_socket(AF_INET, SOCK_STREAM), ==, EPERM);
}

/* With layers on servers elsewhere: only to their ports. */
static void
test_ports(void)
{
    g_auto(SandboxNeeds) needs = { .uses_ip = TRUE };
    guint64 port = 9;

    if (!in_own_process())
        return;
    needs.ports = g_array_new(FALSE, FALSE, sizeof port);
    g_array_append_val(needs.ports, port);
    enter(&needs);
    g_assert_cmpint(try_socket(AF_NETLINK, SOCK_RAW), ==, 0);
    g_assert_cmpint(try_socket_of(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER), ==, EPERM);
    g_assert_cmpint(try_socket(AF_PACKET, SOCK_RAW), ==, EPERM);
    g_assert_cmpint(try_socket_of(AF_INET, SOCK_RAW, IPPROTO_TCP), ==, EPERM);
    g_assert_cmpint(try_socket_of(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), ==, EPERM);
    g_assert_cmpint(try_socket_of(AF_INET6, SOCK_STREAM, IPPROTO_MPTCP), ==, EPERM);
    g_assert_cmpint(try_socket_of(AF_INET6, SOCK_DGRAM, IPPROTO_UDP), ==, 0);
    assert_no_fast_open();
    g_assert_cmpint(try_connect(9), ==, ECONNREFUSED);
    if (landlock_version >= 4) {
        g_assert_cmpint(try_connect(10), ==, EACCES);
        g_assert_cmpint(try_bind(), ==, EACCES);
    }
}

static void
test_any_server(void)
{
    g_auto(SandboxNeeds) needs = { 0 };

    if (!in_own_process())
        return;
    sandbox_needs_any_server(&needs);
    enter(&needs);
    g_assert_cmpint(try_connect(9), ==, ECONNREFUSED);
    g_assert_cmpint(try_connect(10), ==, ECONNREFUSED);
}

/* The command of --run may be ended, and nobody else. */
static void
test_child(void)
{
    g_auto(SandboxNeeds) needs = { 0 };
    int status = 0;
    pid_t child;

    if (!in_own_process())
        return;
    child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    needs.child = child;
    enter(&needs);
    g_assert_cmpint(outcome(kill(getppid(), 0)), ==, EPERM);
    g_assert_cmpint(outcome(kill(child, SIGTERM)), ==, 0);
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(WTERMSIG(status), ==, SIGTERM);
}

/* Threads wait at a pipe until its other end is closed, in a function in which the thread
 * sanitizer lets signals through, as those of remote layers do. */
static int gate[2];

static void
wait_at_gate(void)
{
    struct pollfd end = { .fd = gate[0], .events = POLLIN };

    while (poll(&end, 1, -1) < 0)
        continue;
}

static void
close_gate(void)
{
    g_assert_cmpint(pipe(gate), ==, 0);
}

static void
open_gate(void)
{
    close(gate[1]);
}

static gpointer
wait_and_write(gpointer data)
{
    wait_at_gate();
    return GINT_TO_POINTER(landlock_version > 0 ? try_open(files.shut, "file", O_WRONLY)
                                                : outcome(unshare(CLONE_NEWUSER)));
}

/* Those that are there before, too. */
static void
test_threads(void)
{
    g_auto(SandboxNeeds) needs = { 0 };
    GThread *threads[8];

    if (!in_own_process())
        return;
    close_gate();
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("waits", wait_and_write, NULL);
    enter(&needs);
    open_gate();
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_assert_cmpint(GPOINTER_TO_INT(g_thread_join(threads[i])), ==,
                        landlock_version > 0 ? EACCES : EPERM);
}

/* The bits of the capabilities that this thread has under @key; they are in proc(5). */
static guint64
read_capabilities(const char *key)
{
    g_autofree char *status = NULL;
    const char *line;

    g_assert_true(g_file_get_contents("/proc/thread-self/status", &status, NULL, NULL));
    line = strstr(status, key);
    g_assert_nonnull(line);
    return g_ascii_strtoull(line + strlen(key), NULL, 16);
}

static void
assert_capabilities(guint64 kept)
{
    g_assert_cmphex(read_capabilities("\nCapEff:"), ==, kept);
    g_assert_cmphex(read_capabilities("\nCapPrm:"), ==, kept);
    g_assert_cmphex(read_capabilities("\nCapInh:"), ==, 0);
}

static gpointer
wait_and_assert(gpointer data)
{
    wait_at_gate();
    assert_capabilities(*(const guint64 *)data);
    return NULL;
}

/* In each thread: Landlock has asked them before. @data: which of the capabilities are kept: the
 * needs follow from that */
static void
test_capabilities(gconstpointer data)
{
    guint64 wanted = GPOINTER_TO_UINT(data);
    guint64 kept = wanted & read_capabilities("\nCapPrm:");
    guint64 bound = read_capabilities("\nCapBnd:");
    gboolean may_bind = (read_capabilities("\nCapEff:") >> CAP_SETPCAP & 1) != 0;
    g_auto(SandboxNeeds) needs = { 0 };
    GThread *thread;

    if (!in_own_process())
        return;
    if (wanted & 1 << CAP_DAC_OVERRIDE)
        sandbox_needs_remove(&needs, files.open);
    if (wanted & 1 << CAP_KILL)
        needs.child = getpid();
    close_gate();
    thread = g_thread_new("waits", wait_and_assert, &kept);
    enter(&needs);
    assert_capabilities(kept);
    g_assert_cmphex(read_capabilities("\nCapBnd:"), ==, may_bind ? bound & wanted : bound);
    open_gate();
    g_thread_join(thread);
}

static void
assert_owner(const char *path, uid_t uid)
{
    struct stat found;

    g_assert_cmpint(lstat(path, &found), ==, 0);
    g_assert_cmpuint(found.st_uid, ==, uid);
}

/* A link that the user has put there is not followed. */
static void
test_give(void)
{
    Privileges privileges = { .wanted = TRUE, .uid = getuid(), .gid = getgid() };
    g_autofree char *folder = g_build_filename(files.folder, "given", NULL);
    g_autofree char *link = g_build_filename(folder, "socket", NULL);
    g_autofree char *target = g_build_filename(files.shut, "file", NULL);
    GError *error = NULL;

    if (getuid() == 0)
        privileges.uid = 65534;
    g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
    g_assert_cmpint(symlink(target, link), ==, 0);
    g_assert_true(privileges_give(&privileges, folder, "socket", &error));
    g_assert_no_error(error);
    assert_owner(folder, privileges.uid);
    assert_owner(link, privileges.uid);
    assert_owner(target, getuid());
    g_assert_false(privileges_give(&privileges, folder, "gone", &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_IO);
    g_clear_error(&error);
}

static int
give_back(int argument)
{
    return argument;
}

/* Something that threads hand on to those that they start, as they do with Landlock. */
static int
mark_thread(int argument)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? errno : 0;
}

/* The thread sanitizer has a thread that cannot be asked. */
#define SANITIZER_THREADS STRATA_HAS_THREAD_SANITIZER

#define CHAINS 4
#define LINKS  200

/* Starts the next thread of its chain and ends; the last one stays, to show what came down to it.
 */
static gpointer
hand_on(gpointer data)
{
    int left = GPOINTER_TO_INT(data);

    if (left > 0) {
        g_thread_unref(g_thread_new("next", hand_on, GINT_TO_POINTER(left - 1)));
        return NULL;
    }
    wait_at_gate();
    return NULL;
}

static guint
count_unmarked(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/task", 0, NULL);
    const char *name;
    guint n = 0;

    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_strdup_printf("/proc/self/task/%s/status", name);
        g_autofree char *status = NULL;

        if (g_file_get_contents(path, &status, NULL, NULL) && strstr(status, "NoNewPrivs:\t0"))
            n++;
    }
    return n;
}

/* While every one is asked, threads start others and end. */
static void
test_threads_come_and_go(void)
{
    GError *error = NULL;

    if (!in_own_process())
        return;
    close_gate();
    for (guint i = 0; i < CHAINS; i++)
        g_thread_unref(g_thread_new("first", hand_on, GINT_TO_POINTER(LINKS)));
    g_assert_true(every_thread_call(mark_thread, 0, &error));
    g_assert_no_error(error);
    g_assert_cmpint(count_unmarked(), <=, SANITIZER_THREADS);
    open_gate();
}

static void
test_call_fails(void)
{
    GError *error = NULL;

    g_assert_false(every_thread_call(give_back, ENOMEM, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_IO);
    g_clear_error(&error);
}

/* @how: to pthread_sigmask() */
static void
mask_all(int how)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(how, &all, NULL);
}

static gpointer
block_all(gpointer data)
{
    gint *is_deaf = data; /* atomic */

    mask_all(SIG_BLOCK);
    g_atomic_int_set(is_deaf, TRUE);
    wait_at_gate();
    return NULL;
}

/* Starts a thread that runs @func, which blocks all signals and says so: now it has. */
static GThread *
start_deaf(GThreadFunc func)
{
    gint is_deaf = FALSE;
    GThread *thread = g_thread_new("deaf", func, &is_deaf);

    while (!g_atomic_int_get(&is_deaf))
        g_thread_yield();
    return thread;
}

/* Nobody is told that all is confined when it is not. */
static void
test_deaf_thread(void)
{
    GError *error = NULL;
    GThread *thread;

    close_gate();
    thread = start_deaf(block_all);
    if (!STRATA_HAS_THREAD_SANITIZER) {
        g_assert_false(every_thread_call(give_back, 0, &error));
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_IO);
        g_assert_nonnull(strstr(error->message, "does not listen"));
        g_clear_error(&error);
    }
    open_gate();
    g_thread_join(thread);
    close(gate[0]);
}

/* Longer than it takes to look whether a thread listens at all. */
#define LATE_USEC (50 * G_TIME_SPAN_MILLISECOND)

/* Whether a signal waits for this thread to listen. */
static gboolean
is_asked(void)
{
    sigset_t pending;

    sigpending(&pending);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        if (sigismember(&pending, number))
            return TRUE;
    return FALSE;
}

static gpointer
listen_late(gpointer data)
{
    gint *is_deaf = data; /* atomic */

    mask_all(SIG_BLOCK);
    g_atomic_int_set(is_deaf, TRUE);
    while (!is_asked())
        g_usleep(1000);
    g_usleep(LATE_USEC);
    mask_all(SIG_UNBLOCK);
    wait_at_gate();
    return NULL;
}

/* A thread that is being started blocks signals for as long as it has no processor. */
static void
test_late_thread(void)
{
    GError *error = NULL;
    GThread *thread;

    if (!in_own_process())
        return;
    close_gate();
    thread = start_deaf(listen_late);
    every_thread_call(mark_thread, 0, &error);
    g_assert_no_error(error);
    g_assert_cmpint(count_unmarked(), <=, SANITIZER_THREADS);
    open_gate();
    g_thread_join(thread);
}

/* A filter of seccomp forbids Landlock, as an older container does; then seccomp, too. */
static void
test_missing_parts(void)
{
    g_auto(SandboxNeeds) needs = { 0 };
    GError *error = NULL;

    if (!in_own_process())
        return;
    g_assert_true(syscall_filter_load(&needs, &error)); /* allows neither of the two any more */
    g_assert_cmpint(landlock_find_version(), ==, 0);
    g_assert_false(sandbox_enter(SANDBOX_ON, &needs, &error));
    g_assert_cmpstr(error->message, ==,
                    "--sandbox=on: Landlock cannot be had: this kernel has no Landlock, or it is "
                    "switched off; --sandbox=auto does with what there is");
    g_clear_error(&error);
    g_assert_true(sandbox_enter(SANDBOX_AUTO, &needs, &error));
    g_assert_no_error(error);
}

/* The rules that the first versions of Landlock had. */
static void
test_old_version(gconstpointer data)
{
    int version = GPOINTER_TO_INT(data);
    g_auto(SandboxNeeds) needs = { 0 };
    g_autoptr(GPtrArray) limits = g_ptr_array_new();
    GError *error = NULL;

    if (!in_own_process())
        return;
    sandbox_needs_any_server(&needs);
    sandbox_needs_read(&needs, files.open);
    if (version > landlock_version) { /* nobody believes to be confined */
        g_assert_false(landlock_confine(&needs, version, limits, &error));
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_IO);
        g_clear_error(&error);
        return;
    }
    g_assert_true(landlock_confine(&needs, version, limits, &error));
    g_assert_no_error(error);
    g_assert_cmpint(limits->len, ==, version < 6 ? 2 : 1);
    g_assert_cmpint(try_open(files.open, "file", O_RDONLY), ==, 0);
    g_assert_cmpint(try_open(files.open, "file", O_WRONLY), ==, EACCES);
    g_assert_cmpint(try_open(files.shut, "file", O_RDONLY), ==, EACCES);
    g_assert_cmpint(try_bind(), ==, version < 4 ? 0 : EACCES);
}

static void
check_server(const char *uri, gboolean uses_ip, gboolean uses_vsock, gboolean any, guint64 port)
{
    g_auto(SandboxNeeds) needs = { 0 };

    sandbox_needs_add_server(&needs, uri);
    g_assert_cmpint(needs.uses_ip, ==, uses_ip);
    g_assert_cmpint(needs.uses_vsock, ==, uses_vsock);
    g_assert_cmpint(needs.any_server, ==, any);
    g_assert_cmpint(needs.ports != NULL ? g_array_index(needs.ports, guint64, 0) : 0, ==, port);
}

static void
test_servers(void)
{
    check_server("nbd://host/export", TRUE, FALSE, FALSE, 10809);
    check_server("nbds://[::1]:1234/export", TRUE, FALSE, FALSE, 1234);
    check_server("nbd://host:service/export", TRUE, FALSE, TRUE, 0);
    check_server("nbd+unix:///export?socket=/run/x", FALSE, FALSE, FALSE, 0);
    check_server("nbds+vsock://2:10809/export", FALSE, TRUE, FALSE, 0);
}

static void
test_objects(void)
{
    const char *objects[] = { "secret,id=a,file=/x",
                              "tls-creds-x509,id=b,dir=/a,,b,endpoint=client", NULL };
    g_auto(SandboxNeeds) needs = { 0 };

    sandbox_needs_add_objects(&needs, NULL);
    g_assert_false(needs.has_keys);
    sandbox_needs_add_objects(&needs, (char **)objects);
    g_assert_true(needs.has_keys);
    g_assert_cmpint(needs.readable->len, ==, 1);
    g_assert_cmpstr(needs.readable->pdata[0], ==, "/a,b");
}

static void
test_mode(void)
{
    GError *error = NULL;
    SandboxMode mode;

    g_assert_true(sandbox_mode_parse(&mode, NULL, NULL) && mode == SANDBOX_AUTO);
    g_assert_true(sandbox_mode_parse(&mode, "on", NULL) && mode == SANDBOX_ON);
    g_assert_true(sandbox_mode_parse(&mode, "off", NULL) && mode == SANDBOX_OFF);
    g_assert_false(sandbox_mode_parse(&mode, "maybe", &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_SPEC);
    g_clear_error(&error);
}

int
main(int argc, char **argv)
{
    g_autoptr(TempDir) dir = NULL;

    g_test_init(&argc, &argv, NULL);
    landlock_version = landlock_find_version();
    if (g_test_subprocess()) {
        find_files(g_getenv(folder_variable));
    } else {
        dir = temp_dir_new();
        make_files(dir->path);
    }
    g_test_add_func("/sandbox/mode", test_mode);
    g_test_add_func("/sandbox/servers", test_servers);
    g_test_add_func("/sandbox/objects", test_objects);
    g_test_add_func("/sandbox/files", test_files);
    g_test_add_func("/sandbox/calls", test_calls);
    g_test_add_func("/sandbox/message", test_message);
    g_test_add_func("/sandbox/message-in-json", test_message_in_json);
    g_test_add_func("/sandbox/sockets", test_sockets);
    g_test_add_func("/sandbox/unix-server", test_unix_server);
    g_test_add_func("/sandbox/ports", test_ports);
    g_test_add_func("/sandbox/any-server", test_any_server);
    g_test_add_func("/sandbox/child", test_child);
    g_test_add_func("/sandbox/threads", test_threads);
    g_test_add_func("/sandbox/threads-come-and-go", test_threads_come_and_go);
    g_test_add_data_func("/sandbox/capabilities/read", GUINT_TO_POINTER(1 << CAP_DAC_READ_SEARCH),
                         test_capabilities);
    g_test_add_data_func(
        "/sandbox/capabilities/remove-and-kill",
        GUINT_TO_POINTER(1 << CAP_DAC_READ_SEARCH | 1 << CAP_DAC_OVERRIDE | 1 << CAP_KILL),
        test_capabilities);
    g_test_add_func("/sandbox/give", test_give);
    g_test_add_func("/sandbox/call-fails", test_call_fails);
    g_test_add_func("/sandbox/deaf-thread", test_deaf_thread);
    if (!STRATA_HAS_THREAD_SANITIZER) /* there, nobody is waited for so long */
        g_test_add_func("/sandbox/late-thread", test_late_thread);
    g_test_add_func("/sandbox/missing-parts", test_missing_parts);
    g_test_add_data_func("/sandbox/version-1", GINT_TO_POINTER(1), test_old_version);
    g_test_add_data_func("/sandbox/version-3", GINT_TO_POINTER(3), test_old_version);
    g_test_add_data_func("/sandbox/version-4", GINT_TO_POINTER(4), test_old_version);
    g_test_add_data_func("/sandbox/version-6", GINT_TO_POINTER(6), test_old_version);
    return g_test_run();
}
