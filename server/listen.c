/* SPDX-License-Identifier: LGPL-2.1-or-later
 * listen.c - listening sockets: Unix sockets that appear when they are connectable, TCP sockets on
 * every address of a name, and their URIs. */
#include "listen.h"

#include "proto.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <strata/strata.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128

/* How often another free port is tried when the first address's port is taken on the second. */
#define FREE_PORT_TRIES 16

static gboolean throw(GError * *error, StrataError code, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static gboolean throw(GError * *error, StrataError code, const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list arguments;

    va_start(arguments, format);
    message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, STRATA_ERROR, code, message);
    return FALSE;
}

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

static Listener *
listener_new(int family)
{
    Listener *listener = g_new0(Listener, 1);

    listener->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return listener;
}

static gboolean
fill_address(struct sockaddr_un *address, const char *path, GError **error)
{
    if (strlen(path) >= sizeof address->sun_path)
        return throw(error, STRATA_ERROR_IO,
                     "the socket path '%s' is %zu bytes long, but %zu are the system's limit; "
                     "choose a shorter one",
                     path, strlen(path), sizeof address->sun_path - 1);
    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(address->sun_path, path, strlen(path) + 1);
    return TRUE;
}

/* Whether nobody listens on the socket at @path. A full queue is somebody, too. */
static gboolean
is_stale(const char *path)
{
    struct sockaddr_un address;
    int fd;
    gboolean refused;

    if (!fill_address(&address, path, NULL))
        return FALSE;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return FALSE;
    refused = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

/* Whether what stands at @path may be replaced; nothing there is fine. */
static gboolean
check_place(const char *path, gboolean *out_exists, GError **error)
{
    struct stat found;

    *out_exists = lstat(path, &found) == 0;
    if (!*out_exists)
        return TRUE;
    if (!S_ISSOCK(found.st_mode))
        return throw(error, STRATA_ERROR_IO,
                     "cannot listen on '%s': it exists and is not a socket; choose another path",
                     path);
    if (!is_stale(path))
        return throw(error, STRATA_ERROR_IO,
                     "cannot listen on '%s': the socket is busy, another server listens there; "
                     "stop it or choose another path",
                     path);
    return TRUE;
}

/* Moves the socket from its temporary name to @path. */
static gboolean
put_in_place(const char *temporary, const char *path, GError **error)
{
    gboolean exists;
    unsigned int flags;

    if (!check_place(path, &exists, error))
        return FALSE;
    flags = exists ? 0 : RENAME_NOREPLACE;
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, flags) == 0)
        return TRUE;
    return throw(error, STRATA_ERROR_IO, "cannot listen on '%s': %s", path, g_strerror(errno));
}

static gboolean
bind_unix(Listener *listener, const char *temporary, GError **error)
{
    struct sockaddr_un address;
    struct stat made;

    if (!fill_address(&address, temporary, error))
        return FALSE;
    if (listener->fd < 0 || bind(listener->fd, (struct sockaddr *)&address, sizeof address) < 0)
        return throw(error, STRATA_ERROR_IO, "cannot listen on '%s': %s%s", listener->path,
                     g_strerror(errno),
                     errno == EACCES ? "; choose a directory that you may write to" : "");
    if (listen(listener->fd, BACKLOG) == 0 && lstat(temporary, &made) == 0) {
        listener->dev = made.st_dev;
        listener->inode = made.st_ino;
        if (put_in_place(temporary, listener->path, error))
            return TRUE;
    } else {
        throw(error, STRATA_ERROR_IO, "cannot listen on '%s': %s", listener->path,
              g_strerror(errno));
    }
    g_unlink(temporary);
    return FALSE;
}

/* Bound and listening under another name first, so that whoever sees the path can connect. The
 * other name is in the same directory, addressed through its descriptor: as short as need be. */
Listener *
listener_new_unix(const char *path, GError **error)
{
    g_autoptr(Listener) listener = NULL;
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *temporary = NULL;
    struct sockaddr_un address;
    gboolean exists, bound;
    int directory_fd;

    if (!fill_address(&address, path, error) || !check_place(path, &exists, error))
        return NULL;
    directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd < 0) {
        throw(error, STRATA_ERROR_IO, "cannot listen on '%s': the directory '%s': %s", path,
              directory, g_strerror(errno));
        return NULL;
    }
    listener = listener_new(AF_UNIX);
    listener->path = g_canonicalize_filename(path, NULL);
    temporary = g_strdup_printf("/proc/self/fd/%d/.strata-%d-%08x", directory_fd, (int)getpid(),
                                g_random_int());
    bound = bind_unix(listener, temporary, error);
    close(directory_fd);
    if (!bound)
        return NULL;
    return g_steal_pointer(&listener);
}

static gboolean
refuse_port(const char *port, GError **error)
{
    return throw(error, STRATA_ERROR_SPEC,
                 "'%s' is no port: expected a number from 0 to 65535 or the name of a service",
                 port);
}

/* getaddrinfo() would take " 80", "+80", and "-2" for 65534. RFC 6335: a name of a service has
 * letters, digits and hyphens, and begins with one of the former. */
static gboolean
check_port(const char *port, GError **error)
{
    if (!g_ascii_isalnum(*port))
        return refuse_port(port, error);
    if (strspn(port, "0123456789") == strlen(port) &&
        !g_ascii_string_to_unsigned(port, 10, 0, G_MAXUINT16, NULL, NULL))
        return refuse_port(port, error);
    return TRUE;
}

static guint
get_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;

    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static void
set_port(struct addrinfo *address, guint port)
{
    if (address->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)(gpointer)address->ai_addr)->sin6_port = htons((guint16)port);
    else
        ((struct sockaddr_in *)(gpointer)address->ai_addr)->sin_port = htons((guint16)port);
}

/* Returns NULL with errno set. */
static Listener *
bind_tcp(const struct addrinfo *address, const char *host)
{
    g_autoptr(Listener) listener = listener_new(address->ai_family);
    int on = 1;

    if (listener->fd < 0)
        return NULL;
    setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* IPv4 has a socket of its own. */
    if (address->ai_family == AF_INET6)
        setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(listener->fd, address->ai_addr, address->ai_addrlen) < 0 ||
        listen(listener->fd, BACKLOG) < 0)
        return NULL;
    listener->host = g_strdup(host == NULL ? "localhost" : host);
    listener->port = get_port(listener->fd);
    return g_steal_pointer(&listener);
}

/* One try at all @addresses. An address that this machine does not have is left out as long as
 * another is there. Returns 0, or the errno that ended the try. */
static int
bind_all(GPtrArray *listeners, struct addrinfo *addresses, const char *host, guint port)
{
    int last_errno = EADDRNOTAVAIL;

    for (struct addrinfo *address = addresses; address != NULL; address = address->ai_next) {
        Listener *listener;

        if (address->ai_family != AF_INET && address->ai_family != AF_INET6)
            continue;
        set_port(address, port);
        listener = bind_tcp(address, host);
        if (listener != NULL) {
            g_ptr_array_add(listeners, listener);
            port = listener->port;
            continue;
        }
        last_errno = errno;
        if (last_errno != EADDRNOTAVAIL && last_errno != EAFNOSUPPORT)
            return last_errno;
    }
    return listeners->len > 0 ? 0 : last_errno;
}

static guint
first_port(const struct addrinfo *address)
{
    if (address->ai_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(gconstpointer)address->ai_addr)->sin6_port);
    return ntohs(((const struct sockaddr_in *)(gconstpointer)address->ai_addr)->sin_port);
}

static GPtrArray *
bind_with_tries(struct addrinfo *addresses, const char *host, int *out_errno)
{
    guint port = first_port(addresses);
    guint tries = port == 0 ? FREE_PORT_TRIES : 1;

    for (guint i = 0; i < tries; i++) {
        g_autoptr(GPtrArray) bound = g_ptr_array_new_with_free_func((GDestroyNotify)listener_free);

        *out_errno = bind_all(bound, addresses, host, port);
        if (*out_errno == 0)
            return g_steal_pointer(&bound);
        if (*out_errno != EADDRINUSE)
            break;
    }
    return NULL;
}

/* @host without the brackets of an IPv6 address, which belong to URIs. */
static char *
strip_brackets(const char *host)
{
    gsize length = host == NULL ? 0 : strlen(host);

    if (length >= 2 && host[0] == '[' && host[length - 1] == ']')
        return g_strndup(host + 1, length - 2);
    return g_strdup(host);
}

static const char *
advise_on_bind(int bind_errno)
{
    switch (bind_errno) {
    case EADDRINUSE:
        return "; choose another port";
    case EADDRNOTAVAIL:
        return "; choose an address that this machine has";
    case EACCES:
        return "; only privileged users may take a low port: choose one from 1024 up";
    default:
        return "";
    }
}

static gboolean
refuse_lookup(int failed, const char *host, const char *port, GError **error)
{
    if (failed == EAI_SERVICE)
        return refuse_port(port, error);
    return throw(error, STRATA_ERROR_SPEC, "cannot listen on %s, port %s: %s",
                 host == NULL ? "every interface" : host, port,
                 failed == EAI_SYSTEM ? g_strerror(errno) : gai_strerror(failed));
}

gboolean
listener_add_tcp(GPtrArray *listeners, const char *host_or_brackets, const char *port,
                 GError **error)
{
    g_autofree char *host = strip_brackets(host_or_brackets);
    struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
    struct addrinfo *addresses;
    g_autoptr(GPtrArray) bound = NULL;
    int failed, bind_errno;

    if (port == NULL)
        port = NBD_DEFAULT_PORT;
    if (!check_port(port, error))
        return FALSE;
    if (host != NULL && *host == '\0')
        return throw(error, STRATA_ERROR_SPEC, "the address to listen on is empty");
    failed = getaddrinfo(host, port, &hints, &addresses);
    if (failed != 0)
        return refuse_lookup(failed, host, port, error);
    bound = bind_with_tries(addresses, host, &bind_errno);
    freeaddrinfo(addresses);
    if (bound == NULL)
        return throw(error, STRATA_ERROR_IO, "cannot listen on %s, port %s: %s%s",
                     host == NULL ? "every interface" : host, port, g_strerror(bind_errno),
                     advise_on_bind(bind_errno));
    g_ptr_array_extend_and_steal(listeners, g_steal_pointer(&bound));
    return TRUE;
}

/* What a client on this machine can connect to, in the brackets that IPv6 wants. */
static char *
uri_host(const char *host)
{
    if (g_str_equal(host, "0.0.0.0") || g_str_equal(host, "::") || *host == '\0')
        return g_strdup("localhost");
    if (strchr(host, ':') != NULL)
        return g_strdup_printf("[%s]", host);
    return g_strdup(host);
}

char *
listener_get_uri(const Listener *listener, const char *export_name)
{
    g_autofree char *name = g_uri_escape_string(export_name, "/@:", FALSE);
    g_autofree char *host = NULL;
    g_autofree char *path = NULL;

    if (listener->path != NULL) {
        path = g_uri_escape_string(listener->path, "/", FALSE);
        return g_strdup_printf("nbd+unix:///%s?socket=%s", name, path);
    }
    host = uri_host(listener->host);
    return g_strdup_printf("nbd://%s:%u/%s", host, listener->port, name);
}
