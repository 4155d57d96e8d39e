/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tls.h - whether a server has TLS, with which credentials, and whom it lets in. */
#ifndef STRATA_TLS_H
#define STRATA_TLS_H

#include "engine.h"
#include "engine/peer.h"
#include "exports/access.h"
#include "tls-credentials.h"

/* proto.md, "Server-side requirements", calls them NOTLS, SELECTIVETLS and FORCEDTLS. */
typedef enum {
    TLS_OFF,
    TLS_ON,
    TLS_REQUIRE,
} TlsMode;

/* As the command line has them; NULL, or FALSE, for what is not given. */
typedef struct {
    char *mode;
    char *certificates;
    char *psk_file;
    gboolean verify_peer;
    char **authz;
} TlsSettings;

/* Whether they go together; reads no file. Errors: STRATA_ERROR_SPEC. */
gboolean tls_settings_check(const TlsSettings *settings, GError **error);

/* The mode of @settings, which were checked. Without --tls it is that of nbdkit, "on" if there are
 * credentials; but "require" where rules say who may come in, as plain text is anybody's. */
TlsMode tls_settings_get_mode(const TlsSettings *settings);

/* What clients can prove by @settings, which were checked. */
AccessProofs tls_settings_get_proofs(const TlsSettings *settings);

/* Returns: (transfer full): the files that tls_reload() reads, those that are links as what they
 * lead to now */
char **tls_settings_list_files(const TlsSettings *settings);

/* Reads the files of @settings, which were checked.
 * Returns: (transfer full): %NULL with @error, which names the file */
StrataTls *tls_new(const TlsSettings *settings, GError **error);
void tls_free(StrataTls *tls);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StrataTls, tls_free)

/* Reads the files anew, for connections that begin afterwards. If they are wrong, what was read
 * last stays. */
gboolean tls_reload(StrataTls *tls, GError **error);

/* The same, and tells the log how it went. */
void tls_reload_or_keep(StrataTls *tls);

/* @tls: (nullable): of all functions below; without it there is no TLS */
TlsMode tls_get_mode(const StrataTls *tls);

/* Returns: (transfer full): what was read last. Any thread. */
TlsCredentials *tls_ref_credentials(StrataTls *tls);

/* Whether @peer, whom the handshake has filled in, may come in at all. */
gboolean tls_admits(const StrataTls *tls, const Peer *peer);

/* Takes the URI of a listener; returns: (transfer full): what clients of this machine need to
 * connect with: another URI if TLS is required, else the same. */
char *tls_take_uri(StrataTls *tls, char *uri);

#endif
