/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-holes.c - how often a file system is asked for holes, and what becomes of odd answers. This
 * program has an lseek() and an fstat() of its own, which the library's object files find before
 * libc's. */
#include "holes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utime.h>

#include "temp-dir.h"

#define BLOCK ((guint64)65536)

/* What kind of file system it is. */
typedef enum {
    KERNEL,        /* what the kernel says */
    KNOWS_NOTHING, /* has no SEEK_DATA */
    ALL_IS_DATA,   /* reports no holes, as POSIX allows */
    STANDS_STILL,  /* says that what begins at the offset ends there */
} FileSystem;

static FileSystem file_system;
static guint n_seeks;
static guint n_examined;

int
fstat(int fd, struct stat *out_stat)
{
    n_examined++;
    return fstatat(fd, "", out_stat, AT_EMPTY_PATH);
}

off_t
lseek(int fd, off_t offset, int whence)
{
    struct stat st;

    n_seeks++;
    if (file_system == KERNEL || (whence != SEEK_DATA && whence != SEEK_HOLE))
        return syscall(SYS_lseek, fd, offset, whence);
    if (file_system == KNOWS_NOTHING) {
        errno = EINVAL;
        return -1;
    }
    g_assert_cmpint(fstat(fd, &st), ==, 0);
    return file_system == ALL_IS_DATA && whence == SEEK_HOLE ? st.st_size : offset;
}

typedef struct {
    TempDir *dir;
    int fd;
    HoleMap *map;
    guint64 size;
    guint state; /* as of changes_get_state() */
} Fixture;

/* @n_blocks of 64 KiB, every other one a hole: the first, and so on. */
static void
set_up(Fixture *fixture, guint n_blocks)
{
    const char *path;

    fixture->dir = temp_dir_new();
    fixture->size = n_blocks * BLOCK;
    path = temp_dir_put_hole(fixture->dir, "a", fixture->size);
    for (guint i = 1; i < n_blocks; i += 2)
        temp_dir_fill(fixture->dir, "a", i * BLOCK, BLOCK, 1);
    fixture->fd = open(path, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(fixture->fd, >=, 0);
    fixture->map = hole_map_new(fixture->fd, fixture->size);
}

static void
tear_down(Fixture *fixture)
{
    hole_map_free(fixture->map);
    close(fixture->fd);
    temp_dir_free(fixture->dir);
    file_system = KERNEL;
}

/* Asks for each block by itself, as a walk over clusters does, and returns how many are holes. */
static guint
ask_by_block(Fixture *fixture)
{
    guint n_holes = 0;

    for (guint64 offset = 0; offset < fixture->size; offset += BLOCK) {
        g_auto(HoleView) view = { 0 };
        gboolean is_hole;

        hole_view_open(&view, fixture->map, fixture->state);
        g_assert_cmpuint(hole_view_find(&view, offset, &is_hole), >, offset);
        n_holes += is_hole;
    }
    return n_holes;
}

/* A file that was just written to is not remembered yet: waits until it is, and fails if it never
 * is. Returns the seeks of the first time that was remembered. */
static guint
ask_until_remembered(Fixture *fixture)
{
    gint64 deadline = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;
    guint n_before, n_last;

    n_last = 0;
    do {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        n_before = n_seeks;
        ask_by_block(fixture);
        if (n_seeks > n_before)
            n_last = n_seeks - n_before;
        g_usleep(1000);
    } while (n_seeks > n_before);
    return n_last;
}

/* Each extent costs the file system two questions, once. */
static void
test_asked_once(void)
{
    const guint n_blocks = 2000;
    Fixture fixture;
    guint n_first;

    set_up(&fixture, n_blocks);
    n_first = ask_until_remembered(&fixture);
    g_assert_cmpuint(n_first, <=, 2 * n_blocks + 64);
    for (guint i = 0; i < 10; i++) {
        n_seeks = 0;
        g_assert_cmpuint(ask_by_block(&fixture), ==, n_blocks / 2);
        g_assert_cmpuint(n_seeks, ==, 0);
    }
    tear_down(&fixture);
}

/* Anybody may give a file a time in the future; it is remembered all the same. */
static void
test_future_time(void)
{
    const struct utimbuf future = { 4102444800, 4102444800 };
    Fixture fixture;

    set_up(&fixture, 10);
    g_assert_cmpint(utime(temp_dir_path(fixture.dir, "a"), &future), ==, 0);
    g_assert_cmpuint(ask_until_remembered(&fixture), >, 0);
    tear_down(&fixture);
}

static guint
count_holes(Fixture *fixture, guint state)
{
    fixture->state = state;
    return ask_by_block(fixture);
}

/* While the files are known to be in the same state, this one is not looked at again; in another
 * state it is, once. */
static void
test_examined_once_in_a_state(void)
{
    enum { N_BLOCKS = 100 };
    Fixture fixture;

    set_up(&fixture, N_BLOCKS);
    g_assert_cmpuint(count_holes(&fixture, 3), ==, N_BLOCKS / 2);
    n_examined = n_seeks = 0;
    g_assert_cmpuint(count_holes(&fixture, 3), ==, N_BLOCKS / 2);
    g_assert_cmpuint(n_examined, ==, 0);
    g_assert_cmpuint(n_seeks, ==, 0);
    temp_dir_fill(fixture.dir, "a", 0, BLOCK, 1);
    g_assert_cmpuint(count_holes(&fixture, 3), ==, N_BLOCKS / 2);
    g_assert_cmpuint(n_examined, ==, 0);
    g_assert_cmpuint(count_holes(&fixture, 5), ==, N_BLOCKS / 2 - 1);
    g_assert_cmpuint(n_examined, ==, 1);
    temp_dir_fill(fixture.dir, "a", 2 * BLOCK, BLOCK, 1);
    g_assert_cmpuint(count_holes(&fixture, 0), ==, N_BLOCKS / 2 - 2);
    tear_down(&fixture);
}

static void
test_odd_file_systems(void)
{
    static const FileSystem kinds[] = { KNOWS_NOTHING, ALL_IS_DATA, STANDS_STILL };

    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        Fixture fixture;

        file_system = kinds[i];
        set_up(&fixture, 10);
        g_assert_cmpuint(ask_by_block(&fixture), ==, 0);
        tear_down(&fixture);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/holes/asked-once", test_asked_once);
    g_test_add_func("/holes/future-time", test_future_time);
    g_test_add_func("/holes/examined-once-in-a-state", test_examined_once_in_a_state);
    g_test_add_func("/holes/odd-file-systems", test_odd_file_systems);
    return g_test_run();
}
