/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-policy.c - where the names in headers may lead, and where not. */
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "temp-dir.h"

/* top/overlay.qcow2 is opened; beside it lie top/sub and, outside, other. */
typedef struct {
    TempDir *dir;
    StrataPolicy *policy;
} Fixture;

static void
set_up(Fixture *f, gconstpointer data)
{
    f->dir = temp_dir_new();
    f->policy = strata_policy_new();
    g_mkdir(temp_dir_path(f->dir, "top"), 0700);
    g_mkdir(temp_dir_path(f->dir, "top/sub"), 0700);
    g_mkdir(temp_dir_path(f->dir, "other"), 0700);
    temp_dir_put_hole(f->dir, "top/base", 512);
    temp_dir_put_hole(f->dir, "top/sub/base", 512);
    temp_dir_put_hole(f->dir, "other/base", 512);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    strata_policy_unref(f->policy);
    temp_dir_free(f->dir);
}

static const char *
put_overlay(Fixture *f, const char *backing, const char *format)
{
    return temp_dir_put_qcow2(f->dir, "top/overlay.qcow2", backing, format);
}

static void
assert_opens(Fixture *f, const char *backing, const char *format)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StrataGraph) graph = open_text(put_overlay(f, backing, format), f->policy, &error);

    g_assert_no_error(error);
    g_assert_nonnull(strata_node_get_child(strata_graph_get_top(graph), STRATA_ROLE_BACKING));
}

static void
assert_refused(Fixture *f, const char *backing, const char *format, StrataError code,
               const char *words)
{
    assert_open_fails(put_overlay(f, backing, format), f->policy, code, words);
}

static void
test_beneath(Fixture *f, gconstpointer data)
{
    assert_opens(f, "base", "raw");
    assert_opens(f, "./sub/../base", "raw");
    assert_opens(f, "sub/base", "raw");
    assert_opens(f, "file:base", "raw");
    assert_opens(f, temp_dir_path(f->dir, "top/base"), "raw");
}

static void
test_outside(Fixture *f, gconstpointer data)
{
    const char *absolute = temp_dir_path(f->dir, "other/base");

    assert_refused(f, "../other/base", "raw", STRATA_ERROR_POLICY, "\"--allow DIR\"");
    assert_refused(f, absolute, "raw", STRATA_ERROR_POLICY, "\"--allow DIR\"");
    assert_refused(f, "/etc/passwd", "raw", STRATA_ERROR_POLICY, "/etc/passwd");
    assert_refused(f, "../nothing/there", "raw", STRATA_ERROR_POLICY, "\"--allow DIR\"");
    g_assert_true(strata_policy_allow_dir(f->policy, temp_dir_path(f->dir, "other"), NULL));
    assert_opens(f, "../other/base", "raw");
    assert_opens(f, absolute, "raw");
}

/* A directory whose name only begins alike is another one. */
static void
test_similar_name(Fixture *f, gconstpointer data)
{
    g_mkdir(temp_dir_path(f->dir, "topmost"), 0700);
    assert_refused(f, temp_dir_put_hole(f->dir, "topmost/base", 512), "raw", STRATA_ERROR_POLICY,
                   "\"--allow DIR\"");
}

static void
test_links(Fixture *f, gconstpointer data)
{
    g_assert_cmpint(symlink("../other/base", temp_dir_path(f->dir, "top/out")), ==, 0);
    g_assert_cmpint(symlink("sub", temp_dir_path(f->dir, "top/in")), ==, 0);
    g_assert_cmpint(symlink(temp_dir_path(f->dir, "other"), temp_dir_path(f->dir, "top/absolute")),
                    ==, 0);
    assert_opens(f, "in/base", "raw");
    assert_refused(f, "out", "raw", STRATA_ERROR_POLICY, "\"--allow DIR\"");
    assert_refused(f, "absolute/base", "raw", STRATA_ERROR_POLICY, "\"--allow DIR\"");
    g_assert_true(strata_policy_allow_dir(f->policy, temp_dir_path(f->dir, "other"), NULL));
    assert_opens(f, "out", "raw");
    assert_opens(f, "absolute/base", "raw");
}

/* An image that is named through a link has two directories: the link's and its own. */
static void
test_top_is_a_link(Fixture *f, gconstpointer data)
{
    const char *link = temp_dir_path(f->dir, "other/link.qcow2");
    g_autoptr(GError) error = NULL;
    g_autoptr(StrataGraph) graph = NULL;

    put_overlay(f, temp_dir_path(f->dir, "top/base"), "raw");
    g_assert_cmpint(symlink("../top/overlay.qcow2", link), ==, 0);
    graph = open_text(link, NULL, &error);
    g_assert_no_error(error);
}

static void
test_protocols(Fixture *f, gconstpointer data)
{
    assert_refused(f, "nbd://localhost/x", "raw", STRATA_ERROR_POLICY, "has a protocol");
    assert_refused(f, "json:{\"driver\":\"nbd\",\"host\":\"h\"}", "raw", STRATA_ERROR_POLICY,
                   "driver \"nbd\"");
    assert_refused(f, "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"nbd\",\"host\":\"h\"}}",
                   "raw", STRATA_ERROR_POLICY, "driver \"nbd\"");
}

static void
test_json(Fixture *f, gconstpointer data)
{
    assert_opens(f,
                 "json:{\"driver\":\"raw\",\"size\":256,\"file\":{\"driver\":\"file\","
                 "\"filename\":\"base\"}}",
                 "raw");
    assert_opens(f, "json:{\"driver\":\"raw\",\"file.filename\":\"sub/base\"}", NULL);
    assert_opens(f, "json:{\"file.filename\":\"base\"}", "raw");
    assert_refused(f, "json:{\"driver\":\"raw\",\"file.filename\":\"../other/base\"}", "raw",
                   STRATA_ERROR_POLICY, "\"--allow DIR\"");
    assert_refused(f, "json:{\"driver\":\"raw\",\"file.filename\":\"/etc/passwd\"}", "raw",
                   STRATA_ERROR_POLICY, "\"--allow DIR\"");
    assert_refused(f, "json:{\"driver\":\"raw\",\"file.filename\":\"base\"}", "qcow2",
                   STRATA_ERROR_DAMAGED,
                   "the format 'qcow2', and the name in it says driver 'raw'");
    assert_refused(f, "json:{\"file.filename\":\"base\"}", NULL, STRATA_ERROR_POLICY,
                   "does not guess");
    assert_refused(f, "json:{", "raw", STRATA_ERROR_SPEC, "no JSON");
}

static void
test_formats(Fixture *f, gconstpointer data)
{
    assert_refused(f, "base", NULL, STRATA_ERROR_POLICY, "\"--backing-format FORMAT\"");
    assert_refused(f, "base", "vmdk", STRATA_ERROR_UNSUPPORTED, "the format 'vmdk'");
    assert_refused(f, "base", "file", STRATA_ERROR_UNSUPPORTED, "the format 'file'");
    g_assert_true(strata_policy_set_backing_format(f->policy, "raw", NULL));
    assert_opens(f, "base", NULL);
    assert_refused(f, "base", "qcow2", STRATA_ERROR_DAMAGED, "qcow2");
}

static void
test_settings(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(strata_policy_set_backing_format(f->policy, "file", &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_SPEC);
    g_clear_error(&error);
    g_assert_false(strata_policy_allow_dir(f->policy, temp_dir_path(f->dir, "none"), &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_false(strata_policy_allow_dir(f->policy, temp_dir_path(f->dir, "top/base"), &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_IO);
}

/* None of these may hang, whoever names them. */
static void
test_file_types(Fixture *f, gconstpointer data)
{
    const char *fifo = temp_dir_path(f->dir, "top/fifo");
    const char *socket_path = temp_dir_path(f->dir, "top/socket");
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, socket_path, sizeof address.sun_path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    close(fd);
    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    assert_refused(f, "fifo", "raw", STRATA_ERROR_UNSUPPORTED, "is a FIFO");
    assert_refused(f, "sub", "raw", STRATA_ERROR_UNSUPPORTED, "is a directory");
    assert_refused(f, "socket", "raw", STRATA_ERROR_IO, "is a socket");
    assert_open_fails(fifo, NULL, STRATA_ERROR_UNSUPPORTED, "is a FIFO");
    assert_open_fails(f->dir->path, NULL, STRATA_ERROR_UNSUPPORTED, "is a directory");
    assert_open_fails("/dev/zero", NULL, STRATA_ERROR_UNSUPPORTED, "is a character device");
    assert_open_fails(socket_path, NULL, STRATA_ERROR_IO, "is a socket");
}

#define ADD(name, function) g_test_add("/policy/" name, Fixture, NULL, set_up, function, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("beneath", test_beneath);
    ADD("outside", test_outside);
    ADD("similar-name", test_similar_name);
    ADD("links", test_links);
    ADD("top-is-a-link", test_top_is_a_link);
    ADD("protocols", test_protocols);
    ADD("json", test_json);
    ADD("formats", test_formats);
    ADD("settings", test_settings);
    ADD("file-types", test_file_types);
    return g_test_run();
}
