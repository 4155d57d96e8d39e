/* SPDX-License-Identifier: LGPL-2.1-or-later
 * file-stamp.c - what tells one state of a host file from another, without reading it. */
#include "file-stamp.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* A kernel's clock for files may stand still for some milliseconds: a file that was written just
 * before its stamp was taken may be written just after it too, and have the same stamp. */
#define SETTLES_USEC (100 * 1000)

gboolean
file_stamp_take(int fd, FileStamp *out_stamp)
{
    struct stat st = { 0 };
    guint64 size;

    *out_stamp = (FileStamp){ 0 };
    if (fstat(fd, &st) < 0)
        return FALSE;
    size = st.st_size;
    if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, &size) < 0)
        return FALSE;
    *out_stamp = (FileStamp){ .size = size, .mtime = st.st_mtim, .ctime = st.st_ctim };
    return TRUE;
}

static gboolean
same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

gboolean
file_stamp_is_same_content(const FileStamp *a, const FileStamp *b)
{
    return a->size == b->size && same_time(a->mtime, b->mtime);
}

gboolean
file_stamp_equal(const FileStamp *a, const FileStamp *b)
{
    return file_stamp_is_same_content(a, b) && same_time(a->ctime, b->ctime);
}

/* Every change sets ctime, and only the kernel's clock sets it; mtime is what anybody says. A ctime
 * far ahead is another machine's clock, which tells nothing: then the stamp is believed. */
gboolean
file_stamp_is_settled(const FileStamp *stamp)
{
    gint64 changed = stamp->ctime.tv_sec * G_USEC_PER_SEC + stamp->ctime.tv_nsec / 1000;

    return ABS(g_get_real_time() - changed) > SETTLES_USEC;
}
