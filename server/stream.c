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

void
stream_close(Stream *stream)
{
    close(stream->fd);
    stream->fd = -1;
}

gboolean
stream_receive(Stream *stream, void *buffer, gsize length)
{
    guint8 *at = buffer;

    while (length > 0) {
        ssize_t received = recv(stream->fd, at, length, MSG_WAITALL);

        if (received < 0 && errno == EINTR)
            continue;
        if (received <= 0)
            return FALSE;
        at += received;
        length -= (gsize)received;
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

gboolean
stream_send(Stream *stream, struct iovec *pieces, gsize n_pieces)
{
    while (n_pieces > 0) {
        struct msghdr message = { .msg_iov = pieces, .msg_iovlen = n_pieces };
        ssize_t sent = sendmsg(stream->fd, &message, MSG_NOSIGNAL);
        gsize done;

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return FALSE;
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
