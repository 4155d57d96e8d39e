/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-wire.c - bytes to and from a server. */
#include "client-wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "client-clock.h"
#include "client-fail.h"

#define PATIENCE 60 /* seconds that a server may be silent */

/* What a receive may take where the rest is to go into a sink: headers, and little more. */
#define MOST_BESIDE_SINK 512

void
wire_init(Wire *wire, int fd)
{
    struct timeval patience = { .tv_sec = PATIENCE };

    *wire = (Wire){ .fd = fd, .buffer = g_malloc(WIRE_BUFFER), .queue = g_malloc(WIRE_QUEUE) };
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0)
        fail("setsockopt: %s", g_strerror(errno));
}

void
wire_clear(Wire *wire)
{
    close(wire->fd);
    g_clear_pointer(&wire->sink, sink_free);
    g_free(wire->buffer);
    g_free(wire->queue);
    *wire = (Wire){ .fd = -1 };
}

void
wire_use_sink(Wire *wire)
{
    wire->sink = sink_new();
}

G_NORETURN static void
fail_with_errno(const char *what)
{
    if (errno == EAGAIN)
        fail("%s: the server has done nothing for %d seconds", what, PATIENCE);
    fail("%s: %s", what, g_strerror(errno));
}

void
wire_poll(Wire *wire, guint usec)
{
    wire->polls_for = (gint64)usec * 1000;
}

void
wire_queue(Wire *wire, const void *data, gsize length, gint64 *sent_at)
{
    if (length > WIRE_QUEUE - wire->queued || wire->n_stamps == WIRE_REQUESTS)
        wire_flush(wire);
    memcpy(wire->queue + wire->queued, data, length);
    wire->queued += length;
    if (sent_at != NULL)
        wire->stamps[wire->n_stamps++] = sent_at;
}

void
wire_flush(Wire *wire)
{
    gint64 now = wire->n_stamps > 0 ? clock_now() : 0;
    gsize sent = 0;

    for (guint i = 0; i < wire->n_stamps; i++)
        *wire->stamps[i] = now;
    wire->n_stamps = 0;
    while (sent < wire->queued) {
        gssize n = send(wire->fd, wire->queue + sent, wire->queued - sent, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            fail_with_errno("sending to the server");
        sent += n > 0 ? (gsize)n : 0;
    }
    wire->queued = 0;
}

/* Makes room behind what has been received. */
static gsize
make_room(Wire *wire)
{
    if (wire->begin == wire->end) {
        wire->begin = wire->end = 0;
    } else if (wire->end > WIRE_BUFFER / 2) {
        memmove(wire->buffer, wire->buffer + wire->begin, wire->end - wire->begin);
        wire->end -= wire->begin;
        wire->begin = 0;
    }
    return MIN(WIRE_BUFFER - wire->end, wire->sink != NULL ? MOST_BESIDE_SINK : WIRE_BUFFER);
}

/* Looks for what has come for as long as the wire polls, then waits. */
static gssize
receive_some(Wire *wire, gsize room)
{
    const gint64 end = wire->polls_for > 0 ? clock_now() + wire->polls_for : 0;
    gboolean polls;
    gssize n;

    do {
        polls = end != 0 && clock_now() < end;
        n = recv(wire->fd, wire->buffer + wire->end, room, polls ? MSG_DONTWAIT : 0);
    } while (n < 0 && (errno == EINTR || (polls && errno == EAGAIN)));
    return n;
}

/* Receives what there is, or waits for it; 0 at the end of the stream. */
static gsize
receive(Wire *wire)
{
    gsize room = make_room(wire);
    gssize n;

    wire_flush(wire);
    n = receive_some(wire, room);
    if (n < 0)
        fail_with_errno("receiving from the server");
    wire->received_at = clock_now();
    wire->end += (gsize)n;
    wire->n_received += (guint64)n;
    return (gsize)n;
}

G_NORETURN static void
fail_of_end(void)
{
    fail("the server closed the connection in the middle of an answer");
}

static void
receive_more(Wire *wire)
{
    if (receive(wire) == 0)
        fail_of_end();
}

const guint8 *
wire_need(Wire *wire, gsize length)
{
    while (wire->end - wire->begin < length)
        receive_more(wire);
    return wire->buffer + wire->begin;
}

const guint8 *
wire_some(Wire *wire, gsize most, gsize *out_length)
{
    wire_need(wire, 1);
    *out_length = MIN(most, wire->end - wire->begin);
    return wire->buffer + wire->begin;
}

void
wire_take(Wire *wire, gsize length)
{
    wire->begin += length;
}

/* What is still with the kernel goes into the sink. */
static gsize
drop(Wire *wire, gsize most)
{
    gssize n;

    wire_flush(wire);
    do
        n = sink_drop(wire->sink, wire->fd, most);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        fail_with_errno("receiving from the server");
    if (n == 0)
        fail_of_end();
    wire->received_at = clock_now();
    wire->n_received += (guint64)n;
    return (gsize)n;
}

void
wire_skip(Wire *wire, guint64 length)
{
    while (length > 0) {
        gsize n;

        if (wire->sink != NULL && wire->begin == wire->end) {
            length -= drop(wire, length);
            continue;
        }
        wire_some(wire, MIN(length, WIRE_BUFFER), &n);
        wire_take(wire, n);
        length -= n;
    }
}

void
wire_expect_end(Wire *wire)
{
    if (wire->begin != wire->end || receive(wire) != 0)
        fail("the server sent something after NBD_CMD_DISC");
}
