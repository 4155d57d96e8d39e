/* SPDX-License-Identifier: LGPL-2.1-or-later
 * listen.c - listening sockets of every family, those that were handed over, and their URIs. */
#include "listen.h"

#include "inet.h"
#include "listen-family.h"
#include "throw.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static void
remove_own_socket(const Listener *listener)
{
    struct stat found;

    if (lstat(listener->path, &found) == 0 && found.st_dev == listener->dev &&
        found.st_ino == listener->inode)
        g_unlink(listener->path);
}

void
listener_free(Listener *listener)
{
    if (listener->path != NULL && listener->inode != 0)
        remove_own_socket(listener);
    if (listener->fd >= 0)
        close(listener->fd);
    g_free(listener->path);
    g_free(listener->host);
    g_free(listener);
}

Listener *
listener_new(AddressKind kind, int family)
{
    Listener *listener = g_new0(Listener, 1);

    listener->kind = kind;
    listener->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return listener;
}

gboolean
listener_add(GPtrArray *listeners, const StrataAddress *address, const StrataSocketRights *rights,
             GError **error)
{
    switch (address->kind) {
    case ADDRESS_UNIX:
        return listen_unix(listeners, address, rights, error);
    case ADDRESS_TCP:
        return listen_tcp(listeners, address, error);
    case ADDRESS_VSOCK:
        return listen_vsock(listeners, address, error);
    }
    return FALSE;
}

typedef union {
    struct sockaddr any;
    struct sockaddr_un local;
    struct sockaddr_in inet4;
    struct sockaddr_in6 inet6;
    struct sockaddr_vm vsock;
    struct sockaddr_storage storage;
} SocketName;

/* The kernel tells @length; a path may have no zero at its end, an abstract name begins with one.
 */
static char *
get_path(const SocketName *name, socklen_t length)
{
    gsize size = length - MIN(length, G_STRUCT_OFFSET(struct sockaddr_un, sun_path));
    const char *path = name->local.sun_path;

    if (size > 0 && *path == '\0') {
        g_autofree char *abstract = g_strndup(path + 1, size - 1);

        return g_strconcat("@", abstract, NULL);
    }
    return g_strndup(path, size);
}

/* The address of a TCP socket, an IPv6 one with its scope. */
static char *
get_host(const SocketName *name, socklen_t length)
{
    char host[NI_MAXHOST];

    if (getnameinfo(&name->any, length, host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0)
        return g_strdup("");
    return g_strdup(host);
}

static gboolean
describe(Listener *listener, const SocketName *name, socklen_t length)
{
    switch (name->any.sa_family) {
    case AF_UNIX:
        listener->kind = ADDRESS_UNIX;
        listener->path = get_path(name, length);
        return TRUE;
    case AF_INET:
    case AF_INET6:
        listener->kind = ADDRESS_TCP;
        listener->host = get_host(name, length);
        listener->port =
            ntohs(name->any.sa_family == AF_INET6 ? name->inet6.sin6_port : name->inet4.sin_port);
        return TRUE;
    case AF_VSOCK:
        listener->kind = ADDRESS_VSOCK;
        listener->cid = name->vsock.svm_cid;
        listener->port = name->vsock.svm_port;
        return TRUE;
    default:
        return FALSE;
    }
}

static int
get_option(int fd, int option)
{
    int value = 0;
    socklen_t length = sizeof value;

    return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
}

/* Why nobody can be accepted from @fd, or NULL. */
static const char *
find_fault(int fd)
{
    int type = get_option(fd, SO_TYPE);

    if (type < 0)
        return "is not a socket";
    if (type != SOCK_STREAM)
        return "is not a stream socket (ListenStream=)";
    if (get_option(fd, SO_ACCEPTCONN) == 0)
        return "does not listen; a connection that is there already (Accept=yes) needs --single";
    return NULL;
}

Listener *
listener_new_from_fd(int fd, GError **error)
{
    g_autoptr(Listener) listener = g_new0(Listener, 1);
    const char *fault = find_fault(fd);
    SocketName name = { .any = { .sa_family = AF_UNSPEC } };
    socklen_t length = sizeof name;

    listener->fd = -1;
    if (fault == NULL &&
        (getsockname(fd, &name.any, &length) < 0 || !describe(listener, &name, length)))
        fault = "is of a kind that NBD does not know; expected TCP, Unix or vsock";
    if (fault != NULL) {
        throw_error(error, STRATA_ERROR_SPEC, "the socket that was handed over as descriptor %d %s",
                    fd, fault);
        return NULL;
    }
    if (!g_unix_set_fd_nonblocking(fd, TRUE, NULL)) {
        throw_error(error, STRATA_ERROR_IO, "the socket that was handed over as descriptor %d: %s",
                    fd, g_strerror(errno));
        return NULL;
    }
    listener->fd = fd;
    return g_steal_pointer(&listener);
}

/* What a client on this machine can connect to, in the brackets that IPv6 wants. The scope of a
 * link-local address follows a percent sign, which a URI escapes (RFC 6874). */
static char *
uri_host(const char *host)
{
    g_auto(GStrv) parts = g_strsplit(host, "%", 2);

    if (g_str_equal(host, "0.0.0.0") || g_str_equal(host, "::") || *host == '\0')
        return g_strdup("localhost");
    if (strchr(host, ':') == NULL)
        return g_strdup(host);
    if (parts[1] == NULL)
        return g_strdup_printf("[%s]", host);
    return g_strdup_printf("[%s%%25%s]", parts[0], parts[1]);
}

char *
listener_get_uri(const Listener *listener, const char *export_name)
{
    g_autofree char *name = g_uri_escape_string(export_name, "/@:", FALSE);
    g_autofree char *place = NULL;

    switch (listener->kind) {
    case ADDRESS_UNIX:
        place = g_uri_escape_string(listener->path, "/", FALSE);
        return g_strdup_printf("nbd+unix:///%s?socket=%s", name, place);
    case ADDRESS_VSOCK:
        return g_strdup_printf("nbd+vsock://%u:%u/%s",
                               listener->cid == VMADDR_CID_ANY ? VMADDR_CID_LOCAL : listener->cid,
                               listener->port, name);
    case ADDRESS_TCP:
        break;
    }
    place = uri_host(listener->host);
    return g_strdup_printf("nbd://%s:%u/%s", place, listener->port, name);
}

static ListenerReach
reach_of_address(int family, gconstpointer bytes)
{
    const InetAddress address = inet_address_make(family, bytes);

    if (inet_address_is_any(&address))
        return REACH_EVERY_INTERFACE;
    return inet_address_is_loopback(&address) ? REACH_MACHINE : REACH_NETWORK;
}

ListenerReach
listener_get_reach(const Listener *listener)
{
    SocketName name = { .any = { .sa_family = AF_UNSPEC } };
    socklen_t length = sizeof name;

    if (listener->kind != ADDRESS_TCP || getsockname(listener->fd, &name.any, &length) < 0)
        return REACH_MACHINE;
    if (name.any.sa_family == AF_INET)
        return reach_of_address(AF_INET, &name.inet4.sin_addr);
    if (name.any.sa_family == AF_INET6)
        return reach_of_address(AF_INET6, &name.inet6.sin6_addr);
    return REACH_MACHINE;
}
