/* SPDX-License-Identifier: LGPL-2.1-or-later
 * stream.h - the bytes to and from one client: whole messages or failure, nothing in between. */
#ifndef STRATA_STREAM_H
#define STRATA_STREAM_H

#include "tls/tls-session.h"

#include <glib.h>
#include <sys/uio.h>

/* One thread may receive while another sends; neither twice at once. */
typedef struct {
    int fd;          /* owned */
    TlsSession *tls; /* owned; NULL: in plain text */
    gint moved;      /* atomic: changes when bytes have come or gone */
    gsize most_sent; /* by one system call; 0: no limit */
} Stream;

/* Takes @fd over. */
void stream_init(Stream *stream, int fd);

/* Over TLS, tells the client that this is the end: waits as sending does, and stream_shut() ends
 * the wait. No thread may use it any more. */
void stream_say_goodbye(Stream *stream);

/* Closes it. No thread may use it. */
void stream_close(Stream *stream);

/* From here on everything goes through @session, which is on the same socket and is taken over. No
 * other thread may receive or send. */
void stream_start_tls(Stream *stream, TlsSession *session);

/* From here on .moved tells of progress at least every @milliseconds, also while a thread waits for
 * the rest of what it receives or sends. Before there are such threads. */
void stream_show_progress(Stream *stream, guint milliseconds);

/* Exactly @length bytes; FALSE when the client has gone or the stream was shut down. */
gboolean stream_receive(Stream *stream, void *buffer, gsize length);

/* Reads @length bytes and drops them. */
gboolean stream_drain(Stream *stream, guint64 length);

/* Whether a byte or the end of the stream can be received within @timeout_ms. */
gboolean stream_wait(Stream *stream, int timeout_ms);

/* Whether the other side can still read, as far as is known without sending to it. */
gboolean stream_is_open(Stream *stream);

/* All of @pieces, which are changed on the way. */
gboolean stream_send(Stream *stream, struct iovec *pieces, gsize n_pieces);

/* Nothing more comes in: a thread in stream_receive() returns. What is being sent goes out. */
void stream_shut_in(Stream *stream);

/* Nothing more in either direction. */
void stream_shut(Stream *stream);

#endif
