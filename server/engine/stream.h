/* SPDX-License-Identifier: LGPL-2.1-or-later
 * stream.h - the bytes to and from one client: whole messages or failure, nothing in between. */
#ifndef STRATA_STREAM_H
#define STRATA_STREAM_H

#include "tls/tls-session.h"

#include <glib.h>
#include <sys/uio.h>

/* One thread may receive while another sends; neither twice at once. */
typedef struct {
    int fd;              /* owned */
    gboolean is_unix;    /* a Unix socket; else TCP or vsock */
    TlsSession *tls;     /* owned; NULL: in plain text */
    gint moved;          /* atomic: changes when bytes have come or gone */
    gsize most_sent;     /* by one system call; 0: no limit */
    guint shown_within;  /* milliseconds: of stream_show_progress(); 0: no matter */
    int idle_ms;         /* of stream_expect_idleness() */
    gsize least_spliced; /* of stream_tune(): from which length on data is worth a pipe */
} Stream;

typedef enum {
    STREAM_CAME,  /* something was received */
    STREAM_IDLE,  /* nothing came within the time of stream_expect_idleness() */
    STREAM_ENDED, /* the client has gone, or the stream was shut down */
} StreamResult;

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

/* For a stream that much will be sent to: finds out how. Before there are other threads. */
void stream_tune(Stream *stream);

/* From here on stream_receive_some() waits for about @milliseconds, at most. */
void stream_expect_idleness(Stream *stream, guint milliseconds);

/* From 1 to @length bytes, waiting for the first; stream_receive_now() does not wait, and returns
 * STREAM_IDLE where nothing is there. @out_received: 0 but for STREAM_CAME */
StreamResult stream_receive_some(Stream *stream, guint8 *buffer, gsize length, gsize *out_received);
StreamResult stream_receive_now(Stream *stream, guint8 *buffer, gsize length, gsize *out_received);

/* Exactly @length bytes; FALSE when the client has gone or the stream was shut down. */
gboolean stream_receive(Stream *stream, void *buffer, gsize length);

/* Reads @length bytes and drops them. */
gboolean stream_drain(Stream *stream, guint64 length);

/* Whether a byte or the end of the stream can be received within @timeout_ms; -1: waits for it. */
gboolean stream_wait(Stream *stream, int timeout_ms);

/* Whether the other side can still read, as far as is known without sending to it. */
gboolean stream_is_open(Stream *stream);

/* All of @pieces, which are changed on the way. @wait: (nullable): called, perhaps, before the
 * client is waited for */
gboolean stream_send(Stream *stream, struct iovec *pieces, gsize n_pieces, const StreamWait *wait);

/* The same, and behind it @length bytes of a pipe. Not over TLS. */
gboolean stream_send_spliced(Stream *stream, struct iovec *pieces, gsize n_pieces, int pipe_fd,
                             gsize length, const StreamWait *wait);

/* Sends what can be sent of @data without waiting. Returns how many bytes that were; whatever went
 * wrong shows when the rest is sent. Over TLS it is nothing: a record that is half sent has to be
 * waited for. */
gsize stream_try_send(Stream *stream, gconstpointer data, gsize size);

/* Nothing more comes in: a thread in stream_receive() returns. What is being sent goes out. */
void stream_shut_in(Stream *stream);

/* Nothing more in either direction. */
void stream_shut(Stream *stream);

#endif
