/* SPDX-License-Identifier: LGPL-2.1-or-later
 * stream.h - the bytes to and from one client: whole messages or failure, nothing in between. */
#ifndef STRATA_STREAM_H
#define STRATA_STREAM_H

#include <glib.h>
#include <sys/uio.h>

/* One thread may receive while another sends; neither twice at once. */
typedef struct {
    int fd; /* owned */
} Stream;

/* Takes @fd over. */
void stream_init(Stream *stream, int fd);
void stream_close(Stream *stream);

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
