/* SPDX-License-Identifier: LGPL-2.1-or-later
 * peer.c - who is at the other end of a connection. */
#include "peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <linux/vm_sockets.h>

static void
init_inet(Peer *peer, int family, gconstpointer bytes, guint port)
{
    peer->kind = PEER_TCP;
    peer->inet = inet_address_make(family, bytes);
    peer->host = inet_address_to_string(&peer->inet);
    peer->address =
        g_strdup_printf(peer->inet.family == AF_INET6 ? "[%s]:%u" : "%s:%u", peer->host, port);
}

/* Below Linux 4.13 there is only the first to be had. Asked without room, the kernel tells how much
 * it needs. */
static void
init_groups(Peer *peer, int fd, gid_t first)
{
    socklen_t length = 0;
    gid_t *groups;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &length) == 0 || errno != ERANGE)
        length = 0;
    groups = g_malloc(sizeof *groups + length);
    groups[0] = first;
    if (length > 0 && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups + 1, &length) < 0)
        length = 0;
    peer->groups = groups;
    peer->n_groups = 1 + length / (guint)sizeof *groups;
}

static void
init_unknown(Peer *peer)
{
    peer->kind = PEER_OTHER;
    peer->host = g_strdup("unknown");
    peer->address = g_strdup("unknown");
}

/* One end of a socketpair(2), for example on standard input: its credentials are those of who made
 * the pair, say a daemon of root's, and not of who speaks through it. A socket that was accepted
 * has the name of its listener. */
static gboolean
has_no_name(int fd)
{
    struct sockaddr_un name;
    socklen_t length = sizeof name;

    return getsockname(fd, (struct sockaddr *)&name, &length) < 0 ||
           length <= sizeof name.sun_family;
}

static void
init_unix(Peer *peer, int fd)
{
    struct ucred credentials = { .uid = (uid_t)-1 };
    socklen_t length = sizeof credentials;

    if (has_no_name(fd) || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) {
        init_unknown(peer);
        return;
    }
    peer->kind = PEER_UNIX;
    init_groups(peer, fd, credentials.gid);
    peer->uid = credentials.uid;
    peer->host = g_strdup_printf("unix uid %u", credentials.uid);
    peer->address = g_strdup_printf("%s pid %d", peer->host, credentials.pid);
}

static void
init_vsock(Peer *peer, const struct sockaddr_vm *address)
{
    peer->kind = PEER_VSOCK;
    peer->cid = address->svm_cid;
    peer->host = g_strdup_printf("vsock %u", address->svm_cid);
    peer->address = g_strdup_printf("%s:%u", peer->host, address->svm_port);
}

void
peer_init(Peer *peer, int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in inet4;
        struct sockaddr_in6 inet6;
        struct sockaddr_vm vsock;
        struct sockaddr_storage storage;
    } address = { .any = { .sa_family = AF_UNSPEC } };
    socklen_t length = sizeof address;

    *peer = (Peer){ .kind = PEER_OTHER, .uid = (uid_t)-1 };
    if (getpeername(fd, &address.any, &length) < 0)
        address.any.sa_family = AF_UNSPEC;
    if (address.any.sa_family == AF_INET)
        init_inet(peer, AF_INET, &address.inet4.sin_addr, ntohs(address.inet4.sin_port));
    else if (address.any.sa_family == AF_INET6)
        init_inet(peer, AF_INET6, &address.inet6.sin6_addr, ntohs(address.inet6.sin6_port));
    else if (address.any.sa_family == AF_UNIX)
        init_unix(peer, fd);
    else if (address.any.sa_family == AF_VSOCK)
        init_vsock(peer, &address.vsock);
    else
        init_unknown(peer);
}

void
peer_clear(Peer *peer)
{
    g_clear_pointer(&peer->groups, g_free);
    g_clear_pointer(&peer->address, g_free);
    g_clear_pointer(&peer->host, g_free);
    g_clear_pointer(&peer->subject, g_free);
    g_clear_pointer(&peer->names, g_strfreev);
    g_clear_pointer(&peer->psk_identity, g_free);
}
