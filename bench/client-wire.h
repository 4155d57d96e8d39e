/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-wire.h - bytes to and from a server: what is sent is queued and goes out in one write,
 * what comes is received into the same memory again and again.
 *
 * A Wire is one thread's. Whatever goes wrong is fatal. */
#ifndef STRATA_CLIENT_WIRE_H
#define STRATA_CLIENT_WIRE_H

#include <glib.h>

#include "client-sink.h"

#define WIRE_BUFFER   (256 * 1024) /* stays in the processor's second cache */
#define WIRE_QUEUE    (16 * 1024)
#define WIRE_REQUESTS 64

typedef struct {
    int fd;
    guint8 *buffer;
    gsize begin, end; /* of the buffer: received, and not yet taken */
    Sink *sink;       /* where wire_skip() puts what is not received yet; NULL: into the buffer */
    guint8 *queue;
    gsize queued;                  /* bytes */
    gint64 *stamps[WIRE_REQUESTS]; /* where to note when what is queued was sent */
    guint n_stamps;
    gint64 polls_for;   /* ns: how long it looks for what comes before it sleeps */
    gint64 received_at; /* the time after the last receive, ns */
    guint64 n_received; /* bytes */
} Wire;

/* Takes the connected socket. */
void wire_init(Wire *wire, int fd);
void wire_clear(Wire *wire);

/* From now on, what is skipped is dropped without a copy. */
void wire_use_sink(Wire *wire);

/* From now on it looks out for what comes for @usec before it sleeps: then the server has no
 * processor to wake. */
void wire_poll(Wire *wire, guint usec);

/* Queues at most WIRE_QUEUE bytes; they are sent at the latest before the wire waits. @sent_at,
 * which may be NULL, is given the time when they were, and stays in place until then. */
void wire_queue(Wire *wire, const void *data, gsize length, gint64 *sent_at);
void wire_flush(Wire *wire);

/* The next @length bytes, at most WIRE_BUFFER, in one piece; they stay until wire_take(). */
const guint8 *wire_need(Wire *wire, gsize length);

/* What has come, at least one byte, at most @most. */
const guint8 *wire_some(Wire *wire, gsize most, gsize *out_length);

/* Done with the first @length of the bytes that were given. */
void wire_take(Wire *wire, gsize length);

/* Drops the next @length bytes. */
void wire_skip(Wire *wire, guint64 length);

/* Waits until the server hangs up, with nothing more to say. */
void wire_expect_end(Wire *wire);

#endif
