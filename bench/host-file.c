/* SPDX-License-Identifier: LGPL-2.1-or-later
 * host-file.c - a file that grows by appending, and counts references to its clusters. */
#include "host-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_PENDING (4u << 20)

static void
die(const HostFile *file)
{
    fprintf(stderr, "make-image: %s: %s\n", file->path, strerror(errno));
    exit(EXIT_FAILURE);
}

HostFile *
host_file_new(const char *path, guint64 cluster_size)
{
    HostFile *file = g_new0(HostFile, 1);

    file->path = g_strdup(path);
    file->cluster_size = cluster_size;
    file->pending = g_byte_array_sized_new(MOST_PENDING + (1u << 20));
    file->refcounts = g_array_new(FALSE, TRUE, sizeof(guint16));
    file->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file->fd < 0)
        die(file);
    return file;
}

static void
write_at(const HostFile *file, guint64 offset, const guint8 *bytes, gsize size)
{
    while (size > 0) {
        gssize n = pwrite(file->fd, bytes, size, (off_t)offset);

        if (n < 0 && errno != EINTR)
            die(file);
        if (n > 0) {
            bytes += n;
            offset += (guint64)n;
            size -= (gsize)n;
        }
    }
}

static void
flush(HostFile *file)
{
    write_at(file, file->written, file->pending->data, file->pending->len);
    file->written += file->pending->len;
    g_byte_array_set_size(file->pending, 0);
}

void
host_file_close(HostFile *file)
{
    flush(file);
    if (ftruncate(file->fd, (off_t)file->written) < 0 || close(file->fd) < 0)
        die(file);
    g_byte_array_unref(file->pending);
    g_array_unref(file->refcounts);
    g_free(file->path);
    g_free(file);
}

guint64
host_file_end(const HostFile *file)
{
    return file->written + file->pending->len;
}

void
host_file_append(HostFile *file, gconstpointer bytes, gsize size)
{
    g_byte_array_append(file->pending, bytes, (guint)size);
    if (file->pending->len >= MOST_PENDING)
        flush(file);
}

void
host_file_append_zeros(HostFile *file, guint64 size)
{
    flush(file);
    file->written += size;
}

void
host_file_pad(HostFile *file)
{
    guint64 over = host_file_end(file) % file->cluster_size;

    if (over > 0)
        host_file_append_zeros(file, file->cluster_size - over);
}

void
host_file_patch(HostFile *file, guint64 offset, gconstpointer bytes, gsize size)
{
    flush(file);
    write_at(file, offset, bytes, size);
}

void
host_file_reference(HostFile *file, guint64 offset, guint64 size)
{
    guint64 first = offset / file->cluster_size;
    guint64 last = (offset + size - 1) / file->cluster_size;

    if (last >= file->refcounts->len)
        g_array_set_size(file->refcounts, (guint)last + 1);
    for (guint64 i = first; i <= last; i++)
        if (++g_array_index(file->refcounts, guint16, i) == 0) {
            errno = EOVERFLOW;
            die(file);
        }
}

guint16
host_file_refcount(const HostFile *file, guint64 offset)
{
    return g_array_index(file->refcounts, guint16, offset / file->cluster_size);
}
