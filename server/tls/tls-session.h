/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tls-session.h - the server's side of a TLS session on a socket. */
#ifndef STRATA_TLS_SESSION_H
#define STRATA_TLS_SESSION_H

#include "engine/peer.h"
#include "tls-credentials.h"

#include <sys/uio.h>

/* Whom a thread tells that it will wait for the client to read, and for longer than a moment. */
typedef struct {
    void (*func)(gpointer data);
    gpointer data;
} StreamWait;

/* A client that reads all the time makes room within it, in milliseconds. */
#define STREAM_MOMENT_MS 2

/* After the handshake one thread may receive while another sends; neither twice at once. */
typedef struct _TlsSession TlsSession;

/* @fd: not taken over, outlives the session
 * @moved: atomic, outlives the session: changed when bytes have come or gone
 * Returns NULL with @error. */
TlsSession *tls_session_new(TlsCredentials *credentials, int fd, gint *moved, GError **error);
void tls_session_free(TlsSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TlsSession, tls_session_free)

/* Whether this kernel may do the encryption (KTLS). It is found out once, which takes a socket. Any
 * thread. */
gboolean tls_session_kernel_can(void);

/* Waits for the client as long as the socket does; to end it, shut the socket down. Tells the
 * client what was wrong. The socket does not block any more. */
gboolean tls_session_handshake(TlsSession *session, GError **error);

/* Fills in the TLS half of @peer. */
void tls_session_identify(TlsSession *session, Peer *peer);

/* Tells the client, who has proved who it is, that it may not come in. */
void tls_session_deny(TlsSession *session);

/* For the log: version, cipher suite, and what the kernel does of it. */
char *tls_session_describe(TlsSession *session);

/* From 1 to @length bytes, waiting for the first; 0 when the session is at its end, by the client's
 * good-bye or otherwise. */
gsize tls_session_receive(TlsSession *session, gpointer buffer, gsize length);

/* The same without waiting, neither for the client nor for who sends: -1 with errno EAGAIN if no
 * whole record is there. */
gssize tls_session_receive_now(TlsSession *session, gpointer buffer, gsize length);

/* Whether tls_session_receive() has something already that the socket does not show. For whoever
 * may receive. */
gboolean tls_session_has_pending(const TlsSession *session);

/* All of @pieces, which are changed on the way, in as few records as they take. @wait: (nullable):
 * called, perhaps, before the client is waited for */
gboolean tls_session_send(TlsSession *session, struct iovec *pieces, gsize n_pieces,
                          const StreamWait *wait);

/* Says good-bye, and waits for the socket to take it; to end that, shut the socket down. No thread
 * may be in the session. */
void tls_session_say_goodbye(TlsSession *session);

#endif
