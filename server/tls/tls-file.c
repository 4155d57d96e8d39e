/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tls-file.c - reading certificates and keys. */
#include "tls-file.h"

#include "observe/log.h"

#include <errno.h>
#include <fcntl.h>
#include <strata/strata.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Thousands of certificates, revoked ones, or keys. */
#define MAX_SIZE (16 * 1024 * 1024)

static gboolean
refuse(const char *path, StrataError code, const char *why, GError **error)
{
    g_autofree char *shown = strata_escape(path);

    g_set_error(error, STRATA_ERROR, code, "cannot read '%s': %s", shown, why);
    return FALSE;
}

/* As nbdkit and QEMU do it, such a file is used all the same: whose machine it is may know better.
 */
static void
warn_of_readers(const char *path, const struct stat *status)
{
    g_autofree char *shown = strata_escape(path);

    if (status->st_mode & S_IROTH)
        log_notice("credentials",
                   "every user of this machine can read the key in '%s'; chmod 0600 would mend it",
                   shown);
}

static gboolean
read_all(int fd, const char *path, TlsFile *out_file, GError **error)
{
    gsize done = 0;

    while (done < out_file->length) {
        ssize_t got = read(fd, out_file->text + done, out_file->length - done);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return refuse(path, STRATA_ERROR_IO, g_strerror(errno), error);
        if (got == 0)
            break; /* it was made shorter meanwhile */
        done += (gsize)got;
    }
    out_file->length = done;
    out_file->text[done] = '\0';
    return TRUE;
}

static gboolean
read_descriptor(int fd, const char *path, TlsFileKind kind, TlsFile *out_file, GError **error)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return refuse(path, STRATA_ERROR_IO, g_strerror(errno), error);
    if (!S_ISREG(status.st_mode))
        return refuse(path, STRATA_ERROR_SPEC, "it is not a regular file", error);
    if (status.st_size > MAX_SIZE)
        return refuse(path, STRATA_ERROR_SPEC, "it has more than 16 MiB", error);
    if (kind == TLS_FILE_SECRET)
        warn_of_readers(path, &status);
    out_file->length = (gsize)status.st_size;
    out_file->text = g_malloc(out_file->length + 1);
    return read_all(fd, path, out_file, error);
}

gboolean
tls_file_read(const char *path, TlsFileKind kind, TlsFile *out_file, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO keeps nobody waiting */
    gboolean done;

    if (fd < 0)
        return refuse(path, STRATA_ERROR_IO, g_strerror(errno), error);
    done = read_descriptor(fd, path, kind, out_file, error);
    close(fd);
    return done;
}

void
tls_file_clear(TlsFile *file)
{
    if (file->text != NULL)
        explicit_bzero(file->text, file->length);
    g_clear_pointer(&file->text, g_free);
    file->length = 0;
}
