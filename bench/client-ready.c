/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-ready.c - load "ready": starts a server again and again, and takes the time until it has
 * answered NBD_OPT_GO. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client-clock.h"
#include "client-fail.h"
#include "client-load.h"
#include "client-session.h"

#define PAUSE_NS 20000 /* between attempts to connect: how exact the figure is */

typedef struct {
    double milliseconds; /* from fork() until NBD_OPT_GO was answered */
    double cpu_seconds;  /* of the server, all its life */
    double peak_kib;     /* its memory at most, until it was told to end */
} Start;

typedef struct {
    pid_t pid;
    gboolean is_over;
    int status;
    struct rusage usage;
} Child;

static void
take_away_socket(const Address *address)
{
    const struct sockaddr_un *name = (const struct sockaddr_un *)&address->socket;
    struct stat status;

    if (name->sun_family == AF_UNIX && lstat(name->sun_path, &status) == 0 &&
        (!S_ISSOCK(status.st_mode) || unlink(name->sun_path) < 0))
        fail("%s is in the way", name->sun_path);
}

/* In the child: dies with its parent, and leaves standard output to the line of JSON. */
G_NORETURN static void
become(char **command)
{
    int null = open("/dev/null", O_RDONLY);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execvp(command[0], command);
    fail("%s: %s", command[0], g_strerror(errno));
}

static Child
start(char **command)
{
    Child child = { .pid = fork() };

    if (child.pid < 0)
        fail("fork: %s", g_strerror(errno));
    if (child.pid == 0)
        become(command);
    return child;
}

static gboolean
has_ended(Child *child)
{
    if (!child->is_over)
        child->is_over = wait4(child->pid, &child->status, WNOHANG, &child->usage) == child->pid;
    return child->is_over;
}

static void
pause_briefly(gint64 since, double patience, const char *what)
{
    struct timespec pause = { .tv_nsec = PAUSE_NS };

    if ((double)(clock_now() - since) > patience * 1e9)
        fail("the server has not %s within %g seconds", what, patience);
    nanosleep(&pause, NULL);
}

static int
connect_soon(const Address *address, Child *child, gint64 began, double patience)
{
    for (;;) {
        int fd = address_try(address);

        if (fd >= 0)
            return fd;
        if (errno != ENOENT && errno != ECONNREFUSED && errno != EAGAIN && errno != EINTR)
            fail("cannot connect: %s", g_strerror(errno));
        if (has_ended(child))
            fail("the server ended with the wait status 0x%x before it served", child->status);
        pause_briefly(began, patience, "served");
    }
}

/* VmHWM of proc(5). What wait4(2) tells is at least what this client had at the fork. */
static double
peak_kib(const Child *child)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)child->pid);
    g_autofree char *text = NULL;
    const char *line;

    if (!g_file_get_contents(path, &text, NULL, NULL) || (line = strstr(text, "VmHWM:")) == NULL)
        fail("%s tells no peak of memory", path);
    return g_ascii_strtod(line + strlen("VmHWM:"), NULL);
}

static void
end(Child *child, double patience)
{
    gint64 began = clock_now();

    if (has_ended(child))
        fail("the server ended by itself, with the wait status 0x%x", child->status);
    kill(child->pid, SIGTERM);
    while (!has_ended(child))
        pause_briefly(began, patience, "ended");
    if (child->status != 0 && !(WIFSIGNALED(child->status) && WTERMSIG(child->status) == SIGTERM))
        fail("the server ended with the wait status 0x%x", child->status);
}

static double
seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static Start
measure(const Address *address, const SessionWants *wants, char **command, double patience)
{
    gint64 began, ready;
    Session session;
    double peak;
    Child child;
    int fd;

    take_away_socket(address);
    began = clock_now();
    child = start(command);
    fd = connect_soon(address, &child, began, patience);
    session_init(&session, fd, address->export_name, wants);
    ready = session.wire.received_at;
    session_close(&session);
    peak = peak_kib(&child);
    end(&child, patience);
    return (Start){ .milliseconds = (double)(ready - began) / 1e6,
                    .cpu_seconds =
                        seconds_of(child.usage.ru_utime) + seconds_of(child.usage.ru_stime),
                    .peak_kib = peak };
}

static int
compare_doubles(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;

    return (a > b) - (a < b);
}

/* The median, least and most of one member. */
static void
print_member(const char *name, const Start *starts, guint n, gsize member, int digits)
{
    g_autofree double *values = g_new(double, n);

    for (guint i = 0; i < n; i++)
        values[i] = G_STRUCT_MEMBER(double, &starts[i], member);
    qsort(values, n, sizeof *values, compare_doubles);
    printf(", \"%s\": {\"median\": %.*f, \"least\": %.*f, \"most\": %.*f}", name, digits,
           (values[(n - 1) / 2] + values[n / 2]) / 2, digits, values[0], digits, values[n - 1]);
}

static void
run_with(const char *uri, char **command, guint n, double patience)
{
    g_autofree Start *starts = g_new0(Start, n);
    SessionWants wants = { SESSION_STRUCTURED, NULL };
    Address address;
    Clock clock;

    address_init(&address, uri);
    prctl(PR_SET_TIMERSLACK, 1000);
    clock_start(&clock, 0);
    for (guint i = 0; i < n; i++)
        starts[i] = measure(&address, &wants, command, patience);
    printf("{\"load\": \"ready\", \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"starts\": %u",
           clock_seconds(&clock), clock_cpu_seconds(&clock), n);
    print_member("ready_ms", starts, n, G_STRUCT_OFFSET(Start, milliseconds), 3);
    print_member("server_cpu_seconds", starts, n, G_STRUCT_OFFSET(Start, cpu_seconds), 6);
    print_member("server_peak_kib", starts, n, G_STRUCT_OFFSET(Start, peak_kib), 0);
    puts("}");
    address_clear(&address);
}

void
load_ready(int argc, char **argv)
{
    gint count = 1;
    double patience = 30;
    const GOptionEntry entries[] = {
        { "count", 0, 0, G_OPTION_ARG_INT, &count, "starts, one after the other (default: 1)",
          "N" },
        { "timeout", 0, 0, G_OPTION_ARG_DOUBLE, &patience,
          "seconds that a start or an end may take (default: 30)", "N" },
        { NULL },
    };
    g_auto(GStrv) words = load_parse(
        argc, argv, entries, "URI COMMAND...",
        "Starts a server that stays in the foreground, and takes the time until it serves; "
        "ends it by SIGTERM.",
        2, TRUE);

    if (count < 1 || patience <= 0)
        fail("--count and --timeout are above zero");
    run_with(words[0], words + 1, (guint)count, patience);
}
