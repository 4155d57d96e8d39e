/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tls-identity.h - who a client has proved to be. */
#ifndef STRATA_TLS_IDENTITY_H
#define STRATA_TLS_IDENTITY_H

#include "engine/peer.h"

#include <gnutls/x509-ext.h>

/* What the handshake of @session, which has succeeded, has verified: fills in names of @peer. */
void tls_identity_read(gnutls_session_t session, Peer *peer);

/* The names in a certificate: RFC 4514's text of the subject, and the alternative names. */
void tls_identity_read_certificate(gnutls_x509_crt_t certificate, Peer *peer);

#endif
