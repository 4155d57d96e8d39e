/* SPDX-License-Identifier: LGPL-2.1-or-later
 * stream.c - the bytes to and from one client. */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static gboolean
is_unix_socket(int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;

    return getsockname(fd, (struct sockaddr *)&address, &length) == 0 &&
           address.ss_family == AF_UNIX;
}

void
stream_init(Stream *stream, int fd)
{
    int on = 1;

    stream->fd = fd;
    stream->is_unix = is_unix_socket(fd);
    /* Replies are whole messages already, so nothing is won by waiting for more. */
    if (!stream->is_unix)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static struct timeval
interval_of(guint milliseconds)
{
    return (struct timeval){
        .tv_sec = milliseconds / 1000,
        .tv_usec = (suseconds_t)(milliseconds % 1000) * 1000,
    };
}

/* A call that sends to a Unix socket begins its time anew whenever the other side has read a
 * little, and so may last for as long as there is something to send. */
#define SHOWN_PIECE (64 * 1024)

void
stream_show_progress(Stream *stream, guint milliseconds)
{
    struct timeval interval = interval_of(milliseconds);

    stream->most_sent = SHOWN_PIECE;
    stream->shown_within = milliseconds;
    (void)setsockopt(stream->fd, SOL_SOCKET, SO_RCVTIMEO, &interval, sizeof interval);
    (void)setsockopt(stream->fd, SOL_SOCKET, SO_SNDTIMEO, &interval, sizeof interval);
}

/* TCP finds its size by itself. How much there may be without further rights says
 * /proc/sys/net/core/wmem_max. */
#define ENOUGH_ON_ITS_WAY (1024 * 1024)

/* From where on pages cost less than copies. Measured with reads of 64 KiB to 1 MiB: through a Unix
 * socket, and over TCP on one machine, less than half of the processor's time, whatever their
 * length. Between machines it depends on what is there: the gain has to be worth the calls. */
#define LEAST_ON_THIS_HOST ((gsize)64 * 1024)
#define LEAST_ELSEWHERE    ((gsize)1024 * 1024)

/* Both ends have one address, whichever of the machine's the client has asked for. */
static gboolean
is_from_this_host(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in inet4;
        struct sockaddr_in6 inet6;
        struct sockaddr_storage storage;
    } here, there;
    socklen_t here_length = sizeof here, there_length = sizeof there;

    if (getsockname(fd, &here.any, &here_length) < 0 ||
        getpeername(fd, &there.any, &there_length) < 0)
        return FALSE;
    if (here.any.sa_family == AF_INET)
        return here.inet4.sin_addr.s_addr == there.inet4.sin_addr.s_addr;
    return here.any.sa_family == AF_INET6 &&
           IN6_ARE_ADDR_EQUAL(&here.inet6.sin6_addr, &there.inet6.sin6_addr);
}

/* BBR, where it is the system's choice, sets a timer for what it sends, which within a machine
 * spares no queue and takes more than half of the throughput. Every kernel has Reno and lets
 * anybody choose it (tcp_allowed_congestion_control in tcp(7)); if not, all goes on as before. */
static void
send_unpaced(int fd)
{
    static const char plainest[] = "reno";

    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, plainest, sizeof plainest - 1);
}

void
stream_tune(Stream *stream)
{
    int size = ENOUGH_ON_ITS_WAY;
    gboolean is_near = stream->is_unix || is_from_this_host(stream->fd);

    stream->least_spliced = is_near ? LEAST_ON_THIS_HOST : LEAST_ELSEWHERE;
    if (stream->tls != NULL)
        stream->least_spliced = G_MAXSIZE;
    if (stream->is_unix)
        (void)setsockopt(stream->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    else if (is_near)
        send_unpaced(stream->fd);
}

void
stream_expect_idleness(Stream *stream, guint milliseconds)
{
    struct timeval interval = interval_of(milliseconds);

    if (stream->shown_within == 0 || stream->shown_within > milliseconds)
        (void)setsockopt(stream->fd, SOL_SOCKET, SO_RCVTIMEO, &interval, sizeof interval);
    stream->idle_ms = (int)milliseconds;
}

/* Whether the system call that failed is to be made again: a signal came, or the time of
 * stream_show_progress() is over. */
static gboolean
is_to_go_on(void)
{
    return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK;
}

void
stream_start_tls(Stream *stream, TlsSession *session)
{
    stream->tls = session;
}

void
stream_say_goodbye(Stream *stream)
{
    if (stream->tls != NULL)
        tls_session_say_goodbye(stream->tls);
}

void
stream_close(Stream *stream)
{
    g_clear_pointer(&stream->tls, tls_session_free);
    close(stream->fd);
    stream->fd = -1;
}

/* @received: what recv() returned */
static StreamResult
note_received(Stream *stream, ssize_t received, gsize *out_received)
{
    *out_received = 0;
    if (received < 0 && is_to_go_on())
        return STREAM_IDLE;
    g_atomic_int_inc(&stream->moved);
    if (received <= 0)
        return STREAM_ENDED;
    *out_received = (gsize)received;
    return STREAM_CAME;
}

StreamResult
stream_receive_some(Stream *stream, guint8 *buffer, gsize length, gsize *out_received)
{
    ssize_t received;

    *out_received = 0;
    if (stream->tls != NULL && !stream_wait(stream, stream->idle_ms))
        return STREAM_IDLE;
    if (stream->tls != NULL)
        received = (ssize_t)tls_session_receive(stream->tls, buffer, length);
    else
        received = recv(stream->fd, buffer, length, 0);
    return note_received(stream, received, out_received);
}

StreamResult
stream_receive_now(Stream *stream, guint8 *buffer, gsize length, gsize *out_received)
{
    ssize_t received;

    *out_received = 0;
    if (stream->tls != NULL && !stream_wait(stream, 0))
        return STREAM_IDLE;
    if (stream->tls != NULL)
        received = tls_session_receive_now(stream->tls, buffer, length);
    else
        received = recv(stream->fd, buffer, length, MSG_DONTWAIT);
    return note_received(stream, received, out_received);
}

/* From 1 to @length bytes; 0 at the end. */
static gsize
receive_whole(Stream *stream, guint8 *buffer, gsize length)
{
    ssize_t received;

    if (stream->tls != NULL)
        return tls_session_receive(stream->tls, buffer, length);
    do
        received = recv(stream->fd, buffer, length, MSG_WAITALL);
    while (received < 0 && is_to_go_on());
    g_atomic_int_inc(&stream->moved);
    return received > 0 ? (gsize)received : 0;
}

gboolean
stream_receive(Stream *stream, void *buffer, gsize length)
{
    guint8 *at = buffer;

    while (length > 0) {
        gsize received = receive_whole(stream, at, length);

        if (received == 0)
            return FALSE;
        at += received;
        length -= received;
    }
    return TRUE;
}

gboolean
stream_drain(Stream *stream, guint64 length)
{
    guint8 dropped[16384];

    while (length > 0) {
        gsize piece = MIN(length, sizeof dropped);

        if (!stream_receive(stream, dropped, piece))
            return FALSE;
        length -= piece;
    }
    return TRUE;
}

gboolean
stream_wait(Stream *stream, int timeout_ms)
{
    struct pollfd entry = { .fd = stream->fd, .events = POLLIN };

    if (stream->tls != NULL && tls_session_has_pending(stream->tls))
        return TRUE;
    return poll(&entry, 1, timeout_ms) != 0;
}

/* A client that only closed its sending side (POLLRDHUP) may still wait for answers. */
gboolean
stream_is_open(Stream *stream)
{
    struct pollfd entry = { .fd = stream->fd };

    return poll(&entry, 1, 0) <= 0 || (entry.revents & (POLLHUP | POLLERR)) == 0;
}

/* Steps over what has been sent. Returns how many pieces are done with. */
static gsize
skip_sent(struct iovec *pieces, gsize n_pieces, gsize sent)
{
    gsize done = 0;

    while (done < n_pieces && sent >= pieces[done].iov_len)
        sent -= pieces[done++].iov_len;
    if (done < n_pieces) {
        pieces[done].iov_base = (guint8 *)pieces[done].iov_base + sent;
        pieces[done].iov_len -= sent;
    }
    return done;
}

/* Sends from the first of @pieces, up to all of them. */
static ssize_t
send_some(Stream *stream, struct iovec *pieces, gsize n_pieces, int flags)
{
    struct iovec first = { .iov_base = pieces->iov_base, .iov_len = stream->most_sent };
    gboolean is_cut = stream->most_sent != 0 && pieces->iov_len > stream->most_sent;
    struct msghdr message = {
        .msg_iov = is_cut ? &first : pieces,
        .msg_iovlen = stream->most_sent != 0 ? 1 : n_pieces,
    };

    return sendmsg(stream->fd, &message, MSG_NOSIGNAL | flags);
}

/* Waits for a moment until the socket takes more. If it does not, tells @wait, and whoever sends
 * waits from then on, until all is sent. Returns what is left of @wait. */
static const StreamWait *
wait_for_moment(Stream *stream, const StreamWait *wait)
{
    struct pollfd entry = { .fd = stream->fd, .events = POLLOUT };

    if (poll(&entry, 1, STREAM_MOMENT_MS) > 0)
        return wait;
    wait->func(wait->data);
    return NULL;
}

/* @flags: of sendmsg(); @wait: (inout) */
static gboolean
send_all(Stream *stream, struct iovec *pieces, gsize n_pieces, int flags, const StreamWait **wait)
{
    while (n_pieces > 0) {
        ssize_t sent =
            send_some(stream, pieces, n_pieces, flags | (*wait != NULL ? MSG_DONTWAIT : 0));
        gsize done;

        if (sent < 0 && !is_to_go_on())
            return FALSE;
        if (sent < 0) {
            *wait = *wait != NULL ? wait_for_moment(stream, *wait) : NULL;
            continue;
        }
        g_atomic_int_inc(&stream->moved);
        done = skip_sent(pieces, n_pieces, (gsize)sent);
        pieces += done;
        n_pieces -= done;
    }
    return TRUE;
}

gboolean
stream_send(Stream *stream, struct iovec *pieces, gsize n_pieces, const StreamWait *wait)
{
    if (stream->tls != NULL)
        return tls_session_send(stream->tls, pieces, n_pieces, wait);
    return send_all(stream, pieces, n_pieces, 0, &wait);
}

/* How much goes into the socket at a time: when there is room for anything, there is for this. */
#define SPLICED_PIECE ((gsize)256 * 1024)

/* A socket that blocks does so for as long as there is something to splice; so it is asked before.
 */
static gboolean
splice_all(Stream *stream, int pipe_fd, gsize length, const StreamWait *wait)
{
    const gsize most = stream->most_sent != 0 ? stream->most_sent : SPLICED_PIECE;

    while (length > 0) {
        ssize_t sent;

        if (wait != NULL)
            wait = wait_for_moment(stream, wait);
        sent = splice(pipe_fd, NULL, stream->fd, NULL, MIN(length, most),
                      length > most ? SPLICE_F_MORE : 0);
        if (sent < 0 && is_to_go_on())
            continue;
        if (sent <= 0)
            return FALSE;
        g_atomic_int_inc(&stream->moved);
        length -= (gsize)sent;
    }
    return TRUE;
}

gboolean
stream_send_spliced(Stream *stream, struct iovec *pieces, gsize n_pieces, int pipe_fd, gsize length,
                    const StreamWait *wait)
{
    return send_all(stream, pieces, n_pieces, MSG_MORE, &wait) &&
           splice_all(stream, pipe_fd, length, wait);
}

gsize
stream_try_send(Stream *stream, gconstpointer data, gsize size)
{
    ssize_t sent;

    if (stream->tls != NULL)
        return 0;
    sent = send(stream->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent <= 0)
        return 0;
    g_atomic_int_inc(&stream->moved);
    return (gsize)sent;
}

void
stream_shut_in(Stream *stream)
{
    (void)shutdown(stream->fd, SHUT_RD);
}

void
stream_shut(Stream *stream)
{
    (void)shutdown(stream->fd, SHUT_RDWR);
}
