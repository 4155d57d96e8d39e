/* SPDX-License-Identifier: LGPL-2.1-or-later
 * host-file.h - a file that grows by appending, and counts references to its clusters. */
#ifndef BENCH_HOST_FILE_H
#define BENCH_HOST_FILE_H

#include <glib.h>

typedef struct {
    int fd;
    char *path;
    guint64 cluster_size; /* bytes */
    guint64 written;      /* bytes of it that are in the file; what is pending follows */
    GByteArray *pending;
    GArray *refcounts; /* guint16 for each host cluster that has been referenced */
} HostFile;

/* All of these end the program where the file cannot be written. */
HostFile *host_file_new(const char *path, guint64 cluster_size);
void host_file_close(HostFile *file);

/* Where the next byte goes. */
guint64 host_file_end(const HostFile *file);
void host_file_append(HostFile *file, gconstpointer bytes, gsize size);
void host_file_append_zeros(HostFile *file, guint64 size);

/* As many zeros as fill the last cluster. */
void host_file_pad(HostFile *file);

/* Writes to what has been appended before. */
void host_file_patch(HostFile *file, guint64 offset, gconstpointer bytes, gsize size);

/* Counts a reference to each cluster that the range touches. */
void host_file_reference(HostFile *file, guint64 offset, guint64 size);
guint16 host_file_refcount(const HostFile *file, guint64 offset);

#endif
