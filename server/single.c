/* SPDX-License-Identifier: LGPL-2.1-or-later
 * single.c - the one client on standard input and output.
 *
 * The engine serves sockets. If standard input is one, it is served (inetd, Accept=yes, libnbd's
 * nbd_connect_command(3)). Else two threads copy between the pipes, which ssh(1) gives for example,
 * and one end of a socket pair whose other end is served. */
#include "single.h"

#include "descriptors.h"
#include "throw.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <strata/strata.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PIECE 65536

/* What a client that does not read may keep the end of the program waiting. */
#define CLOSE_USEC (2 * G_USEC_PER_SEC)

/* A process has one standard input. The threads are not joined: a read from a pipe ends only when
 * its other end wants. */
static struct {
    gboolean is_wanted; /* this and the next three are constant when threads start */
    int in, out;        /* the pipes */
    int pair;           /* our end */

    GMutex lock; /* guards what follows */
    GCond ended;
    gboolean sending; /* the thread that writes to the client is not through */
} bridge;

static gboolean
throw_of_single(GError **error, const char *what, int failed)
{
    return throw_error(error, STRATA_ERROR_IO, "--single: %s%s%s", what, failed == 0 ? "" : ": ",
                       failed == 0 ? "" : g_strerror(failed));
}

static gboolean
is_socket(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

static gboolean
is_same(int fd, int other)
{
    struct stat one, two;

    return fstat(fd, &one) == 0 && fstat(other, &two) == 0 && one.st_dev == two.st_dev &&
           one.st_ino == two.st_ino;
}

/* One end of a socketpair(2): neither end has a name. */
static gboolean
is_of_pair(int fd)
{
    struct sockaddr_un name = { .sun_family = AF_UNSPEC }, peer = { .sun_family = AF_UNSPEC };
    socklen_t name_length = sizeof name, peer_length = sizeof peer;

    return getsockname(fd, (struct sockaddr *)&name, &name_length) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_length) == 0 &&
           name.sun_family == AF_UNIX && name_length == sizeof name.sun_family &&
           peer_length == sizeof peer.sun_family;
}

/* Some programs give their children one socket pair for each direction. */
static gboolean
is_one_way(void)
{
    return is_of_pair(STDIN_FILENO) && is_of_pair(STDOUT_FILENO) &&
           !is_same(STDIN_FILENO, STDOUT_FILENO);
}

gboolean
single_check_socket(int fd, GError **error)
{
    struct sockaddr_storage peer;
    socklen_t peer_length = sizeof peer;
    int type = 0;
    socklen_t type_length = sizeof type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_length) < 0 || type != SOCK_STREAM)
        return throw_of_single(error, "the socket of the client is not a stream socket", 0);
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_length) < 0)
        return throw_of_single(
            error,
            "the socket of the client is not connected; it takes connections, as of inetd "
            "with nowait or of systemd with Accept=yes",
            0);
    /* Whoever handed it over may have read from it without waiting. */
    if (!g_unix_set_fd_nonblocking(fd, FALSE, NULL))
        return throw_of_single(error, "the socket of the client", errno);
    return TRUE;
}

/* Returns FALSE with errno set. */
static gboolean
write_all(int fd, const guint8 *bytes, gsize length)
{
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        struct pollfd entry = { .fd = fd, .events = POLLOUT };

        if (written < 0 && errno == EAGAIN)
            poll(&entry, 1, -1);
        else if (written < 0 && errno != EINTR)
            return FALSE;
        if (written > 0) {
            bytes += written;
            length -= (gsize)written;
        }
    }
    return TRUE;
}

/* Until there is nothing more to read, or nobody takes it. */
static void
copy(int from, int to)
{
    g_autofree guint8 *piece = g_malloc(PIECE);

    for (;;) {
        ssize_t length = read(from, piece, PIECE);
        struct pollfd entry = { .fd = from, .events = POLLIN };

        if (length < 0 && errno == EAGAIN)
            poll(&entry, 1, -1);
        else if (length == 0 || (length < 0 && errno != EINTR))
            return;
        if (length > 0 && !write_all(to, piece, (gsize)length))
            return;
    }
}

static gpointer
copy_from_client(gpointer data)
{
    copy(bridge.in, bridge.pair);
    (void)shutdown(bridge.pair, SHUT_WR);
    return NULL;
}

/* The client learns of the end by the end of its pipe. */
static gpointer
copy_to_client(gpointer data)
{
    copy(bridge.pair, bridge.out);
    (void)shutdown(bridge.pair, SHUT_RDWR);
    close(bridge.out);

    g_mutex_lock(&bridge.lock);
    bridge.sending = FALSE;
    g_cond_broadcast(&bridge.ended);
    g_mutex_unlock(&bridge.lock);
    return NULL;
}

static gboolean
start_thread(const char *name, GThreadFunc func, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    GThread *thread = g_thread_try_new(name, func, NULL, &local_error);

    if (thread == NULL)
        return throw_of_single(error, local_error->message, 0);
    g_thread_unref(thread);
    return TRUE;
}

static int
build_bridge(int in, int out, GError **error)
{
    int ends[2];

    if (isatty(in) || isatty(out)) {
        throw_of_single(
            error,
            "standard input or output is a terminal; it serves the one client at their other end, "
            "as with inetd or 'ssh HOST strata-nbd --single IMAGE'",
            0);
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        throw_of_single(error, "cannot make a pair of sockets", errno);
        return -1;
    }
    bridge.is_wanted = TRUE;
    bridge.in = in;
    bridge.out = out;
    bridge.pair = ends[0];
    return ends[1];
}

/* Nothing that is printed may reach the client. */
static gboolean
close_to_others(GError **error)
{
    gboolean is_log_for_client =
        is_same(STDERR_FILENO, STDIN_FILENO) || is_same(STDERR_FILENO, STDOUT_FILENO);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return throw_of_single(error, "/dev/null", errno);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    if (is_log_for_client && !is_same(STDERR_FILENO, null))
        dup2(null, STDERR_FILENO);
    close(null);
    return TRUE;
}

static int
refuse_closed(int fd, GError **error)
{
    throw_of_single(error,
                    fd == STDIN_FILENO ? "standard input is closed; the client is to be there"
                                       : "standard output is closed; the client is to be there",
                    0);
    return -1;
}

int
single_open(GError **error)
{
    gboolean direct = is_socket(STDIN_FILENO) && !is_one_way();
    int in, out;

    for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++)
        if (descriptors_was_closed(fd))
            return refuse_closed(fd, error);
    if (direct && !single_check_socket(STDIN_FILENO, error))
        return -1;
    in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    out = direct ? -1 : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (in < 0 || (!direct && out < 0)) {
        throw_of_single(error, "standard input and output", errno);
        return -1;
    }
    if (!direct && (in = build_bridge(in, out, error)) < 0)
        return -1;
    return close_to_others(error) ? in : -1;
}

gboolean
single_start(GError **error)
{
    if (!bridge.is_wanted)
        return TRUE;
    g_mutex_lock(&bridge.lock);
    bridge.sending = TRUE;
    g_mutex_unlock(&bridge.lock);
    if (start_thread("to client", copy_to_client, error))
        return start_thread("from client", copy_from_client, error);
    g_mutex_lock(&bridge.lock);
    bridge.sending = FALSE;
    g_mutex_unlock(&bridge.lock);
    return FALSE;
}

void
single_close(void)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&bridge.lock);
    gint64 deadline = g_get_monotonic_time() + CLOSE_USEC;

    while (bridge.sending)
        if (!g_cond_wait_until(&bridge.ended, &bridge.lock, deadline))
            return;
}
