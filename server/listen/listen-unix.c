/* SPDX-License-Identifier: LGPL-2.1-or-later
 * listen-unix.c - Unix sockets: they appear when they are connectable, and with the rights that
 * they are to have. */
#include "listen-family.h"
#include "throw.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static gboolean
fill_address(struct sockaddr_un *address, const char *path, GError **error)
{
    if (strlen(path) >= sizeof address->sun_path)
        return throw_error(
            error, STRATA_ERROR_IO,
            "the socket path '%s' is %zu bytes long, but %zu are the system's limit; "
            "choose a shorter one",
            path, strlen(path), sizeof address->sun_path - 1);
    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(address->sun_path, path, strlen(path) + 1);
    return TRUE;
}

/* Whether nobody listens on the socket at @path. A full queue is somebody, too. */
static gboolean
is_stale(const char *path)
{
    struct sockaddr_un address;
    int fd;
    gboolean refused;

    if (!fill_address(&address, path, NULL))
        return FALSE;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return FALSE;
    refused = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

/* Whether what stands at @path may be replaced; nothing there is fine. */
static gboolean
check_place(const char *path, gboolean *out_exists, GError **error)
{
    struct stat found;

    *out_exists = lstat(path, &found) == 0;
    if (!*out_exists)
        return TRUE;
    if (!S_ISSOCK(found.st_mode))
        return throw_error(
            error, STRATA_ERROR_IO,
            "cannot listen on '%s': it exists and is not a socket; choose another path", path);
    if (!is_stale(path))
        return throw_error(
            error, STRATA_ERROR_IO,
            "cannot listen on '%s': the socket is busy, another server listens there; "
            "stop it or choose another path",
            path);
    return TRUE;
}

/* Moves the socket from its temporary name to @path. */
static gboolean
put_in_place(const char *temporary, const char *path, GError **error)
{
    gboolean exists;
    unsigned int flags;

    if (!check_place(path, &exists, error))
        return FALSE;
    flags = exists ? 0 : RENAME_NOREPLACE;
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, flags) == 0)
        return TRUE;
    return throw_error(error, STRATA_ERROR_IO, "cannot listen on '%s': %s", path,
                       g_strerror(errno));
}

/* Binds to @name, with the permissions @mode, or, where that is negative, those that the umask
 * leaves. The file has the mode that the socket has by then: at no time has it another. Returns
 * FALSE with errno set. */
static gboolean
bind_with_mode(int fd, const struct sockaddr_un *name, int mode)
{
    mode_t umask_before;
    gboolean bound;
    int saved_errno;

    if (mode < 0)
        return bind(fd, (const struct sockaddr *)name, sizeof *name) == 0;
    if (fchmod(fd, (mode_t)mode) < 0)
        return FALSE;
    umask_before = umask(0);
    bound = bind(fd, (const struct sockaddr *)name, sizeof *name) == 0;
    saved_errno = errno;
    umask(umask_before);
    errno = saved_errno;
    return bound;
}

static gboolean
refuse_swapped(const char *path, GError **error)
{
    return throw_error(error, STRATA_ERROR_IO,
                       "cannot listen on '%s': somebody put something else in the place of the new "
                       "socket; choose a directory in which nobody else can",
                       path);
}

/* @file: what stands at the name that was bound, held by a descriptor, and @made, what it is. The
 * directory may be another user's, who may have put another socket there; but none of root's. */
static gboolean
set_group(int file, const struct stat *made, const char *path, gid_t group, GError **error)
{
    if (made->st_uid != geteuid() || made->st_nlink != 1)
        return refuse_swapped(path, error);
    return fchownat(file, "", (uid_t)-1, group, AT_EMPTY_PATH) == 0 ||
           throw_error(error, STRATA_ERROR_IO, "cannot give the socket '%s' to the group %u: %s%s",
                       path, group, g_strerror(errno),
                       errno == EPERM ? "; choose a group that this user is in" : "");
}

/* From a socket that has a name to one that has its place. Until it listens it turns everybody
 * away. @file: as above */
static gboolean
open_to_all(Listener *listener, int file, const char *temporary, const StrataSocketRights *rights,
            GError **error)
{
    struct stat made;

    if (file < 0 || fstat(file, &made) < 0)
        return throw_error(error, STRATA_ERROR_IO, "cannot listen on '%s': %s", listener->path,
                           g_strerror(errno));
    if (!S_ISSOCK(made.st_mode))
        return refuse_swapped(listener->path, error);
    if (rights != NULL && rights->group != (gid_t)-1 &&
        !set_group(file, &made, listener->path, rights->group, error))
        return FALSE;
    if (listen(listener->fd, LISTEN_BACKLOG) < 0)
        return throw_error(error, STRATA_ERROR_IO, "cannot listen on '%s': %s", listener->path,
                           g_strerror(errno));
    if (!put_in_place(temporary, listener->path, error))
        return FALSE;
    listener->dev = made.st_dev;
    listener->inode = made.st_ino;
    return TRUE;
}

static gboolean
bind_unix(Listener *listener, const char *temporary, const StrataSocketRights *rights,
          GError **error)
{
    struct sockaddr_un address;
    gboolean opened;
    int file;

    if (!fill_address(&address, temporary, error))
        return FALSE;
    if (listener->fd < 0 ||
        !bind_with_mode(listener->fd, &address, rights != NULL ? rights->mode : -1))
        return throw_error(error, STRATA_ERROR_IO, "cannot listen on '%s': %s%s", listener->path,
                           g_strerror(errno),
                           errno == EACCES ? "; choose a directory that you may write to" : "");
    file = open(temporary, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    opened = open_to_all(listener, file, temporary, rights, error);
    if (!opened)
        g_unlink(temporary);
    if (file >= 0)
        close(file);
    return opened;
}

/* Bound and listening under another name first, so that whoever sees the path can connect. The
 * other name is in the same directory, addressed through its descriptor: as short as need be. */
gboolean
listen_unix(GPtrArray *listeners, const StrataAddress *wanted, const StrataSocketRights *rights,
            GError **error)
{
    const char *path = wanted->path;
    g_autoptr(Listener) listener = NULL;
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *temporary = NULL;
    struct sockaddr_un address;
    gboolean exists, bound;
    int directory_fd;

    if (!fill_address(&address, path, error) || !check_place(path, &exists, error))
        return FALSE;
    directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd < 0)
        return throw_error(error, STRATA_ERROR_IO, "cannot listen on '%s': the directory '%s': %s",
                           path, directory, g_strerror(errno));
    listener = listener_new(ADDRESS_UNIX, AF_UNIX);
    listener->path = g_canonicalize_filename(path, NULL);
    temporary = g_strdup_printf("/proc/self/fd/%d/.strata-%d-%08x", directory_fd, (int)getpid(),
                                g_random_int());
    bound = bind_unix(listener, temporary, rights, error);
    close(directory_fd);
    if (bound)
        g_ptr_array_add(listeners, g_steal_pointer(&listener));
    return bound;
}
