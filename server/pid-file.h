/* SPDX-License-Identifier: LGPL-2.1-or-later
 * pid-file.h - --pid-file: locked as long as the server runs, as qemu-nbd does it. */
#ifndef STRATA_PID_FILE_H
#define STRATA_PID_FILE_H

#include <glib.h>

typedef struct {
    const char *path; /* NULL: none is wanted */
    int fd;           /* locked; -1: not there yet */
    gboolean ours;    /* to be removed at the end */
} PidFile;

/* Refuses a path that could not be written later on. What stands there is locked; nothing is made,
 * so that nothing is left of a start that fails. @path must outlive @file. */
gboolean pid_file_claim(PidFile *file, const char *path, GError **error);

/* Whether both paths lead to one file. To be asked of images before the pid file is claimed: its
 * lock would be taken for that of a writer to the image. */
gboolean pid_file_is_same(const char *path, const char *other);

/* Makes the file if it is not there, empty: while the process may still do that. */
gboolean pid_file_create(PidFile *file, GError **error);

/* Writes the process ID into the file that was made: the server is ready. */
gboolean pid_file_write(PidFile *file, GError **error);

/* Removes the file that was made, if it still stands there, and unlocks. */
void pid_file_close(PidFile *file);

#endif
