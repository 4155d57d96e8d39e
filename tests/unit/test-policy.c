/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-policy.c - where the names in headers may lead, and where not. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node.h"
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
    assert_refused(f, "ssh://localhost/x", "raw", STRATA_ERROR_POLICY, "has another protocol");
    assert_refused(f, "nbd://localhost/x", "raw", STRATA_ERROR_POLICY, "\"--allow-protocols nbd\"");
    assert_refused(f, "nbd:localhost:1", "raw", STRATA_ERROR_POLICY, "\"--allow-protocols nbd\"");
    assert_refused(f, "nbd+unix:///?socket=s", "raw", STRATA_ERROR_POLICY,
                   "\"--allow-protocols nbd\"");
    assert_refused(f, "json:{\"driver\":\"nbd\",\"host\":\"h\"}", "raw", STRATA_ERROR_POLICY,
                   "driver \"nbd\"");
    assert_refused(f, "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"nbd\",\"host\":\"h\"}}",
                   "raw", STRATA_ERROR_POLICY, "driver \"nbd\"");
    assert_refused(f, "json:{\"driver\":\"ssh\",\"host\":\"h\"}", "raw", STRATA_ERROR_POLICY,
                   "driver \"ssh\"");
}

/* What is allowed is tried, and nobody is there. */
static void
test_allowed_protocols(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(strata_policy_allow_protocols(f->policy, "nbd", &error));
    g_assert_no_error(error);
    assert_refused(f, "nbd:127.0.0.1:1", "raw", STRATA_ERROR_REMOTE, "Connection refused");
    assert_refused(f, "nbd://127.0.0.1:1/x", "qcow2", STRATA_ERROR_REMOTE, "Connection refused");
    assert_refused(f, "nbd+unix:///?socket=/nowhere/s", "raw", STRATA_ERROR_REMOTE, "No such file");
    assert_refused(f,
                   "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"nbd\",\"server\":{\"type\":"
                   "\"inet\",\"host\":\"127.0.0.1\",\"port\":1}}}",
                   "raw", STRATA_ERROR_REMOTE, "Connection refused");
    assert_refused(f, "ssh://localhost/x", "raw", STRATA_ERROR_POLICY, "has another protocol");
    assert_refused(f, "nbd://127.0.0.1:1/x", NULL, STRATA_ERROR_POLICY, "--backing-format");
    assert_refused(f, "nbds://127.0.0.1:1/x?tls-creds=c0", "raw", STRATA_ERROR_SPEC,
                   "no credentials 'c0'");
}

static void
test_unknown_protocols(Fixture *f, gconstpointer data)
{
    static const char *const bad[] = { "", "ssh", "nbd,ssh", "nbd,", "NBD" };

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(strata_policy_allow_protocols(f->policy, bad[i], &error));
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_SPEC);
        g_assert_nonnull(strstr(error->message, "there is nbd"));
    }
    assert_refused(f, "nbd:127.0.0.1:1", "raw", STRATA_ERROR_POLICY, "--allow-protocols");
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

/* ".." after a link leads where the link leads, as in the kernel, and not where the text says. */
static void
open_confined(Fixture *f, const char *name, GError **error)
{
    g_autoptr(StrataSpec) spec =
        strata_spec_parse(temp_dir_path(f->dir, name), STRATA_SPEC_FILENAME, "raw", NULL);
    g_autoptr(StrataGraph) graph = strata_graph_open(spec, f->policy, error);
}

/* The name of the topmost image is somebody else's, too. */
static void
test_confined(Fixture *f, gconstpointer data)
{
    g_autofree char *dir = g_build_filename(f->dir->path, "top", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(symlink("../other/base", temp_dir_path(f->dir, "top/out")), ==, 0);
    g_assert_cmpint(symlink("sub", temp_dir_path(f->dir, "top/in")), ==, 0);
    strata_policy_set_confined(f->policy, TRUE);
    g_assert_true(strata_policy_allow_dir(f->policy, dir, NULL));
    open_confined(f, "top/base", &error);
    g_assert_no_error(error);
    open_confined(f, "top/in/base", &error);
    g_assert_no_error(error);
    open_confined(f, "other/base", &error);
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_POLICY);
    g_clear_error(&error);
    open_confined(f, "top/out", &error);
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_POLICY);
    g_assert_nonnull(strstr(error->message, "directories in which images may be"));
}

/* The same by the names of options. */
static void
test_words(Fixture *f, gconstpointer data)
{
    char *dirs[] = { (char *)"/", (char *)"/nowhere-at-all", NULL };
    const struct {
        const char *word, *value;
        int code; /* -1: taken */
    } words[] = {
        { "probe", "on", -1 },
        { "probe", "OFF", -1 },
        { "force-share", "1", -1 },
        { "force-share", "perhaps", STRATA_ERROR_SPEC },
        { "probe", "", STRATA_ERROR_SPEC },
        { "allow", "/", -1 },
        { "allow", "/nowhere-at-all", STRATA_ERROR_NOT_FOUND },
        { "allow-protocols", "nbd", -1 },
        { "allow-protocols", "http", STRATA_ERROR_SPEC },
        { "backing-format", "raw", -1 },
        { "backing-format", "file", STRATA_ERROR_SPEC },
        { "metadata-cache", "1M", -1 },
        { "metadata-cache", "64G", -1 },
        { "metadata-cache", "1048575", STRATA_ERROR_SPEC },
        { "metadata-cache", "68719476737", STRATA_ERROR_SPEC },
        { "metadata-cache", "-1", STRATA_ERROR_SPEC },
        { "metadata-cache", "much", STRATA_ERROR_SPEC },
        { "object", "what", STRATA_ERROR_SPEC },
        { "format", "raw", STRATA_ERROR_SPEC },
    };

    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        g_autoptr(GError) error = NULL;
        gboolean taken = strata_policy_apply(f->policy, words[i].word, words[i].value, &error);

        g_assert_cmpint(taken, ==, words[i].code < 0);
        g_assert_cmpint(error ? error->code : -1, ==, words[i].code);
        g_assert_cmpint(strata_policy_knows(words[i].word), ==,
                        !g_str_equal(words[i].word, "format"));
    }
    g_assert_true(strata_policy_apply_all(f->policy, "allow", NULL, NULL));
    g_assert_false(strata_policy_apply_all(f->policy, "allow", dirs, NULL));
}

/* Reads tables of @n_bytes in all, twice. Returns whether all were there the second time. */
static gboolean
keeps_tables(const char *path, StrataPolicy *policy, guint64 n_bytes)
{
    const gsize size = 65536;
    g_autoptr(StrataGraph) graph = open_text(path, policy, NULL);
    guint64 work = 0;

    for (guint i = 0; i < 2; i++) {
        work = table_cache_count_work();
        for (guint64 offset = 0; offset < n_bytes; offset += size)
            table_unref(
                table_cache_get(graph->tables, strata_graph_get_top(graph), offset, size, NULL));
    }
    return table_cache_count_work() == work;
}

/* Copies of a policy say the same. */
static void
test_metadata_cache(Fixture *f, gconstpointer data)
{
    enum { MIB = 1 << 20 };
    const char *path = temp_dir_put_hole(f->dir, "tables", 40 * MIB);
    g_autoptr(StrataPolicy) copy = NULL;

    g_assert_true(keeps_tables(path, f->policy, 31 * MIB));
    g_assert_false(keeps_tables(path, f->policy, 33 * MIB));
    g_assert_true(strata_policy_set_metadata_cache(f->policy, 2 * MIB, NULL));
    copy = strata_policy_copy(f->policy);
    g_assert_true(keeps_tables(path, copy, MIB));
    g_assert_false(keeps_tables(path, copy, 3 * MIB));
    g_assert_true(strata_policy_set_metadata_cache(f->policy, 64 * MIB, NULL));
    g_assert_true(keeps_tables(path, f->policy, 40 * MIB));
}

static void
test_dot_dot(Fixture *f, gconstpointer data)
{
    g_assert_cmpint(symlink("../other", temp_dir_path(f->dir, "top/out")), ==, 0);
    g_assert_cmpint(symlink("sub", temp_dir_path(f->dir, "top/in")), ==, 0);
    temp_dir_put_hole(f->dir, "only-here", 512);
    temp_dir_put_hole(f->dir, "top/not-here", 512);
    assert_refused(f, "out/../not-here", "raw", STRATA_ERROR_POLICY, "\"--allow DIR\"");
    assert_refused(f, "out/../only-here", "raw", STRATA_ERROR_POLICY, "\"--allow DIR\"");
    assert_refused(f, "sub/../../top/../other/base", "raw", STRATA_ERROR_POLICY, "\"--allow DIR\"");
    assert_opens(f, "in/../base", "raw");
    assert_opens(f, "../top/base", "raw");
    assert_refused(f, "../top/none", "raw", STRATA_ERROR_NOT_FOUND, "No such file");
    g_assert_true(strata_policy_allow_dir(f->policy, f->dir->path, NULL));
    assert_opens(f, "out/../only-here", "raw");
    assert_refused(f, "out/../not-here", "raw", STRATA_ERROR_NOT_FOUND, "No such file");
}

/* However the allowed directory is written. */
static void
test_allowed_dir_spellings(Fixture *f, gconstpointer data)
{
    static const char *const spellings[] = {
        "other/", "other//", "other/.", "top/../other", "top/in/../../other", "link", "link/"
    };

    g_assert_cmpint(symlink("sub", temp_dir_path(f->dir, "top/in")), ==, 0);
    g_assert_cmpint(symlink("other", temp_dir_path(f->dir, "link")), ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(spellings); i++) {
        g_autofree char *dir = g_build_filename(f->dir->path, spellings[i], NULL);
        const char *absolute = temp_dir_path(f->dir, "other/base");

        strata_policy_unref(f->policy);
        f->policy = strata_policy_new();
        g_assert_true(strata_policy_allow_dir(f->policy, dir, NULL));
        assert_opens(f, absolute, "raw");
        assert_opens(f, "../other/base", "raw");
        assert_refused(f, "/etc/passwd", "raw", STRATA_ERROR_POLICY, "\"--allow DIR\"");
    }
}

static void
test_allowed_root(Fixture *f, gconstpointer data)
{
    g_autofree char *magic = NULL;
    int fd;

    g_assert_true(strata_policy_allow_dir(f->policy, "/", NULL));
    assert_opens(f, "../other/base", "raw");
    assert_opens(f, temp_dir_path(f->dir, "other/base"), "raw");
    assert_refused(f, "/dev/zero", "raw", STRATA_ERROR_UNSUPPORTED, "is a character device");
    assert_refused(f, "/", "raw", STRATA_ERROR_NOT_FOUND, "");
    fd = open(temp_dir_path(f->dir, "other/base"), O_RDONLY | O_CLOEXEC);
    magic = g_strdup_printf("/proc/self/fd/%d", fd);
    assert_refused(f, magic, "raw", STRATA_ERROR_IO, "symbolic links");
    close(fd);
}

/* Links of /proc lead to what a process has open, and not to what a name says. */
static void
test_magic_links(Fixture *f, gconstpointer data)
{
    const char *base = temp_dir_path(f->dir, "other/base");
    int fd = open(base, O_RDONLY | O_CLOEXEC);
    g_autofree char *magic = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autofree char *dev = g_strdup_printf("/dev/fd/%d", fd);

    g_assert_cmpint(symlink(magic, temp_dir_path(f->dir, "top/magic")), ==, 0);
    assert_refused(f, "magic", "raw", STRATA_ERROR_POLICY, "\"--allow DIR\"");
    assert_refused(f, magic, "raw", STRATA_ERROR_POLICY, "\"--allow DIR\"");
    assert_refused(f, dev, "raw", STRATA_ERROR_POLICY, "\"--allow DIR\"");
    assert_refused(f, "/dev/stdin", "raw", STRATA_ERROR_POLICY, "\"--allow DIR\"");
    assert_refused(f, "/proc/self/cwd/base", "raw", STRATA_ERROR_POLICY, "\"--allow DIR\"");
    close(fd);
}

static int
make_socket(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    return fd;
}

/* None of these may hang, whoever names them. */
static void
test_file_types(Fixture *f, gconstpointer data)
{
    const char *fifo = temp_dir_path(f->dir, "top/fifo");
    const char *socket_path = temp_dir_path(f->dir, "top/socket");

    close(make_socket(socket_path));
    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    g_assert_cmpint(symlink("fifo", temp_dir_path(f->dir, "top/link")), ==, 0);
    assert_refused(f, "fifo", "raw", STRATA_ERROR_UNSUPPORTED, "is a FIFO");
    assert_refused(f, "link", "raw", STRATA_ERROR_UNSUPPORTED, "is a FIFO");
    assert_refused(f, "sub", "raw", STRATA_ERROR_UNSUPPORTED, "is a directory");
    assert_refused(f, "socket", "raw", STRATA_ERROR_UNSUPPORTED, "is a socket");
    assert_open_fails(fifo, NULL, STRATA_ERROR_UNSUPPORTED, "is a FIFO");
    assert_open_fails(f->dir->path, NULL, STRATA_ERROR_UNSUPPORTED, "is a directory");
    assert_open_fails("/dev/zero", NULL, STRATA_ERROR_UNSUPPORTED, "is a character device");
    assert_open_fails(socket_path, NULL, STRATA_ERROR_UNSUPPORTED, "is a socket");
}

/* To open a device may do things, and to open a FIFO wakes who waits at its other end: what is no
 * image is not even opened. */
static void
test_not_opened(Fixture *f, gconstpointer data)
{
    const char *fifo = temp_dir_path(f->dir, "top/fifo");
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    int writer;
    char event[4096];

    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    writer = open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC); /* a reader would have what to read */
    g_assert_cmpint(write(writer, "QFI\xfb", 4), ==, 4);
    g_assert_cmpint(inotify_add_watch(watch, fifo, IN_OPEN), >=, 0);
    assert_refused(f, "fifo", "qcow2", STRATA_ERROR_UNSUPPORTED, "is a FIFO");
    assert_open_fails(fifo, NULL, STRATA_ERROR_UNSUPPORTED, "is a FIFO");
    g_assert_cmpint(read(watch, event, sizeof event), <, 0);
    close(open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC)); /* the watch works */
    g_assert_cmpint(read(watch, event, sizeof event), >, 0);
    close(writer);
    close(watch);
}

static void
test_probe(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StrataGraph) graph = NULL;
    g_autofree char *given = NULL;
    StrataNode *middle;

    temp_dir_put_qcow2(f->dir, "top/middle", "base", NULL);
    temp_dir_put_hole(f->dir, "top/foreign", 512);
    temp_dir_put_bytes(f->dir, "top/foreign", 0, "KDMV", 4);
    strata_policy_set_probe(f->policy, TRUE);
    graph = open_text(put_overlay(f, "middle", NULL), f->policy, &error);
    g_assert_no_error(error);
    middle = strata_node_get_child(strata_graph_get_top(graph), STRATA_ROLE_BACKING);
    g_assert_cmpstr(strata_node_get_driver(middle), ==, "qcow2");
    g_assert_cmpstr(strata_node_get_driver(strata_node_get_child(middle, STRATA_ROLE_BACKING)), ==,
                    "raw");
    assert_refused(f, "foreign", NULL, STRATA_ERROR_UNSUPPORTED, "--backing-format raw");
    assert_refused(f, "base", "qcow2", STRATA_ERROR_DAMAGED, "qcow2");
    assert_refused(f, "../other/base", NULL, STRATA_ERROR_POLICY, "\"--allow DIR\"");
    assert_refused(f, "overlay.qcow2", NULL, STRATA_ERROR_DAMAGED, "back to where they began");
    assert_opens(f, "json:{\"file.filename\":\"base\"}", NULL);
    assert_refused(f, "json:{\"filename\":\"base\"}", NULL, STRATA_ERROR_SPEC,
                   "needs \"driver\" or \"file\"");
    assert_refused(f, "json:{\"offset\":512,\"file.filename\":\"middle\"}", NULL, STRATA_ERROR_SPEC,
                   "driver \"qcow2\" has no key \"offset\"");
    given = g_strdup_printf("json:{\"driver\":\"qcow2\",\"file.filename\":\"%s\",\"backing\":{"
                            "\"filename\":\"x\"}}",
                            put_overlay(f, NULL, NULL));
    assert_open_fails(given, f->policy, STRATA_ERROR_SPEC, "backing has no \"file\"");
    g_assert_true(strata_policy_set_backing_format(f->policy, "raw", NULL));
    assert_opens(f, "foreign", NULL);
    strata_policy_set_backing_format(f->policy, NULL, NULL);
    strata_policy_set_probe(f->policy, FALSE);
    assert_refused(f, "base", NULL, STRATA_ERROR_POLICY, "\"--probe\"");
}

/* A cycle may be hidden in a json: name, deeper than the node that the header names. */
static void
test_cycles(Fixture *f, gconstpointer data)
{
    const char *self = temp_dir_path(f->dir, "top/overlay.qcow2");

    g_assert_cmpint(symlink("overlay.qcow2", temp_dir_path(f->dir, "top/link")), ==, 0);
    put_overlay(f, NULL, NULL);
    g_assert_cmpint(link(self, temp_dir_path(f->dir, "top/sub/hard")), ==, 0);
    assert_refused(f, "overlay.qcow2", "qcow2", STRATA_ERROR_DAMAGED, "back to where they began");
    assert_refused(f, "link", "qcow2", STRATA_ERROR_DAMAGED, "back to where they began");
    assert_refused(f, "./sub/..//overlay.qcow2", "qcow2", STRATA_ERROR_DAMAGED,
                   "back to where they began");
    assert_refused(f,
                   "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"qcow2\",\"file.filename\":"
                   "\"overlay.qcow2\"}}",
                   NULL, STRATA_ERROR_DAMAGED, "back to where they began");
    assert_refused(f,
                   "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"raw\",\"file.filename\":"
                   "\"overlay.qcow2\"}}",
                   NULL, STRATA_ERROR_DAMAGED, "back to where they began");
    assert_opens(f, "json:{\"driver\":\"raw\",\"file.filename\":\"overlay.qcow2\"}", NULL);
}

/* --- somebody swaps names while graphs are opened --- */

#define OPENINGS 3000

typedef struct {
    const char *name;  /* what is swapped */
    const char *spare; /* for what, to and fro */
    gint stop;         /* atomic */
    guint n_swaps;
} Swapper;

static gpointer
swap_names(gpointer data)
{
    Swapper *swapper = data;

    while (!g_atomic_int_get(&swapper->stop)) {
        g_assert_cmpint(
            renameat2(AT_FDCWD, swapper->name, AT_FDCWD, swapper->spare, RENAME_EXCHANGE), ==, 0);
        swapper->n_swaps++;
    }
    return NULL;
}

/* What the backing file of @top holds first; 0 where it was refused. */
static char
first_byte(Fixture *f, const char *top)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StrataGraph) graph = open_text(top, f->policy, &error);
    g_autoptr(StrataWalk) walk = NULL;
    char byte;

    if (!graph) {
        if (error->code != STRATA_ERROR_POLICY && error->code != STRATA_ERROR_NOT_FOUND)
            g_assert_no_error(error);
        return 0;
    }
    walk = strata_walk_new(strata_graph_get_top(graph));
    g_assert_true(strata_walk_read(walk, 0, 1, &byte, &error));
    return byte;
}

/* Opens @top again and again while @name and @spare are swapped: a byte of the file outside must
 * never be read. Returns how often it was refused. */
static guint
swap_and_open(Fixture *f, const char *top, const char *name, const char *spare)
{
    Swapper swapper = { .name = name, .spare = spare };
    GThread *thread = g_thread_new("swapper", swap_names, &swapper);
    guint n_refused = 0;

    for (guint i = 0; i < OPENINGS; i++) {
        char byte = first_byte(f, top);

        g_assert_cmpint(byte, !=, 'O');
        n_refused += byte == 0;
    }
    g_atomic_int_set(&swapper.stop, 1);
    g_thread_join(thread);
    g_test_message("%u swaps, %u of %u refused", swapper.n_swaps, n_refused, OPENINGS);
    g_assert_cmpuint(n_refused, <, OPENINGS);
    return n_refused;
}

/* Both outcomes must be seen, else nothing was tried. */
static void
assert_never_outside(Fixture *f, const char *top, const char *name, const char *spare)
{
    g_assert_cmpuint(swap_and_open(f, top, name, spare), >, 0);
}

static void
fill_in_and_out(Fixture *f)
{
    temp_dir_fill(f->dir, "top/base", 0, 512, 'I');
    temp_dir_fill(f->dir, "top/sub/base", 0, 512, 'I');
    temp_dir_fill(f->dir, "other/base", 0, 512, 'O');
}

static void
test_swapped_link(Fixture *f, gconstpointer data)
{
    const char *name = temp_dir_path(f->dir, "top/name");
    const char *spare = temp_dir_path(f->dir, "top/spare");

    fill_in_and_out(f);
    g_assert_cmpint(symlink("sub/base", name), ==, 0);
    g_assert_cmpint(symlink("../other/base", spare), ==, 0);
    assert_never_outside(f, put_overlay(f, "name", "raw"), name, spare);
}

static void
test_swapped_absolute_link(Fixture *f, gconstpointer data)
{
    const char *name = temp_dir_path(f->dir, "top/name");
    const char *spare = temp_dir_path(f->dir, "top/spare");

    fill_in_and_out(f);
    g_assert_cmpint(symlink(temp_dir_path(f->dir, "top/base"), name), ==, 0);
    g_assert_cmpint(symlink(temp_dir_path(f->dir, "other/base"), spare), ==, 0);
    assert_never_outside(f, put_overlay(f, "name", "raw"), name, spare);
}

static void
test_swapped_dir(Fixture *f, gconstpointer data)
{
    const char *spare = temp_dir_path(f->dir, "top/spare");

    fill_in_and_out(f);
    g_assert_cmpint(symlink("../other", spare), ==, 0);
    assert_never_outside(f, put_overlay(f, "sub/base", "raw"), temp_dir_path(f->dir, "top/sub"),
                         spare);
}

/* A ".." that leads out when the directory before it is moved meanwhile: the kernel notices, and is
 * asked again. */
static void
test_swapped_dot_dot(Fixture *f, gconstpointer data)
{
    const char *spare = temp_dir_path(f->dir, "other/spare");

    fill_in_and_out(f);
    g_mkdir(spare, 0700);
    g_assert_cmpint(symlink("sub/../base", temp_dir_path(f->dir, "top/link")), ==, 0);
    swap_and_open(f, put_overlay(f, "link", "raw"), temp_dir_path(f->dir, "top/sub"), spare);
}

/* The topmost image's own directory is the one in which its file was found, and no other that bears
 * the name before or after. */
static void
test_swapped_top(Fixture *f, gconstpointer data)
{
    const char *outside = temp_dir_path(f->dir, "other/base");
    const char *name = temp_dir_path(f->dir, "name");
    const char *spare = temp_dir_path(f->dir, "spare");
    g_autofree char *top = g_build_filename(name, "overlay.qcow2", NULL);

    fill_in_and_out(f);
    put_overlay(f, outside, "raw");
    g_assert_cmpint(symlink("top", name), ==, 0);
    g_assert_cmpint(symlink("other", spare), ==, 0);
    temp_dir_put_hole(f->dir, "other/inner", 512);
    temp_dir_fill(f->dir, "other/inner", 0, 512, 'I');
    temp_dir_put_qcow2(f->dir, "other/overlay.qcow2", "inner", "raw");
    assert_never_outside(f, top, name, spare);
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
    ADD("allowed-protocols", test_allowed_protocols);
    ADD("unknown-protocols", test_unknown_protocols);
    ADD("json", test_json);
    ADD("formats", test_formats);
    ADD("settings", test_settings);
    ADD("confined", test_confined);
    ADD("words", test_words);
    ADD("metadata-cache", test_metadata_cache);
    ADD("dot-dot", test_dot_dot);
    ADD("allowed-dir-spellings", test_allowed_dir_spellings);
    ADD("allowed-root", test_allowed_root);
    ADD("magic-links", test_magic_links);
    ADD("file-types", test_file_types);
    ADD("not-opened", test_not_opened);
    ADD("probe", test_probe);
    ADD("cycles", test_cycles);
    ADD("swapped-link", test_swapped_link);
    ADD("swapped-absolute-link", test_swapped_absolute_link);
    ADD("swapped-dir", test_swapped_dir);
    ADD("swapped-dot-dot", test_swapped_dot_dot);
    ADD("swapped-top", test_swapped_top);
    return g_test_run();
}
