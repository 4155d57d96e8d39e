/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-nbd-pool.c - requests after a fork, whatever the threads of the parent were doing. */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nbd/connection.h"
#include "node.h"
#include "temp-dir.h"

#define EXPORT_SIZE 8192

/* A server of one thread for each connection, in the oldest of the protocol's styles: no options
 * (NBD protocol, "Oldstyle negotiation"), simple replies. */
typedef struct {
    int listener;
    gint n_open; /* atomic: connections */
} Server;

typedef struct {
    Server *server;
    int fd;
} Client;

static gboolean
receive(int fd, void *buffer, gsize length)
{
    return recv(fd, buffer, length, MSG_WAITALL) == (gssize)length;
}

static gpointer
serve(gpointer data)
{
    g_autofree Client *client = data;
    guint8 greeting[152] = "NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53";
    guint8 request[28];
    guint8 reply[16 + EXPORT_SIZE] = { 0x67, 0x44, 0x66, 0x98 };
    guint64 size = GUINT64_TO_BE(EXPORT_SIZE);

    memcpy(greeting + 16, &size, sizeof size);
    greeting[27] = 3; /* has flags, read-only */
    send(client->fd, greeting, sizeof greeting, MSG_NOSIGNAL);
    while (receive(client->fd, request, sizeof request)) {
        guint32 length;

        if (request[7] != 0) /* a farewell; who has gone for good has closed the connection */
            continue;
        memcpy(&length, request + 24, sizeof length);
        length = GUINT32_FROM_BE(length);
        memcpy(reply + 8, request + 8, 8);
        memset(reply + 16, 0x55, length);
        send(client->fd, reply, 16 + length, MSG_NOSIGNAL);
    }
    close(client->fd);
    g_atomic_int_add(&client->server->n_open, -1);
    return NULL;
}

static gpointer
accept_all(gpointer data)
{
    Server *server = data;
    int fd;

    while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
        Client *client = g_new(Client, 1);

        *client = (Client){ .server = server, .fd = fd };
        g_atomic_int_inc(&server->n_open);
        g_thread_unref(g_thread_new("client", serve, client));
    }
    return NULL;
}

static GThread *
start_server(Server *server, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    *server = (Server){ .listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    g_assert_cmpint(bind(server->listener, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(server->listener, 8), ==, 0);
    return g_thread_new("server", accept_all, server);
}

static gboolean
read_byte(RemotePool *pool)
{
    guint8 bytes[512] = { 0 };
    RemoteRequest request = { .length = sizeof bytes, .buffer = bytes };

    return remote_pool_run(pool, &request, 1, NULL) && bytes[511] == 0x55;
}

static gpointer
read_in_thread(gpointer pool)
{
    return GINT_TO_POINTER(read_byte(pool));
}

/* What a child does with the pool of its parent; two threads find out at once what they are. */
static gboolean
use_in_child(RemotePool *pool)
{
    GThread *other = g_thread_new("other", read_in_thread, pool);
    gboolean can_read = read_byte(pool);

    return GPOINTER_TO_INT(g_thread_join(other)) && can_read;
}

static int
wait_for_child(pid_t pid)
{
    int status = -1;

    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    return status;
}

static void
wait_until_open(Server *server, gint wanted)
{
    gint64 deadline = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    gint n_open;

    while (n_open = g_atomic_int_get(&server->n_open),
           n_open != wanted && g_get_monotonic_time() < deadline)
        g_usleep(1000);
    g_assert_cmpint(n_open, ==, wanted);
}

/* Forks at a moment at which the pool is locked, as one of its threads may have it. The child forks
 * once more: nobody says that a child has none. */
static void
check_forks(RemotePool *pool)
{
    pid_t pid;

    g_mutex_lock(&pool->lock);
    pid = fork();
    if (pid == 0) {
        gboolean can_read;

        alarm(20);
        can_read = use_in_child(pool);
        pid = fork();
        if (pid == 0) {
            alarm(20);
            can_read = use_in_child(pool);
            remote_pool_free(pool);
            _exit(!can_read);
        }
        can_read = wait_for_child(pid) == 0 && can_read;
        remote_pool_free(pool);
        _exit(!can_read);
    }
    g_mutex_unlock(&pool->lock);
    g_assert_cmpint(wait_for_child(pid), ==, 0);
}

/* As nbdkit goes into the background: its first process ends once it has forked, without a word to
 * the server. */
static void
go_into_background(RemotePool *pool, int started, int finish)
{
    char byte;
    gboolean is_fine;

    if (fork() != 0)
        _exit(0);
    alarm(40);
    is_fine = read_byte(pool) && write(started, "", 1) == 1 && read(finish, &byte, 1) == 0;
    _exit(!is_fine);
}

/* The child leaves no connection of its parent open, or a server that takes one only has no room.
 */
static void
check_closes_inherited(StrataNode *node, const RemoteTarget *target, Server *server)
{
    int started[2], finish[2];
    pid_t pid;
    char byte;

    wait_until_open(server, 0);
    g_assert_cmpint(pipe(started), ==, 0);
    g_assert_cmpint(pipe(finish), ==, 0);
    pid = fork();
    if (pid == 0) {
        close(finish[1]);
        go_into_background(remote_pool_new(node, target, NULL, NULL), started[1], finish[0]);
    }
    close(started[1]);
    close(finish[0]);
    g_assert_cmpint(wait_for_child(pid), ==, 0);
    g_assert_cmpint(read(started[0], &byte, 1), ==, 1);
    wait_until_open(server, 1);
    close(finish[1]);
    wait_until_open(server, 0);
    close(started[0]);
}

static void
test_fork(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_path(dir, "socket");
    RemoteTarget target = {
        .transport = REMOTE_UNIX,
        .path = (char *)path,
        .export = (char *)"",
        .reconnect_usec = 10 * G_USEC_PER_SEC,
        .answer_usec = 10 * G_USEC_PER_SEC,
        .max_connections = 4,
    };
    StrataNode node = { .driver = &strata_driver_nbd, .name = (char *)"n" };
    g_autoptr(GError) error = NULL;
    Server server;
    GThread *thread;
    RemotePool *pool;

    thread = start_server(&server, path);
    pool = remote_pool_new(&node, &target, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(read_byte(pool));
    check_forks(pool);
    g_assert_true(read_byte(pool));
    remote_pool_free(pool);
    check_closes_inherited(&node, &target, &server);
    shutdown(server.listener, SHUT_RDWR);
    g_thread_join(thread);
    close(server.listener);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nbd-pool/fork", test_fork);
    return g_test_run();
}
