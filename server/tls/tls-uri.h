/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tls-uri.h - the NBD URI (doc/uri.md) of a server that wants TLS. */
#ifndef STRATA_TLS_URI_H
#define STRATA_TLS_URI_H

#include <glib.h>

/* What a client on this machine needs; each may be NULL. Local files are libnbd's addition to the
 * specification (nbd_connect_uri(3)). */
typedef struct {
    const char *certificates; /* directory */
    const char *psk_file;
    const char *psk_name;
} TlsUriParts;

/* Returns: (transfer full): @uri, which is nbd: or nbd+TRANSPORT:, with TLS required of the client
 */
char *tls_uri_require(const char *uri, const TlsUriParts *parts);

#endif
