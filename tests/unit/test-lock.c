/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-lock.c - which bytes of a file are locked, and whose locks keep us out. This program has an
 * fcntl() of its own, which the library's object files find before libc's. */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "temp-dir.h"

#define PERMISSIONS 5 /* as many as any QEMU had */

static int
open_to_write(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

/* The errno of a file system that has no locks; 0 for one that has. */
static int no_locks;

int
fcntl(int fd, int command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (no_locks && (command == F_OFD_SETLK || command == F_OFD_GETLK)) {
        errno = no_locks;
        return -1;
    }
    return syscall(SYS_fcntl, fd, command, argument);
}

/* Another open file, so another owner of locks, though in this process. */
static int
hold(const char *path, short type, off_t byte)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    int fd = open_to_write(path);

    g_assert_cmpint(fcntl(fd, F_OFD_SETLK, &lock), ==, 0);
    return fd;
}

/* The locked ones of bytes 100 to 104 and 200 to 204. */
static char *
list_locked(const char *path)
{
    GString *list = g_string_new(NULL);
    int fd = open_to_write(path);

    for (off_t base = 100; base <= 200; base += 100) {
        for (off_t byte = base; byte < base + PERMISSIONS; byte++) {
            struct flock lock = {
                .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
            };

            g_assert_cmpint(fcntl(fd, F_OFD_GETLK, &lock), ==, 0);
            if (lock.l_type != F_UNLCK)
                g_string_append_printf(list, "%s%d", list->len ? " " : "", (int)byte);
        }
    }
    close(fd);
    return g_string_free(list, FALSE);
}

static void
assert_locked(const char *path, const char *expected)
{
    g_autofree char *locked = list_locked(path);

    g_assert_cmpstr(locked, ==, expected);
}

static char *
spec_of(const char *path, const char *more)
{
    return g_strdup_printf("json:{\"driver\":\"raw\",\"file\":{\"driver\":\"file\","
                           "\"filename\":\"%s\"%s}}",
                           path, more);
}

static StrataGraph *
open_with(const char *path, const char *more, StrataPolicy *policy)
{
    g_autofree char *text = spec_of(path, more);
    g_autoptr(GError) error = NULL;
    StrataGraph *graph = open_text(text, policy, &error);

    g_assert_no_error(error);
    return graph;
}

static void
test_bytes(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "a", 4096);
    g_autoptr(StrataPolicy) sharing = strata_policy_new();
    const struct {
        const char *more;
        StrataPolicy *policy;
        const char *locked;
    } cases[] = {
        { "", NULL, "100 201 203" },
        { ",\"locking\":\"auto\"", NULL, "100 201 203" },
        { ",\"locking\":\"on\"", NULL, "100 201 203" },
        { ",\"locking\":\"off\"", NULL, "" },
        { ",\"force-share\":true", NULL, "100" },
        { ",\"force-share\":\"off\"", NULL, "100 201 203" },
        { "", sharing, "100" },
        { ",\"force-share\":false", sharing, "100 201 203" },
    };

    strata_policy_set_force_share(sharing, TRUE);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(StrataGraph) graph = open_with(path, cases[i].more, cases[i].policy);

        g_test_message("%s", cases[i].more);
        assert_locked(path, cases[i].locked);
    }
    assert_locked(path, ""); /* closing ends them */
}

/* What a node says holds for the nodes below it, whatever the role, until one says otherwise. */
static void
test_force_share_is_inherited(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *base = temp_dir_put_qcow2(dir, "base", NULL, NULL);
    const char *middle = temp_dir_put_qcow2(dir, "middle", "base", "qcow2");
    const char *top = temp_dir_put_qcow2(dir, "top", "middle", "qcow2");
    g_autoptr(StrataGraph) graph =
        open_format("json:{\"driver\":\"qcow2\",\"force-share\":true,"
                    "\"file\":{\"filename\":\"%s\"},"
                    "\"backing\":{\"driver\":\"qcow2\",\"file\":{\"filename\":\"%s\","
                    "\"force-share\":false}}}",
                    top, middle);

    assert_locked(top, "100");
    assert_locked(middle, "100 201 203");
    assert_locked(base, "100");
}

static void
test_readers_share(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "a", 4096);
    g_autoptr(StrataGraph) first = open_with(path, "", NULL);
    g_autoptr(StrataGraph) second = open_with(path, "", NULL);
    g_autoptr(StrataGraph) third = open_with(path, ",\"force-share\":true", NULL);

    g_clear_pointer(&first, strata_graph_unref);
    assert_locked(path, "100 201 203"); /* closing one does not take away the other's */
}

static void
test_held_by_others(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "a", 4096);
    g_autofree char *plain = spec_of(path, "");
    g_autofree char *sharing = spec_of(path, ",\"force-share\":true");
    const struct {
        short type;
        off_t byte;
        const char *words;         /* NULL: it opens */
        const char *words_sharing; /* likewise with force-share */
    } cases[] = {
        { F_RDLCK, 100, NULL, NULL },
        { F_RDLCK, 101, "somebody else writes to it (\"write\")", NULL },
        { F_RDLCK, 102, NULL, NULL },
        { F_RDLCK, 103, "somebody else may resize it (\"resize\")", NULL },
        { F_RDLCK, 200, "(\"consistent read\"), as the lock on its byte 200 says", "byte 200" },
        { F_RDLCK, 201, NULL, NULL },
        { F_RDLCK, 203, NULL, NULL },
        { F_WRLCK, 100, "holds it for itself alone, as the lock on its byte 100 says", "byte 100" },
        { F_WRLCK, 203, "byte 203", NULL },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        int fd = hold(path, cases[i].type, cases[i].byte);

        g_test_message("byte %d", (int)cases[i].byte);
        if (cases[i].words)
            assert_open_fails(plain, NULL, STRATA_ERROR_LOCKED, cases[i].words);
        else
            strata_graph_unref(open_with(path, "", NULL));
        if (cases[i].words_sharing)
            assert_open_fails(sharing, NULL, STRATA_ERROR_LOCKED, cases[i].words_sharing);
        else
            strata_graph_unref(open_with(path, ",\"force-share\":true", NULL));
        strata_graph_unref(open_with(path, ",\"locking\":\"off\"", NULL));
        close(fd);
    }
}

/* A writer says which way out there is, and which file is meant, be it deep down. */
static void
test_message(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *base = temp_dir_put_qcow2(dir, "base", NULL, NULL);
    const char *top = temp_dir_put_qcow2(dir, "top", "base", "qcow2");
    int fd = hold(base, F_RDLCK, 101);

    assert_open_fails(top, NULL, STRATA_ERROR_LOCKED, "--force-share");
    assert_open_fails(top, NULL, STRATA_ERROR_LOCKED, "nbdkit: force-share=");
    assert_open_fails(top, NULL, STRATA_ERROR_LOCKED, base);
    close(fd);
}

/* Whether a writer is kept out is not for an image to say. */
static void
test_headers_do_not_decide(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *base = temp_dir_put_hole(dir, "base", 4096);
    const char *top = temp_dir_put_qcow2(dir, "top",
                                         "json:{\"driver\":\"raw\",\"force-share\":true,"
                                         "\"file\":{\"driver\":\"file\",\"filename\":\"base\","
                                         "\"locking\":\"off\"}}",
                                         "raw");
    g_autoptr(StrataGraph) graph = open_format("%s", top);

    assert_locked(base, "100 201 203");
}

static void
test_file_systems_without_locks(void)
{
    static const int codes[] = { ENOLCK, EINVAL, ENOSYS, EOPNOTSUPP };
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_put_hole(dir, "a", 4096);
    g_autofree char *on = spec_of(path, ",\"locking\":\"on\"");
    g_autofree char *automatic = spec_of(path, "");

    for (gsize i = 0; i < G_N_ELEMENTS(codes); i++) {
        no_locks = codes[i];
        strata_graph_unref(open_with(path, "", NULL));
        strata_graph_unref(open_with(path, ",\"locking\":\"off\"", NULL));
        assert_open_fails(on, NULL, STRATA_ERROR_IO, "its file system has no locks");
    }
    no_locks = EIO; /* it has locks, and refused this one */
    assert_open_fails(automatic, NULL, STRATA_ERROR_IO, "cannot lock its byte 100");
    no_locks = 0;
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lock/bytes", test_bytes);
    g_test_add_func("/lock/force-share-is-inherited", test_force_share_is_inherited);
    g_test_add_func("/lock/readers-share", test_readers_share);
    g_test_add_func("/lock/held-by-others", test_held_by_others);
    g_test_add_func("/lock/message", test_message);
    g_test_add_func("/lock/headers-do-not-decide", test_headers_do_not_decide);
    g_test_add_func("/lock/file-systems-without-locks", test_file_systems_without_locks);
    return g_test_run();
}
