/* SPDX-License-Identifier: LGPL-2.1-or-later
 * address.h - an address to listen on, as the user writes it. */
#ifndef STRATA_ADDRESS_H
#define STRATA_ADDRESS_H

#include "engine.h"

typedef enum {
    ADDRESS_UNIX,
    ADDRESS_TCP,
    ADDRESS_VSOCK,
} AddressKind;

/* Read by strata_address_parse(), or made by one of the functions below. */
struct _StrataAddress {
    AddressKind kind;
    char *path;   /* Unix: as given */
    char *host;   /* TCP: without brackets; NULL: every interface */
    char *port;   /* TCP: the name or number of a service; "0": any free one */
    guint32 cid;  /* vsock: VMADDR_CID_ANY for whatever this machine has */
    guint32 slot; /* vsock: the port; VMADDR_PORT_ANY for any free one */
};

StrataAddress *address_new_unix(const char *path);

/* @host: may stand in brackets; NULL: every interface. @port: NULL for 10809 */
StrataAddress *address_new_tcp(const char *host, const char *port);

#endif
