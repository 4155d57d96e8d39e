/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tls-session.c - records to and from one client.
 *
 * GnuTLS lets one thread receive while another sends, but leaves key updates to the caller
 * (its manual, "Thread safety"): a client's request for one arrives in the receiving thread and
 * changes what the sending one works with. So only one thread at a time is in the session here,
 * which is the rule that always holds. That thread has the turn. The socket does not block, and who
 * has nothing to receive waits for the socket without the turn. Who sends keeps it until the record
 * is out, since GnuTLS must not be asked for anything else between the halves of one. So a client
 * that does not read its answers is not listened to meanwhile, and its own requests wait for it. */
#include "tls-session.h"

#include "late-gnutls.h"
#include "tls-identity.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <strata/strata.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a record can hold (RFC 8446, section 5.1). */
#define RECORD_SIZE 16384

/* A message of the handshake, and that is mostly a client's chain of certificates. */
#define MAX_HANDSHAKE_MESSAGE 65536

/* All that a client may send in a handshake, in bytes; and afterwards, between two records with
 * data: requests for new keys, and what it takes to send one record. */
#define MAX_HANDSHAKE (4 * MAX_HANDSHAKE_MESSAGE)

struct _TlsSession {
    gnutls_session_t session;
    TlsCredentials *credentials; /* owned */
    int fd;
    gint *moved;          /* atomic, not owned: counts that bytes have come or gone */
    gsize allowance;      /* what may be received yet, in bytes */
    gboolean overdrawn;   /* it was not enough */
    gboolean has_pending; /* written with the turn to receive, read by who may receive */

    GMutex lock;             /* guards what follows; not held in calls of GnuTLS */
    GCond passed;            /* signalled when the turn is free */
    gboolean taken;          /* a thread has the turn */
    gboolean receiver_waits; /* who sends lets it go first, between records */
};

static void
take_turn_to_send(TlsSession *session)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&session->lock);

    while (session->taken || session->receiver_waits)
        g_cond_wait(&session->passed, &session->lock);
    session->taken = TRUE;
}

static void
take_turn_to_receive(TlsSession *session)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&session->lock);

    session->receiver_waits = TRUE;
    while (session->taken)
        g_cond_wait(&session->passed, &session->lock);
    session->receiver_waits = FALSE;
    session->taken = TRUE;
}

static gboolean
try_turn_to_receive(TlsSession *session)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&session->lock);

    if (session->taken)
        return FALSE;
    session->taken = TRUE;
    return TRUE;
}

static void
pass_turn(TlsSession *session)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&session->lock);

    session->taken = FALSE;
    g_cond_broadcast(&session->passed);
}

/* However the socket's end looks, the next call of GnuTLS tells of it. */
static void
wait_for_socket(TlsSession *session, short events)
{
    struct pollfd entry = { .fd = session->fd, .events = events };

    if (poll(&entry, 1, -1) > 0)
        g_atomic_int_inc(session->moved);
}

/* The same for who sends, and may have others told before a longer wait. */
static void
wait_for_room(TlsSession *session, const StreamWait **wait)
{
    struct pollfd entry = { .fd = session->fd, .events = POLLOUT };

    if (*wait != NULL && poll(&entry, 1, STREAM_MOMENT_MS) == 0) {
        (*wait)->func((*wait)->data);
        *wait = NULL;
    }
    wait_for_socket(session, POLLOUT);
}

static gboolean
is_to_be_repeated(gssize status)
{
    return status == GNUTLS_E_AGAIN || status == GNUTLS_E_INTERRUPTED;
}

TlsSession *
tls_session_new(TlsCredentials *credentials, int fd, gint *moved, GError **error)
{
    g_autoptr(TlsSession) session = g_new0(TlsSession, 1);
    int status;

    session->fd = fd;
    session->moved = moved;
    session->credentials = tls_credentials_ref(credentials);
    g_mutex_init(&session->lock);
    g_cond_init(&session->passed);
    /* No tickets: a session that is resumed would come in by what its client once was. */
    status = gnutls_init(&session->session, GNUTLS_SERVER | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS);
    if (status >= 0)
        status = tls_credentials_apply(credentials, session->session);
    if (status < 0) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT, "cannot set TLS up: %s",
                    gnutls_strerror(status));
        return NULL;
    }
    gnutls_handshake_set_max_packet_length(session->session, MAX_HANDSHAKE_MESSAGE);
    gnutls_transport_set_int(session->session, fd);
    return g_steal_pointer(&session);
}

void
tls_session_free(TlsSession *session)
{
    if (session->session != NULL)
        gnutls_deinit(session->session);
    tls_credentials_unref(session->credentials);
    g_mutex_clear(&session->lock);
    g_cond_clear(&session->passed);
    g_free(session);
}

/* Why the client's certificate is not taken, in a sentence of GnuTLS's; NULL if it is. */
static char *
describe_verification(gnutls_session_t session)
{
    unsigned flaws = gnutls_session_get_verify_cert_status(session);
    gnutls_datum_t text = { 0 };
    char *copy;

    if (flaws == 0 ||
        gnutls_certificate_verification_status_print(flaws, GNUTLS_CRT_X509, &text, 0) < 0)
        return NULL;
    copy = g_strchomp(g_strndup((const char *)text.data, text.size));
    gnutls_free(text.data);
    return copy;
}

/* What a client means by its last word. */
static const char *
explain_alert(gnutls_alert_description_t alert)
{
    switch (alert) {
    case GNUTLS_A_BAD_CERTIFICATE:
    case GNUTLS_A_CERTIFICATE_EXPIRED:
    case GNUTLS_A_CERTIFICATE_REVOKED:
    case GNUTLS_A_CERTIFICATE_UNKNOWN:
    case GNUTLS_A_UNKNOWN_CA:
    case GNUTLS_A_UNSUPPORTED_CERTIFICATE:
        return "the client does not accept the server's certificate";
    default:
        return "the client broke off";
    }
}

/* What is most likely behind what GnuTLS says. A wrong key shows as a parameter that does not fit
 * (TLS 1.3) or as a message that cannot be decrypted (TLS 1.2), and an unknown name of one as
 * either, so that names cannot be tried out. */
static const char *
explain_failure(const TlsSession *session, int status)
{
    if (session->overdrawn)
        return "the client has sent more than a handshake takes";
    switch (status) {
    case GNUTLS_E_PULL_ERROR:
    case GNUTLS_E_PUSH_ERROR:
    case GNUTLS_E_PREMATURE_TERMINATION:
        return "the client broke off; perhaps it does not accept the server's certificate, or the "
               "name in it";
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
        return explain_alert(gnutls_alert_get(session->session));
    case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
        return "the client's certificate is not accepted";
    case GNUTLS_E_NO_CERTIFICATE_FOUND:
    case GNUTLS_E_CERTIFICATE_REQUIRED:
        return "the client has shown no certificate, which it has to";
    case GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER:
    case GNUTLS_E_DECRYPTION_FAILED:
        return "the client's pre-shared key, or the name of it, is perhaps wrong";
    case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
    case GNUTLS_E_NO_CIPHER_SUITES:
    case GNUTLS_E_NO_COMMON_KEY_SHARE:
    case GNUTLS_E_INSUFFICIENT_CREDENTIALS:
        return "there is no version of TLS, cipher suite or kind of credentials that both sides "
               "have";
    case GNUTLS_E_UNEXPECTED_PACKET:
    case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
    case GNUTLS_E_RECORD_OVERFLOW:
        return "what the client has sent is no TLS";
    default:
        return "GnuTLS ended it";
    }
}

static gboolean
refuse_handshake(TlsSession *session, int status, GError **error)
{
    g_autofree char *flaws = NULL;
    const char *detail = NULL;

    if (status == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR)
        detail = flaws = describe_verification(session->session);
    else if (status == GNUTLS_E_FATAL_ALERT_RECEIVED)
        detail = gnutls_alert_get_name(gnutls_alert_get(session->session));
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_REMOTE, "the TLS handshake failed: %s (%s%s%s)",
                explain_failure(session, status), gnutls_strerror(status),
                detail == NULL ? "" : " ", detail == NULL ? "" : detail);
    return FALSE;
}

/* The sender and the receiver wait by poll(). */
static gboolean
stop_blocking(int fd, GError **error)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) >= 0)
        return TRUE;
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO, "cannot set the socket up for TLS: %s",
                g_strerror(errno));
    return FALSE;
}

gboolean
tls_session_kernel_can(void)
{
    static gsize answer; /* 1: no, 2: yes */

    if (g_once_init_enter(&answer)) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        /* One that is not connected is refused either way, but for another reason. */
        gboolean can = fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") < 0 &&
                       errno != ENOENT;

        if (fd >= 0)
            close(fd);
        g_once_init_leave(&answer, can ? 2 : 1);
    }
    return answer == 2;
}

/* recv() for GnuTLS, as long as the client has not sent too much. */
static ssize_t
receive_bounded(gnutls_transport_ptr_t data, void *buffer, size_t length)
{
    TlsSession *session = data;
    ssize_t received;

    if (length > session->allowance) {
        session->overdrawn = TRUE;
        errno = EPROTO;
        return -1;
    }
    received = recv(session->fd, buffer, length, 0);
    if (received > 0)
        session->allowance -= (gsize)received;
    return received;
}

/* GnuTLS collects a message that claims to have 16 MiB before it says that this is too much: in the
 * handshake and, with TLS 1.3, at any time afterwards. */
static void
bound_handshake(TlsSession *session)
{
    session->allowance = MAX_HANDSHAKE;
    gnutls_transport_set_ptr2(session->session, session, GINT_TO_POINTER(session->fd));
    gnutls_transport_set_pull_function(session->session, receive_bounded);
}

/* A function of ours in between would keep the kernel from doing its part. Whether it does shows
 * when the handshake has begun. */
static int
shake_hands(TlsSession *session)
{
    gboolean is_bounded = !tls_session_kernel_can();
    int status;

    if (is_bounded)
        bound_handshake(session);
    while ((status = gnutls_handshake(session->session)) < 0 && !gnutls_error_is_fatal(status)) {
        if (!is_bounded && gnutls_transport_is_ktls_enabled(session->session) == 0)
            bound_handshake(session);
        is_bounded = TRUE;
        if (status == GNUTLS_E_AGAIN)
            wait_for_socket(session,
                            gnutls_record_get_direction(session->session) ? POLLOUT : POLLIN);
    }
    session->allowance = MAX_HANDSHAKE;
    return status;
}

gboolean
tls_session_handshake(TlsSession *session, GError **error)
{
    int status;

    if (!stop_blocking(session->fd, error))
        return FALSE;
    status = shake_hands(session);
    if (status < 0) {
        gnutls_alert_send_appropriate(session->session, status);
        return refuse_handshake(session, status, error);
    }
    session->has_pending = gnutls_record_check_pending(session->session) > 0;
    return TRUE;
}

void
tls_session_identify(TlsSession *session, Peer *peer)
{
    peer->is_encrypted = TRUE;
    tls_identity_read(session->session, peer);
}

void
tls_session_deny(TlsSession *session)
{
    gnutls_alert_send(session->session, GNUTLS_AL_FATAL, GNUTLS_A_ACCESS_DENIED);
}

char *
tls_session_describe(TlsSession *session)
{
    static const char *const by_kernel[] = {
        [0] = "no",
        [GNUTLS_KTLS_RECV] = "for receiving",
        [GNUTLS_KTLS_SEND] = "for sending",
        [GNUTLS_KTLS_DUPLEX] = "yes",
    };
    gnutls_session_t inner = session->session;

    return g_strdup_printf("%s, %s, kernel TLS: %s",
                           gnutls_protocol_get_name(gnutls_protocol_get_version(inner)),
                           gnutls_ciphersuite_get(inner),
                           by_kernel[gnutls_transport_is_ktls_enabled(inner) & GNUTLS_KTLS_DUPLEX]);
}

/* Whether the socket's end has come. GnuTLS is not asked then: an end without good-bye would close
 * the session for sending as well, and a client that only closed its half, or a server that stops,
 * would lose the answers that are on their way. */
static gboolean
is_at_end(const TlsSession *session)
{
    guint8 byte;

    return recv(session->fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* Called with the turn. */
static gssize
receive_record(TlsSession *session, gpointer buffer, gsize length)
{
    gssize received;

    if (!session->has_pending && is_at_end(session))
        return 0;
    received = gnutls_record_recv(session->session, buffer, length);
    session->has_pending = gnutls_record_check_pending(session->session) > 0;
    if (received > 0)
        session->allowance = MAX_HANDSHAKE;
    return received;
}

gsize
tls_session_receive(TlsSession *session, gpointer buffer, gsize length)
{
    gssize received;

    do {
        if (!session->has_pending)
            wait_for_socket(session, POLLIN);
        take_turn_to_receive(session);
        received = receive_record(session, buffer, length);
        pass_turn(session);
    } while (is_to_be_repeated(received));
    /* All else is an end: a stream that was cut short, bad records, an alert, and a client of TLS
     * 1.2 that wants to shake hands anew, which could make it somebody else. */
    return received > 0 ? (gsize)received : 0;
}

gssize
tls_session_receive_now(TlsSession *session, gpointer buffer, gsize length)
{
    gssize received = GNUTLS_E_AGAIN;

    if (try_turn_to_receive(session)) {
        received = receive_record(session, buffer, length);
        pass_turn(session);
    }
    if (!is_to_be_repeated(received))
        return MAX(received, 0);
    errno = EAGAIN;
    return -1;
}

gboolean
tls_session_has_pending(const TlsSession *session)
{
    return session->has_pending;
}

/* Returns how much of @data was in the record, or 0 on failure. */
static gsize
send_record(TlsSession *session, gconstpointer data, gsize length, const StreamWait **wait)
{
    gssize sent;

    take_turn_to_send(session);
    do {
        sent = gnutls_record_send(session->session, data, length);
        if (sent == GNUTLS_E_AGAIN)
            wait_for_room(session, wait);
    } while (is_to_be_repeated(sent));
    g_atomic_int_inc(session->moved);
    pass_turn(session);
    return sent > 0 ? (gsize)sent : 0;
}

static gboolean
send_all(TlsSession *session, const guint8 *data, gsize length, const StreamWait **wait)
{
    while (length > 0) {
        gsize sent = send_record(session, data, MIN(length, RECORD_SIZE), wait);

        if (sent == 0)
            return FALSE;
        data += sent;
        length -= sent;
    }
    return TRUE;
}

typedef struct {
    struct iovec *at;
    gsize n_left;
} Pieces;

static void
step(Pieces *pieces, gsize length)
{
    pieces->at->iov_base = (guint8 *)pieces->at->iov_base + length;
    pieces->at->iov_len -= length;
    while (pieces->n_left > 0 && pieces->at->iov_len == 0) {
        pieces->at++;
        pieces->n_left--;
    }
}

/* Moves what the next record can hold into @record. Returns how much. */
static gsize
gather(Pieces *pieces, guint8 *record)
{
    gsize filled = 0;

    while (pieces->n_left > 0 && filled < RECORD_SIZE) {
        gsize length = MIN(pieces->at->iov_len, RECORD_SIZE - filled);

        memcpy(record + filled, pieces->at->iov_base, length);
        filled += length;
        step(pieces, length);
    }
    return filled;
}

/* Whole records of a large piece go out from where they lie; headers, and what is left of pieces,
 * share records. */
gboolean
tls_session_send(TlsSession *session, struct iovec *pieces, gsize n_pieces, const StreamWait *wait)
{
    Pieces rest = { .at = pieces, .n_left = n_pieces };
    guint8 record[RECORD_SIZE];

    step(&rest, 0);
    while (rest.n_left > 0) {
        gsize whole = rest.at->iov_len - rest.at->iov_len % RECORD_SIZE;

        if (whole > 0) {
            if (!send_all(session, rest.at->iov_base, whole, &wait))
                return FALSE;
            step(&rest, whole);
        } else if (!send_all(session, record, gather(&rest, record), &wait)) {
            return FALSE;
        }
    }
    return TRUE;
}

/* Where it cannot be said, for the socket is shut or a record went out in part, GnuTLS fails. */
void
tls_session_say_goodbye(TlsSession *session)
{
    int status;

    while (is_to_be_repeated(status = gnutls_bye(session->session, GNUTLS_SHUT_WR)))
        if (status == GNUTLS_E_AGAIN)
            wait_for_socket(session, POLLOUT);
}
