/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tls-credentials.h - what a server proves itself with, and what it verifies clients with, as its
 * files had it when they were read. */
#ifndef STRATA_TLS_CREDENTIALS_H
#define STRATA_TLS_CREDENTIALS_H

#include <glib.h>
#include <gnutls/gnutls.h>

/* Where it is read from; one of the first two at least. */
typedef struct {
    const char *certificates; /* (nullable) a directory as nbdkit and QEMU have it */
    const char *psk_file;     /* (nullable) as psktool writes it */
    gboolean verify_peer;     /* a client without a certificate of our CA is sent away */
    gboolean had_revocations; /* a list of them is in force: that it is gone is an error */
} TlsCredentialFiles;

/* What is read in the directory of certificates; the list of revoked ones need not be there. */
#define TLS_CA_FILE          "ca-cert.pem"
#define TLS_REVOKED_FILE     "ca-crl.pem"
#define TLS_CERTIFICATE_FILE "server-cert.pem"
#define TLS_KEY_FILE         "server-key.pem"

/* Immutable and counted: sessions hold on to what they began with while newer ones are read. Any
 * thread. */
typedef struct _TlsCredentials TlsCredentials;

/* Returns NULL with @error, which names the file. */
TlsCredentials *tls_credentials_load(const TlsCredentialFiles *files, GError **error);
TlsCredentials *tls_credentials_ref(TlsCredentials *credentials);
void tls_credentials_unref(TlsCredentials *credentials);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TlsCredentials, tls_credentials_unref)

/* Whether there was a list of revoked certificates. */
gboolean tls_credentials_have_revocations(const TlsCredentials *credentials);

/* (nullable): the first name in the file of keys */
const char *tls_credentials_get_psk_name(const TlsCredentials *credentials);

/* Has @session use them; they must outlive it. Returns a code of GnuTLS's. */
int tls_credentials_apply(const TlsCredentials *credentials, gnutls_session_t session);

#endif
