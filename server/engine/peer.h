/* SPDX-License-Identifier: LGPL-2.1-or-later
 * peer.h - who is at the other end of a connection. */
#ifndef STRATA_PEER_H
#define STRATA_PEER_H

#include "inet.h"

#include <sys/types.h>

typedef enum {
    PEER_TCP,
    PEER_UNIX,
    PEER_VSOCK,
    PEER_OTHER, /* a socket that was handed over and tells nothing of its other end: of a pair */
} PeerKind;

/* Filled when the connection is accepted, its TLS half by the TLS handshake; constant in the
 * transmission phase. Text in the TLS half comes from the client, escape it before printing. */
typedef struct {
    PeerKind kind;
    char *address;    /* for people: "192.0.2.7:40312", "unix uid 1000 pid 4711", "vsock 3:1024" */
    char *host;       /* what counts as one peer: "192.0.2.7", "unix uid 1000", "vsock 3" */
    InetAddress inet; /* TCP: else of no family */
    uid_t uid;        /* Unix */
    gid_t *groups;    /* Unix: the first is the one that the process runs with, the others it has
                         besides; NULL: none are known */
    guint n_groups;
    guint32 cid; /* vsock */

    gboolean is_encrypted;
    char *subject; /* distinguished name (RFC 4514) of a verified client certificate, or NULL */
    char **names;  /* its subject alternative names, each as "DNS:...", "IP:...", "URI:..." or
                      "email:..."; NULL: none */
    char *psk_identity; /* or NULL */
} Peer;

/* What the system tells about the other end of the socket @fd. */
void peer_init(Peer *peer, int fd);
void peer_clear(Peer *peer);

#endif
