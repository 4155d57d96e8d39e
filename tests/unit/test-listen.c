/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-listen.c - listeners: their URIs, their ports, and those that were handed over. */
#include "listen/listen.h"

#include <glib/gstdio.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static void
test_uris(void)
{
    static const struct {
        Listener listener;
        const char *uri;
    } rows[] = {
        { { .kind = ADDRESS_TCP, .host = (char *)"localhost", .port = 1 }, "nbd://localhost:1/a" },
        { { .kind = ADDRESS_TCP, .host = (char *)"0.0.0.0", .port = 2 }, "nbd://localhost:2/a" },
        { { .kind = ADDRESS_TCP, .host = (char *)"::", .port = 3 }, "nbd://localhost:3/a" },
        { { .kind = ADDRESS_TCP, .host = (char *)"::1", .port = 4 }, "nbd://[::1]:4/a" },
        { { .kind = ADDRESS_TCP, .host = (char *)"fe80::1%eth0", .port = 5 },
          "nbd://[fe80::1%25eth0]:5/a" },
        { { .kind = ADDRESS_UNIX, .path = (char *)"/run/a b" }, "nbd+unix:///a?socket=/run/a%20b" },
        { { .kind = ADDRESS_VSOCK, .cid = 3, .port = 6 }, "nbd+vsock://3:6/a" },
        { { .kind = ADDRESS_VSOCK, .cid = VMADDR_CID_ANY, .port = 7 }, "nbd+vsock://1:7/a" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *uri = listener_get_uri(&rows[i].listener, "a");

        g_assert_cmpstr(uri, ==, rows[i].uri);
    }
}

/* What somebody does to whom the directory belongs, between bind() and what follows: there is a
 * link to @link_target in the place of the new socket. NULL: nothing */
static const char *link_target;

/* In the place of the C library's. */
int
bind(int fd, __CONST_SOCKADDR_ARG name, socklen_t length)
{
    const struct sockaddr_un *local = name.__sockaddr_un__;

    if (syscall(SYS_bind, fd, local, length) < 0)
        return -1;
    if (link_target != NULL) {
        g_assert_cmpint(unlink(local->sun_path), ==, 0);
        g_assert_cmpint(symlink(link_target, local->sun_path), ==, 0);
    }
    return 0;
}

static GPtrArray *
listen_on(const char *text)
{
    g_autoptr(GPtrArray) listeners = g_ptr_array_new_with_free_func((GDestroyNotify)listener_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(StrataAddress) address = strata_address_parse(text, &error);

    g_assert_no_error(error);
    listener_add(listeners, address, NULL, &error);
    g_assert_no_error(error);
    return g_steal_pointer(&listeners);
}

/* IPv4 and IPv6 have one port, and a second server there does not get any of the two. */
static void
test_one_port(void)
{
    g_autoptr(GPtrArray) listeners = listen_on("tcp::0");
    const Listener *first = g_ptr_array_index(listeners, 0);
    g_autofree char *text = g_strdup_printf("tcp:%u", first->port);
    g_autoptr(StrataAddress) address = strata_address_parse(text, NULL);
    g_autoptr(GError) error = NULL;

    g_assert_cmpuint(first->port, >, 0);
    for (guint i = 0; i < listeners->len; i++) {
        const Listener *listener = g_ptr_array_index(listeners, i);

        g_assert_cmpuint(listener->port, ==, first->port);
        g_assert_true(listener->is_chosen);
    }
    g_assert_false(listener_add(listeners, address, NULL, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_IO);
}

/* This machine may have no transport for it, or no vsock at all: then there is a message. */
static void
test_vsock(void)
{
    g_autoptr(GPtrArray) listeners = g_ptr_array_new_with_free_func((GDestroyNotify)listener_free);
    g_autoptr(StrataAddress) any = strata_address_parse("vsock:0", NULL);
    g_autoptr(StrataAddress) strange = strata_address_parse("vsock:4294967000:0", NULL);
    g_autoptr(GError) error = NULL;
    const Listener *listener;

    if (!listener_add(listeners, any, NULL, &error)) {
        g_assert_true(g_str_has_prefix(error->message, "cannot listen on vsock, any CID, "));
        g_assert_nonnull(strstr(error->message, "this system has no vsock"));
        return;
    }
    listener = g_ptr_array_index(listeners, 0);
    g_assert_cmpuint(listener->cid, ==, VMADDR_CID_ANY);
    g_assert_cmpuint(listener->port, !=, VMADDR_PORT_ANY);
    g_assert_true(listener->is_chosen);

    g_assert_false(listener_add(listeners, strange, NULL, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_IO);
    g_assert_nonnull(strstr(error->message, "CID 4294967000"));
    g_assert_nonnull(strstr(error->message, "choose a CID that this machine has"));
    g_assert_cmpuint(listeners->len, ==, 1);
}

static void
check_handed(int fd, const char *uri)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Listener) listener = NULL;
    g_autofree char *found = NULL;

    g_assert_cmpint(fd, >=, 0);
    listener = listener_new_from_fd(fd, &error);
    g_assert_no_error(error);
    found = listener_get_uri(listener, "");
    g_assert_cmpstr(found, ==, uri);
}

/* What others have bound is told from the socket alone. */
static void
test_handed(void)
{
    g_autoptr(GPtrArray) tcp = listen_on("tcp:127.0.0.1:0");
    const Listener *inet = g_ptr_array_index(tcp, 0);
    g_autofree char *uri = g_strdup_printf("nbd://127.0.0.1:%u/", inet->port);
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    g_autofree char *folder = g_dir_make_tmp("st.XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "s", NULL);
    g_autofree char *path_uri = g_strconcat("nbd+unix:///?socket=", path, NULL);
    g_autofree char *abstract = g_strdup_printf("strata-%d", (int)getpid());
    g_autofree char *abstract_uri = g_strconcat("nbd+unix:///?socket=%40", abstract, NULL);
    int fd;

    check_handed(dup(inet->fd), uri);

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    g_strlcpy(name.sun_path, path, sizeof name.sun_path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&name, sizeof name), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    check_handed(fd, path_uri);
    g_assert_cmpint(g_unlink(path), ==, 0); /* whoever made it removes it */
    g_assert_cmpint(g_rmdir(folder), ==, 0);

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memset(name.sun_path, 0, sizeof name.sun_path);
    g_strlcpy(name.sun_path + 1, abstract, sizeof name.sun_path - 1);
    g_assert_cmpint(
        bind(fd, (struct sockaddr *)&name,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(abstract))),
        ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    check_handed(fd, abstract_uri);
}

static void
refuse_handed(int fd, const char *words)
{
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(fd, >=, 0);
    g_assert_null(listener_new_from_fd(fd, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_SPEC);
    if (strstr(error->message, words) == NULL)
        g_error("'%s' does not say '%s'", error->message, words);
    g_assert_cmpint(close(fd), ==, 0); /* still ours */
}

static void
test_refused(void)
{
    int ends[2];

    refuse_handed(dup(STDERR_FILENO), "is not a socket");
    refuse_handed(socket(AF_UNIX, SOCK_DGRAM, 0), "is not a stream socket");
    refuse_handed(socket(AF_INET, SOCK_STREAM, 0), "does not listen");
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), ==, 0);
    refuse_handed(ends[0], "needs --single");
    close(ends[1]);
}

static gboolean
becomes_alive(StrataEngine *engine)
{
    for (guint i = 0; i < 3000; i++) {
        if (strata_engine_is_alive(engine))
            return TRUE;
        g_usleep(10 * G_TIME_SPAN_MILLISECOND);
    }
    return FALSE;
}

/* What the watchdog is told: the thread that accepts gives the signs, and nobody in its place. */
static void
test_alive(void)
{
    g_autoptr(StrataEngine) engine = strata_engine_new(strata_exports_new(), NULL);
    g_autoptr(StrataAddress) address = strata_address_parse("tcp:127.0.0.1:0", NULL);

    strata_engine_listen(engine, address, NULL, NULL);
    (void)strata_engine_is_alive(engine);
    g_assert_false(strata_engine_is_alive(engine));
    g_assert_true(strata_engine_start(engine, NULL));
    g_assert_true(becomes_alive(engine));
    g_assert_true(becomes_alive(engine)); /* and goes on to be */
    strata_engine_stop(engine);
    (void)strata_engine_is_alive(engine);
    g_assert_false(strata_engine_is_alive(engine));
}

/* Neither group nor mode of what the link leads to is changed. */
static void
test_swapped(void)
{
    g_autoptr(GPtrArray) listeners = g_ptr_array_new_with_free_func((GDestroyNotify)listener_free);
    g_autofree char *folder = g_dir_make_tmp("st.XXXXXX", NULL);
    g_autofree char *target = g_build_filename(folder, "target", NULL);
    g_autofree char *path = g_build_filename(folder, "s", NULL);
    g_autofree char *text = g_strconcat("unix:", path, NULL);
    g_autoptr(StrataAddress) address = strata_address_parse(text, NULL);
    StrataSocketRights rights = { .mode = 0666, .group = getuid() == 0 ? 1 : getgid() };
    g_autoptr(GError) error = NULL;
    struct stat before, after;

    g_assert_true(g_file_set_contents(target, "", 0, NULL));
    g_assert_cmpint(g_chmod(target, 0600), ==, 0);
    g_assert_cmpint(g_stat(target, &before), ==, 0);
    link_target = target;
    g_assert_false(listener_add(listeners, address, &rights, &error));
    link_target = NULL;
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_IO);
    g_assert_nonnull(strstr(error->message, "somebody put something else in the place"));
    g_assert_cmpint(g_stat(target, &after), ==, 0);
    g_assert_cmpuint(after.st_mode, ==, before.st_mode);
    g_assert_cmpuint(after.st_gid, ==, before.st_gid);
    g_assert_cmpint(g_unlink(target), ==, 0);
    g_assert_cmpint(g_rmdir(folder), ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/listen/uris", test_uris);
    g_test_add_func("/listen/one-port", test_one_port);
    g_test_add_func("/listen/vsock", test_vsock);
    g_test_add_func("/listen/handed", test_handed);
    g_test_add_func("/listen/refused", test_refused);
    g_test_add_func("/listen/alive", test_alive);
    g_test_add_func("/listen/swapped", test_swapped);
    return g_test_run();
}
