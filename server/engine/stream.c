/* SPDX-License-Identifier: LGPL-2.1-or-later
 * stream.c - the bytes to and from one client. */
#include "stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

void
stream_init(Stream *stream, int fd)
{
    int on = 1;

    stream->fd = fd;
    /* Replies are whole messages already, so nothing is won by waiting for more. It fails on Unix
     * sockets, where there is nothing to switch off. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* A call that sends to a Unix socket begins its time anew whenever the other side has read a
 * little, and so may last for as long as there is something to send. */
#define SHOWN_PIECE (64 * 1024)

void
stream_show_progress(Stream *stream, guint milliseconds)
{
    struct timeval interval = {
        .tv_sec = milliseconds / 1000,
        .tv_usec = (suseconds_t)(milliseconds % 1000) * 1000,
    };

    stream->most_sent = SHOWN_PIECE;
    (void)setsockopt(stream->fd, SOL_SOCKET, SO_RCVTIMEO, &interval, sizeof interval);
    (void)setsockopt(stream->fd, SOL_SOCKET, SO_SNDTIMEO, &interval, sizeof interval);
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

/* From 1 to @length bytes; 0 at the end. */
static gsize
receive_some(Stream *stream, guint8 *buffer, gsize length)
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
        gsize received = receive_some(stream, at, length);

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
send_some(Stream *stream, struct iovec *pieces, gsize n_pieces)
{
    struct iovec first = { .iov_base = pieces->iov_base, .iov_len = stream->most_sent };
    gboolean is_cut = stream->most_sent != 0 && pieces->iov_len > stream->most_sent;
    struct msghdr message = {
        .msg_iov = is_cut ? &first : pieces,
        .msg_iovlen = stream->most_sent != 0 ? 1 : n_pieces,
    };

    return sendmsg(stream->fd, &message, MSG_NOSIGNAL);
}

gboolean
stream_send(Stream *stream, struct iovec *pieces, gsize n_pieces)
{
    if (stream->tls != NULL)
        return tls_session_send(stream->tls, pieces, n_pieces);
    while (n_pieces > 0) {
        ssize_t sent = send_some(stream, pieces, n_pieces);
        gsize done;

        if (sent < 0 && is_to_go_on())
            continue;
        if (sent < 0)
            return FALSE;
        g_atomic_int_inc(&stream->moved);
        done = skip_sent(pieces, n_pieces, (gsize)sent);
        pieces += done;
        n_pieces -= done;
    }
    return TRUE;
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
