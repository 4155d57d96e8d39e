/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-address.c - where a server listens, and which export is meant. */
#include "client-address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "client-fail.h"
#include "protocol/proto.h"

void
address_init_path(Address *address, const char *path)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };

    if (g_strlcpy(name.sun_path, path, sizeof name.sun_path) >= sizeof name.sun_path)
        fail("the path of the socket is longer than %zu bytes: %s", sizeof name.sun_path - 1, path);
    *address = (Address){ .length = sizeof name, .export_name = g_strdup("") };
    memcpy(&address->socket, &name, sizeof name);
}

static void
init_tcp(Address *address, const char *host, int port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
    g_autofree char *service = port > 0 ? g_strdup_printf("%d", port) : g_strdup(NBD_DEFAULT_PORT);
    int error = getaddrinfo(host, service, &hints, &found);

    if (error != 0)
        fail("host '%s': %s", host, gai_strerror(error));
    *address = (Address){ .length = found->ai_addrlen };
    memcpy(&address->socket, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
}

static void
init_unix(Address *address, const char *uri, const char *query)
{
    g_autoptr(GHashTable) words =
        g_uri_parse_params(query != NULL ? query : "", -1, "&", G_URI_PARAMS_NONE, NULL);
    const char *path = words != NULL ? g_hash_table_lookup(words, "socket") : NULL;

    if (path == NULL)
        fail("'%s' has no socket=PATH", uri);
    address_init_path(address, path);
}

void
address_init(Address *address, const char *uri)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GUri) parts = g_uri_parse(uri, G_URI_FLAGS_NONE, &error);
    const char *path;

    if (strchr(uri, ':') == NULL) {
        address_init_path(address, uri);
        return;
    }
    if (parts == NULL)
        fail("'%s': %s", uri, error->message);
    if (strcmp(g_uri_get_scheme(parts), "nbd+unix") == 0)
        init_unix(address, uri, g_uri_get_query(parts));
    else if (strcmp(g_uri_get_scheme(parts), "nbd") == 0)
        init_tcp(address, g_uri_get_host(parts), g_uri_get_port(parts));
    else
        fail("'%s' is neither nbd+unix:///NAME?socket=PATH nor nbd://HOST:PORT/NAME", uri);
    path = g_uri_get_path(parts);
    g_free(address->export_name);
    address->export_name = g_strdup(*path == '/' ? path + 1 : path);
    if (strlen(address->export_name) > NBD_MAX_STRING)
        fail("the name of the export is longer than %d bytes", NBD_MAX_STRING);
}

void
address_clear(Address *address)
{
    g_clear_pointer(&address->export_name, g_free);
}

int
address_try(const Address *address)
{
    int fd = socket(address->socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        fail("socket: %s", g_strerror(errno));
    if (connect(fd, (const struct sockaddr *)&address->socket, address->length) < 0) {
        int saved = errno;

        close(fd);
        errno = saved;
        return -1;
    }
    if (address->socket.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    return fd;
}

int
address_connect(const Address *address)
{
    int fd = address_try(address);

    if (fd < 0)
        fail("cannot connect: %s", g_strerror(errno));
    return fd;
}
