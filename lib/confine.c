/* SPDX-License-Identifier: LGPL-2.1-or-later
 * confine.c - files beneath directories that are held open, found without being opened.
 *
 * A name is looked up with openat2() and RESOLVE_BENEATH, from a directory that is held open: the
 * kernel itself then refuses to leave that directory, by "..", by symbolic link or by a race.
 * Comparing paths only chooses the directory to try; it grants nothing. */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIND_FLAGS (O_PATH | O_CLOEXEC)

/* O_NONBLOCK: what somebody holds a lease on is an error and not a wait. */
#define READ_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* The kernel says EAGAIN when somebody renames a directory while ".." is followed beneath it. */
#define MAX_TRIES 100

/* Constant, so that lists share it. */
typedef struct {
    gint ref_count; /* atomic */
    char *path;     /* absolute, without "." and ".." */
    int fd;         /* O_PATH */
} Dir;

static gpointer
dir_ref(gconstpointer source, gpointer data)
{
    Dir *dir = (Dir *)source;

    g_atomic_int_inc(&dir->ref_count);
    return dir;
}

static void
dir_unref(Dir *dir)
{
    if (!g_atomic_int_dec_and_test(&dir->ref_count))
        return;
    close(dir->fd);
    g_free(dir->path);
    g_free(dir);
}

GPtrArray *
confine_dirs_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)dir_unref);
}

GPtrArray *
confine_dirs_copy(GPtrArray *dirs)
{
    GPtrArray *copy = confine_dirs_new();

    g_ptr_array_extend(copy, dirs, dir_ref, NULL);
    return copy;
}

/* Where ".." follows a symbolic link, only the kernel knows where it leads. */
static gboolean
has_dot_dot(const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);

    return g_strv_contains((const char *const *)parts, "..");
}

/* "/proc/self/fd/N". Free with g_free(). */
static char *
link_to(int fd)
{
    return g_strdup_printf("/proc/self/fd/%d", fd);
}

/* The path that the kernel knows for @fd; NULL if it tells none. */
static char *
real_path_of(int fd)
{
    g_autofree char *link = link_to(fd);

    return g_file_read_link(link, NULL);
}

static gboolean
has_path(gconstpointer dir, gconstpointer path)
{
    return g_str_equal(((const Dir *)dir)->path, path);
}

/* Takes @path and @fd. What already goes by that name stays: it was opened first. */
static void
add(GPtrArray *dirs, char *path, int fd)
{
    Dir *dir = g_new0(Dir, 1);
    gboolean is_known = g_ptr_array_find_with_equal_func(dirs, path, has_path, NULL);

    dir->ref_count = 1;
    dir->path = path;
    dir->fd = fd;
    if (is_known)
        dir_unref(dir);
    else
        g_ptr_array_add(dirs, dir);
}

/* Adds the directory @fd, which it takes, by the name @path and, where symbolic links make it
 * another, by its real one: names in headers are written in either. */
static void
add_by_both_names(GPtrArray *dirs, const char *path, int fd)
{
    g_autofree char *named = has_dot_dot(path) ? NULL : g_canonicalize_filename(path, NULL);
    g_autofree char *real = real_path_of(fd);
    int real_fd = real && g_strcmp0(real, named) != 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;

    if (real_fd >= 0)
        add(dirs, g_steal_pointer(&real), real_fd);
    if (named)
        add(dirs, g_steal_pointer(&named), fd);
    else
        close(fd);
}

gboolean
confine_add_dir(GPtrArray *dirs, const char *path)
{
    int fd = open(path, FIND_FLAGS | O_DIRECTORY);

    if (fd < 0)
        return FALSE;
    add_by_both_names(dirs, path, fd);
    return TRUE;
}

static gboolean
is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Adds the directory in which the file @fd really is. Somebody may rename directories meanwhile: it
 * is added only if that file is seen to be in it. */
static void
add_real_dir_of(GPtrArray *dirs, int fd)
{
    g_autofree char *path = real_path_of(fd);
    g_autofree char *parent = path ? g_path_get_dirname(path) : NULL;
    g_autofree char *name = path ? g_path_get_basename(path) : NULL;
    int parent_fd = parent ? open(parent, FIND_FLAGS | O_DIRECTORY) : -1;
    struct stat wanted, found;

    if (parent_fd < 0)
        return;
    if (fstat(fd, &wanted) == 0 &&
        fstatat(parent_fd, name, &found, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0 &&
        is_same_file(&wanted, &found))
        add_by_both_names(dirs, parent, parent_fd);
    else
        close(parent_fd);
}

/* The directory is opened first and the file is found in it, so that nobody can put another
 * directory in its place between the two. */
int
confine_find_top(GPtrArray *dirs, const char *filename)
{
    const char *slash = strrchr(filename, '/');
    const char *name = slash ? slash + 1 : filename;
    g_autofree char *parent = slash ? g_strndup(filename, slash - filename + 1) : g_strdup(".");
    int parent_fd = open(parent, FIND_FLAGS | O_DIRECTORY);
    int fd = parent_fd < 0 ? -1 : openat(parent_fd, *name ? name : ".", FIND_FLAGS);

    if (fd < 0) {
        int saved_errno = errno;

        if (parent_fd >= 0)
            close(parent_fd);
        errno = saved_errno;
        return -1;
    }
    add_by_both_names(dirs, parent, parent_fd);
    add_real_dir_of(dirs, fd);
    return fd;
}

/* What of absolute @path lies beneath @dir, or NULL if it does not. */
static const char *
path_beneath(const Dir *dir, const char *path)
{
    gsize length = strlen(dir->path);

    if (g_str_equal(dir->path, "/"))
        return path + 1;
    return g_str_has_prefix(path, dir->path) && path[length] == '/' ? path + length + 1 : NULL;
}

static int
find_beneath(const Dir *dir, const char *name)
{
    const struct open_how how = {
        .flags = FIND_FLAGS,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    int fd;

    for (int i = 0; i < MAX_TRIES; i++) {
        fd = (int)syscall(SYS_openat2, dir->fd, name, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    return fd;
}

/* Finds absolute @path beneath the first of @dirs that has it; EXDEV where none has. */
static int
find_beneath_any(GPtrArray *dirs, const char *path)
{
    for (guint i = 0; i < dirs->len; i++) {
        const char *rest = path_beneath(dirs->pdata[i], path);
        int fd = rest ? find_beneath(dirs->pdata[i], rest) : -1;

        if (rest && (fd >= 0 || errno != EXDEV))
            return fd;
    }
    errno = EXDEV;
    return -1;
}

static int
find_in_either(GPtrArray *dirs, GPtrArray *more_dirs, const char *path)
{
    int fd = find_beneath_any(dirs, path);

    return fd < 0 && errno == EXDEV ? find_beneath_any(more_dirs, path) : fd;
}

/* Where @path leads now; of a file that is not there, where it would be. NULL where that cannot be
 * told. For free(). */
static char *
resolve(const char *path)
{
    g_autofree char *parent = NULL;
    g_autofree char *name = NULL;
    g_autofree char *real_parent = NULL;
    char *real = realpath(path, NULL);

    if (real || errno != ENOENT)
        return real;
    parent = g_path_get_dirname(path);
    name = g_path_get_basename(path);
    real_parent = realpath(parent, NULL);
    return real_parent ? g_build_filename(real_parent, name, NULL) : NULL;
}

/* A symbolic link, or a "..", that leaves its directory may still lead into an allowed one: the
 * second try is for where the name really leads, under the same confinement. */
int
confine_find(GPtrArray *dirs, GPtrArray *more_dirs, const char *filename)
{
    g_autofree char *path = g_canonicalize_filename(filename, NULL);
    g_autofree char *real = NULL;

    if (!has_dot_dot(filename)) {
        int fd = find_in_either(dirs, more_dirs, path);

        if (fd >= 0 || errno != EXDEV)
            return fd;
    }
    real = resolve(filename);
    if (real)
        return find_in_either(dirs, more_dirs, real);
    /* Outside: whether anything is there at all is not told either. */
    errno = EXDEV;
    return -1;
}

int
confine_find_anywhere(const char *filename)
{
    return open(filename, FIND_FLAGS);
}

int
confine_reopen(int path_fd)
{
    g_autofree char *link = link_to(path_fd);
    int fd = open(link, READ_FLAGS);

    if (fd < 0 && errno == ENOENT)
        errno = ENOSYS;
    return fd;
}
