/* SPDX-License-Identifier: LGPL-2.1-or-later
 * pid-file.c - the file that tells the process ID. It is written in place and not replaced, since
 * its directory may belong to somebody else; and what does not look like one is left alone: the
 * path may be an image, by mistake. */
#include "pid-file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <strata/strata.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A process ID, white space around it, and a byte to see that there is no more. */
#define MAX_TEXT 32

/* How often a file that its owner has just removed is opened anew. */
#define OPEN_TRIES 16

static gboolean
refuse(const PidFile *file, const char *why, GError **error)
{
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO, "cannot write the pid file '%s': %s",
                file->path, why);
    return FALSE;
}

static gboolean
refuse_errno(const PidFile *file, GError **error)
{
    return refuse(file, g_strerror(errno), error);
}

/* Before it is opened, because opening a device can do something. */
static gboolean
check_type(const PidFile *file, GError **error)
{
    struct stat found;

    if (stat(file->path, &found) == 0 && !S_ISREG(found.st_mode))
        return refuse(file, "it exists and is not a regular file; choose another path", error);
    return TRUE;
}

static gboolean
is_number(const char *text)
{
    gsize digits = strspn(text, "0123456789");

    return digits > 0 && text[digits + strspn(text + digits, " \t\r\n")] == '\0';
}

/* Reads the beginning; never the whole of what may be an image. */
static gboolean
read_text(const PidFile *file, char *text, GError **error)
{
    gssize length = pread(file->fd, text, MAX_TEXT - 1, 0);

    if (length < 0)
        return refuse_errno(file, error);
    text[length] = '\0';
    if (length < MAX_TEXT - 1 && strlen(text) == (gsize)length && (length == 0 || is_number(text)))
        return TRUE;
    return refuse(file, "it exists and holds something else than a process ID; choose another path",
                  error);
}

static gboolean
refuse_locked(const PidFile *file, const char *text, GError **error)
{
    g_autofree char *why = NULL;
    g_autofree char *owner = g_strdup(text);

    g_strstrip(owner);
    why = g_strdup_printf("another server that runs%s%s uses it; stop that one or choose another "
                          "path",
                          *owner == '\0' ? "" : " as process ", owner);
    return refuse(file, why, error);
}

/* The lock is of the kind that qemu-nbd takes, and goes when the process does. */
static gboolean
lock(const PidFile *file, GError **error)
{
    struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char text[MAX_TEXT];

    if (!read_text(file, text, error))
        return FALSE;
    if (fcntl(file->fd, F_OFD_SETLK, &range) == 0)
        return TRUE;
    if (errno == EAGAIN || errno == EACCES)
        return refuse_locked(file, text, error);
    return refuse_errno(file, error);
}

static gboolean
is_same(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

gboolean
pid_file_is_same(const char *path, const char *other_path)
{
    struct stat one, other;

    return stat(path, &one) == 0 && stat(other_path, &other) == 0 && is_same(&one, &other);
}

static gboolean
stands_at_path(const PidFile *file)
{
    struct stat ours, other;

    return file->fd >= 0 && fstat(file->fd, &ours) == 0 && stat(file->path, &other) == 0 &&
           is_same(&ours, &other);
}

static void
let_go(PidFile *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

/* @flags: O_CREAT or 0. Without, that there is no file is no error. */
static gboolean
open_and_lock(PidFile *file, int flags, GError **error)
{
    for (guint i = 0; i < OPEN_TRIES; i++) {
        if (!check_type(file, error))
            return FALSE;
        file->fd = open(file->path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags, 0644);
        if (file->fd < 0)
            return (errno == ENOENT && flags == 0) || refuse_errno(file, error);
        if (!lock(file, error))
            return FALSE;
        if (stands_at_path(file))
            return TRUE;
        let_go(file);
    }
    return refuse(file, "another process keeps replacing it; choose another path", error);
}

static gboolean
check_directory(const PidFile *file, GError **error)
{
    g_autofree char *directory = g_path_get_dirname(file->path);

    return access(directory, W_OK | X_OK) == 0 || refuse_errno(file, error);
}

gboolean
pid_file_claim(PidFile *file, const char *path, GError **error)
{
    *file = (PidFile){ .path = path, .fd = -1 };
    if (path == NULL)
        return TRUE;
    if (!open_and_lock(file, 0, error))
        return FALSE;
    return file->fd >= 0 || check_directory(file, error);
}

gboolean
pid_file_create(PidFile *file, GError **error)
{
    if (file->path == NULL)
        return TRUE;
    if (file->fd < 0 && !open_and_lock(file, O_CREAT, error))
        return FALSE;
    file->ours = TRUE;
    return TRUE;
}

gboolean
pid_file_write(PidFile *file, GError **error)
{
    g_autofree char *text = g_strdup_printf("%d\n", (int)getpid());
    gssize length = (gssize)strlen(text);
    gssize written;

    if (file->path == NULL)
        return TRUE;
    if (ftruncate(file->fd, 0) < 0)
        return refuse_errno(file, error);
    written = pwrite(file->fd, text, (gsize)length, 0);
    if (written < 0)
        return refuse_errno(file, error);
    return written == length || refuse(file, "the disk is full", error);
}

/* A symbolic link that leads to the file is the user's, and stays. */
static gboolean
is_link(const PidFile *file)
{
    struct stat found;

    return lstat(file->path, &found) == 0 && S_ISLNK(found.st_mode);
}

void
pid_file_close(PidFile *file)
{
    /* Where it cannot be removed, it shall at least name no process any more. */
    if (file->ours && stands_at_path(file) && (is_link(file) || g_unlink(file->path) < 0) &&
        ftruncate(file->fd, 0) < 0)
        g_warning("the pid file '%s' cannot be removed: %s", file->path, g_strerror(errno));
    let_go(file);
}
