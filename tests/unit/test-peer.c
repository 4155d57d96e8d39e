/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-peer.c - who is at the other end of real sockets. */
#include "engine/peer.h"
#include "listen/listen.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A connection to @text: both its ends, and its server's side of things. */
typedef struct {
    Listener *listener;
    int client, server;
    Peer peer;
} Fixture;

static void
connect_to(Fixture *fixture, const char *text)
{
    g_autoptr(GPtrArray) listeners = g_ptr_array_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(StrataAddress) address = strata_address_parse(text, &error);
    struct sockaddr_storage name;
    socklen_t length = sizeof name;

    g_assert_no_error(error);
    listener_add(listeners, address, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(listeners->len, ==, 1);
    fixture->listener = g_ptr_array_index(listeners, 0);
    g_assert_cmpint(getsockname(fixture->listener->fd, (struct sockaddr *)&name, &length), ==, 0);
    if (name.ss_family == AF_UNIX) { /* it has been moved since it got that name */
        struct sockaddr_un *path = (struct sockaddr_un *)&name;

        g_strlcpy(path->sun_path, fixture->listener->path, sizeof path->sun_path);
        length = sizeof *path;
    }
    fixture->client = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(fixture->client, (struct sockaddr *)&name, length), ==, 0);
    fixture->server = accept4(fixture->listener->fd, NULL, NULL, SOCK_CLOEXEC);
    g_assert_cmpint(fixture->server, >=, 0);
    peer_init(&fixture->peer, fixture->server);
}

static void
disconnect(Fixture *fixture)
{
    peer_clear(&fixture->peer);
    close(fixture->client);
    close(fixture->server);
    listener_free(fixture->listener);
}

static guint
client_port(const Fixture *fixture)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof name;

    getsockname(fixture->client, (struct sockaddr *)&name, &length);
    if (name.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&name)->sin6_port);
    return ntohs(((struct sockaddr_in *)&name)->sin_port);
}

static void
test_ipv4(void)
{
    Fixture fixture;
    g_autofree char *address = NULL;

    connect_to(&fixture, "tcp:127.0.0.1:0");
    address = g_strdup_printf("127.0.0.1:%u", client_port(&fixture));
    g_assert_cmpint(fixture.peer.kind, ==, PEER_TCP);
    g_assert_cmpstr(fixture.peer.host, ==, "127.0.0.1");
    g_assert_cmpstr(fixture.peer.address, ==, address);
    g_assert_true(inet_address_is_loopback(&fixture.peer.inet));
    disconnect(&fixture);
}

static void
test_ipv6(void)
{
    Fixture fixture;
    g_autofree char *address = NULL;

    if (!g_file_test("/proc/net/if_inet6", G_FILE_TEST_EXISTS))
        return; /* there is nothing of the kind on this system */
    connect_to(&fixture, "tcp:[::1]:0");
    address = g_strdup_printf("[::1]:%u", client_port(&fixture));
    g_assert_cmpint(fixture.peer.kind, ==, PEER_TCP);
    g_assert_cmpstr(fixture.peer.host, ==, "::1");
    g_assert_cmpstr(fixture.peer.address, ==, address);
    disconnect(&fixture);
}

/* A socket of both kinds, as systemd makes them: the peer has an IPv4 address all the same. */
static void
test_ipv4_in_ipv6(void)
{
    struct sockaddr_in6 name = { .sin6_family = AF_INET6 };
    struct sockaddr_in target = { .sin_family = AF_INET };
    socklen_t length = sizeof name;
    int off = 0;
    int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int server;
    Peer peer;

    if (listener < 0)
        return; /* no IPv6 */
    setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    g_assert_cmpint(bind(listener, (struct sockaddr *)&name, sizeof name), ==, 0);
    g_assert_cmpint(listen(listener, 1), ==, 0);
    getsockname(listener, (struct sockaddr *)&name, &length);
    target.sin_port = name.sin6_port;
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    g_assert_cmpint(connect(client, (struct sockaddr *)&target, sizeof target), ==, 0);
    server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    peer_init(&peer, server);
    g_assert_cmpstr(peer.host, ==, "127.0.0.1");
    g_assert_cmpint(peer.inet.family, ==, AF_INET);
    peer_clear(&peer);
    close(server);
    close(client);
    close(listener);
}

static void
test_unix(void)
{
    g_autofree char *folder = g_dir_make_tmp("st.XXXXXX", NULL);
    g_autofree char *text = g_strdup_printf("unix:%s/s", folder);
    g_autofree char *host = g_strdup_printf("unix uid %u", getuid());
    g_autofree char *address = g_strdup_printf("%s pid %d", host, getpid());
    Fixture fixture;

    connect_to(&fixture, text);
    g_assert_cmpint(fixture.peer.kind, ==, PEER_UNIX);
    g_assert_cmpuint(fixture.peer.uid, ==, getuid());
    g_assert_cmpstr(fixture.peer.host, ==, host);
    g_assert_cmpstr(fixture.peer.address, ==, address);
    g_assert_cmpint(fixture.peer.inet.family, ==, AF_UNSPEC);
    disconnect(&fixture);
    g_assert_cmpint(rmdir(folder), ==, 0); /* the socket is not left in it */
}

/* Its credentials are this process's, who made it, whoever holds the other end: no rule about users
 * may take them for somebody. */
static void
test_pair(void)
{
    int ends[2];
    Peer peer;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
    peer_init(&peer, ends[0]);
    g_assert_cmpint(peer.kind, ==, PEER_OTHER);
    g_assert_cmpuint(peer.uid, ==, (uid_t)-1);
    g_assert_cmpstr(peer.host, ==, "unknown");
    peer_clear(&peer);
    close(ends[0]);
    close(ends[1]);
}

/* It has gone before anybody asked. */
static void
test_gone(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Peer peer;

    peer_init(&peer, fd);
    g_assert_cmpint(peer.kind, ==, PEER_OTHER);
    g_assert_cmpstr(peer.address, ==, "unknown");
    peer_clear(&peer);
    close(fd);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/peer/ipv4", test_ipv4);
    g_test_add_func("/peer/ipv6", test_ipv6);
    g_test_add_func("/peer/ipv4-in-ipv6", test_ipv4_in_ipv6);
    g_test_add_func("/peer/unix", test_unix);
    g_test_add_func("/peer/pair", test_pair);
    g_test_add_func("/peer/gone", test_gone);
    return g_test_run();
}
