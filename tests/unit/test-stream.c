/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-stream.c - how much is sent to whom without being copied. */
#include "engine/stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KIB ((gsize)1024)

static struct sockaddr_in
address_of(const char *text)
{
    return (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = inet_addr(text) };
}

/* The server's end of a connection from one address of this machine to another. */
static int
accept_from(const char *client_text, const char *server_text, int *out_client)
{
    struct sockaddr_in client = address_of(client_text), server = address_of(server_text);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t length = sizeof server;
    int accepted;

    *out_client = socket(AF_INET, SOCK_STREAM, 0);
    /* Another one than is chosen, if the system has it. */
    (void)setsockopt(listener, IPPROTO_TCP, TCP_CONGESTION, "cubic", strlen("cubic"));
    g_assert_no_errno(bind(listener, (struct sockaddr *)&server, sizeof server));
    g_assert_no_errno(listen(listener, 1));
    g_assert_no_errno(getsockname(listener, (struct sockaddr *)&server, &length));
    g_assert_no_errno(bind(*out_client, (struct sockaddr *)&client, sizeof client));
    g_assert_no_errno(connect(*out_client, (struct sockaddr *)&server, sizeof server));
    accepted = accept(listener, NULL, NULL);
    g_assert_cmpint(accepted, >=, 0);
    close(listener);
    return accepted;
}

static char *
congestion_control(int fd)
{
    char name[16] = "";
    socklen_t length = sizeof name;

    g_assert_no_errno(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length));
    return g_strndup(name, sizeof name);
}

static void
test_this_host(void)
{
    g_autofree char *chosen = NULL;
    Stream stream = { 0 };
    int client, fd = accept_from("127.0.0.1", "127.0.0.1", &client);

    stream_init(&stream, fd);
    stream_tune(&stream);
    chosen = congestion_control(fd);
    g_assert_cmpstr(chosen, ==, "reno");
    g_assert_cmpuint(stream.least_spliced, ==, 64 * KIB);
    stream_close(&stream);
    close(client);
}

/* Another address is another machine, as far as can be known. */
static void
test_elsewhere(void)
{
    g_autofree char *before = NULL, *after = NULL;
    Stream stream = { 0 };
    int client, fd = accept_from("127.0.0.2", "127.0.0.1", &client);

    before = congestion_control(fd);
    stream_init(&stream, fd);
    stream_tune(&stream);
    after = congestion_control(fd);
    g_assert_cmpstr(after, ==, before);
    g_assert_cmpuint(stream.least_spliced, ==, 1024 * KIB);
    stream_close(&stream);
    close(client);
}

static void
test_unix(void)
{
    Stream stream = { 0 };
    int ends[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    stream_init(&stream, ends[0]);
    stream_tune(&stream);
    g_assert_cmpuint(stream.least_spliced, ==, 64 * KIB);
    stream_close(&stream);
    close(ends[1]);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stream/tune/this-host", test_this_host);
    g_test_add_func("/stream/tune/elsewhere", test_elsewhere);
    g_test_add_func("/stream/tune/unix", test_unix);
    return g_test_run();
}
