/* SPDX-License-Identifier: LGPL-2.1-or-later
 * listen-vsock.c - vsock(7): between a virtual machine and its host. */
#include "listen-family.h"
#include "throw.h"

#include <errno.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h>

static const char *
advise(int failed)
{
    switch (failed) {
    case EAFNOSUPPORT:
        return "; this system has no vsock: load its kernel module, or use unix: or tcp:";
    case EADDRINUSE:
        return "; choose another port";
    case EADDRNOTAVAIL:
        return "; choose a CID that this machine has, or leave it out";
    case EACCES:
        return "; only privileged users may take a low port: choose one from 1024 up";
    default:
        return "";
    }
}

static gboolean
bind_vsock(Listener *listener, const StrataAddress *address)
{
    struct sockaddr_vm name = {
        .svm_family = AF_VSOCK,
        .svm_cid = address->cid,
        .svm_port = address->slot,
    };
    socklen_t length = sizeof name;

    if (listener->fd < 0 || bind(listener->fd, (struct sockaddr *)&name, sizeof name) < 0 ||
        listen(listener->fd, LISTEN_BACKLOG) < 0 ||
        getsockname(listener->fd, (struct sockaddr *)&name, &length) < 0)
        return FALSE;
    listener->cid = name.svm_cid;
    listener->port = name.svm_port;
    listener->is_chosen = address->slot == VMADDR_PORT_ANY;
    return TRUE;
}

gboolean
listen_vsock(GPtrArray *listeners, const StrataAddress *address, GError **error)
{
    g_autoptr(Listener) listener = listener_new(ADDRESS_VSOCK, AF_VSOCK);
    g_autofree char *cid = address->cid == VMADDR_CID_ANY ? g_strdup("any CID")
                                                          : g_strdup_printf("CID %u", address->cid);
    g_autofree char *port = address->slot == VMADDR_PORT_ANY
                                ? g_strdup("any free port")
                                : g_strdup_printf("port %u", address->slot);

    if (!bind_vsock(listener, address))
        return throw_error(error, STRATA_ERROR_IO, "cannot listen on vsock, %s, %s: %s%s", cid,
                           port, g_strerror(errno), advise(errno));
    g_ptr_array_add(listeners, g_steal_pointer(&listener));
    return TRUE;
}
