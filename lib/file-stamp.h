/* SPDX-License-Identifier: LGPL-2.1-or-later
 * file-stamp.h - what tells one state of a host file from another, without reading it. */
#ifndef STRATA_FILE_STAMP_H
#define STRATA_FILE_STAMP_H

#include <glib.h>
#include <time.h>

typedef struct {
    guint64 size; /* bytes; of a block device, what the device holds */
    struct timespec mtime;
    struct timespec ctime;
} FileStamp;

/* FALSE with errno if the file cannot be examined; *@out_stamp is then of 0 bytes and no time. */
gboolean file_stamp_take(int fd, FileStamp *out_stamp);

gboolean file_stamp_equal(const FileStamp *a, const FileStamp *b);

/* Whether they differ in nothing but attributes: names, rights. */
gboolean file_stamp_is_same_content(const FileStamp *a, const FileStamp *b);

/* Whether a change after @stamp was taken, which was just now, is sure to show in the next one. */
gboolean file_stamp_is_settled(const FileStamp *stamp);

#endif
