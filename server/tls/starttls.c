/* SPDX-License-Identifier: LGPL-2.1-or-later
 * starttls.c - from plain text to TLS, in the midst of a handshake. */
#include "engine/connection.h"

/* Who the client has proved to be, for the log; "" if it had not to. */
static char *
describe_identity(const Peer *peer)
{
    const char *name = peer->psk_identity != NULL ? peer->psk_identity : peer->subject;
    g_autofree char *shown = name == NULL ? NULL : strata_escape(name);

    if (shown == NULL)
        return g_strdup("");
    return g_strdup_printf(", %s \"%s\"", peer->psk_identity != NULL ? "key of" : "certificate of",
                           shown);
}

static gboolean
refuse_client(Connection *connection, TlsSession *session, const char *identity)
{
    tls_session_deny(session);
    connection_log_failure_as(connection, "refused", "no rule of --tls-authz admits the client%s",
                              identity);
    return FALSE;
}

static void
log_session(Connection *connection, TlsSession *session, const char *identity)
{
    g_autofree char *parameters = tls_session_describe(session);

    connection_log_event(connection, "tls", "TLS: %s%s", parameters, identity);
}

/* Nothing that was said in plain text counts: the client's bytes were read to the last one of the
 * option and not beyond, what comes next is for TLS alone, and what was negotiated is forgotten. */
gboolean
connection_start_tls(Connection *connection)
{
    StrataTls *tls = connection->owner->tls;
    g_autoptr(TlsCredentials) credentials = tls_ref_credentials(tls);
    g_autoptr(GError) error = NULL;
    g_autoptr(TlsSession) session =
        tls_session_new(credentials, connection->stream.fd, &connection->stream.moved, &error);
    g_autofree char *identity = NULL;

    connection->negotiation.refusal = REFUSED_TLS;
    if (session == NULL || !tls_session_handshake(session, &error)) {
        connection_log_failure(connection, "%s", error->message);
        return FALSE;
    }
    tls_session_identify(session, &connection->peer);
    identity = describe_identity(&connection->peer);
    if (!tls_admits(tls, &connection->peer))
        return refuse_client(connection, session, identity);
    negotiation_reset(&connection->negotiation);
    log_session(connection, session, identity);
    stream_start_tls(&connection->stream, g_steal_pointer(&session));
    return TRUE;
}
