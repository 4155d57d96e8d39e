/* SPDX-License-Identifier: LGPL-2.1-or-later
 * listen-tcp.c - TCP sockets on every address of a name, IPv4 and IPv6, all on one port. */
#include "listen-family.h"
#include "throw.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* How often another free port is tried when the first address's port is taken on the second. */
#define FREE_PORT_TRIES 16

static gboolean
refuse_port(const char *port, GError **error)
{
    return throw_error(
        error, STRATA_ERROR_SPEC,
        "'%s' is no port: expected a number from 0 to 65535 or the name of a service", port);
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
    g_autoptr(Listener) listener = listener_new(ADDRESS_TCP, address->ai_family);
    int on = 1;

    if (listener->fd < 0)
        return NULL;
    setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* IPv4 has a socket of its own. */
    if (address->ai_family == AF_INET6)
        setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(listener->fd, address->ai_addr, address->ai_addrlen) < 0 ||
        listen(listener->fd, LISTEN_BACKLOG) < 0)
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
    gboolean is_chosen = port == 0;
    int last_errno = EADDRNOTAVAIL;

    for (struct addrinfo *address = addresses; address != NULL; address = address->ai_next) {
        Listener *listener;

        if (address->ai_family != AF_INET && address->ai_family != AF_INET6)
            continue;
        set_port(address, port);
        listener = bind_tcp(address, host);
        if (listener != NULL) {
            listener->is_chosen = is_chosen;
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
    return throw_error(error, STRATA_ERROR_SPEC, "cannot listen on %s, port %s: %s",
                       host == NULL ? "every interface" : host, port,
                       failed == EAI_SYSTEM ? g_strerror(errno) : gai_strerror(failed));
}

gboolean
listen_tcp(GPtrArray *listeners, const StrataAddress *address, GError **error)
{
    const char *host = address->host;
    struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
    struct addrinfo *addresses;
    g_autoptr(GPtrArray) bound = NULL;
    int failed, bind_errno;

    if (!check_port(address->port, error))
        return FALSE;
    if (host != NULL && *host == '\0')
        return throw_error(error, STRATA_ERROR_SPEC, "the address to listen on is empty");
    failed = getaddrinfo(host, address->port, &hints, &addresses);
    if (failed != 0)
        return refuse_lookup(failed, host, address->port, error);
    bound = bind_with_tries(addresses, host, &bind_errno);
    freeaddrinfo(addresses);
    if (bound == NULL)
        return throw_error(error, STRATA_ERROR_IO, "cannot listen on %s, port %s: %s%s",
                           host == NULL ? "every interface" : host, address->port,
                           g_strerror(bind_errno), advise_on_bind(bind_errno));
    g_ptr_array_extend_and_steal(listeners, g_steal_pointer(&bound));
    return TRUE;
}
