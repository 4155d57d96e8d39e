/* SPDX-License-Identifier: LGPL-2.1-or-later
 * confine.h - files beneath directories that are held open, found without being opened. */
#ifndef STRATA_CONFINE_H
#define STRATA_CONFINE_H

#include <glib.h>

/* All functions set errno on failure. A file is found with O_PATH: nothing of it is opened, so that
 * no FIFO waits and no device notices, and what is then looked at by fstat() and opened by
 * confine_reopen() is that file, whatever the name leads to meanwhile. */

/* A list of directories, empty. Free with g_ptr_array_unref(). */
GPtrArray *confine_dirs_new(void);

/* Another list of the same directories; what is added to one is not in the other. */
GPtrArray *confine_dirs_copy(GPtrArray *dirs);

/* Adds the directory @path. FALSE if it cannot be opened as one. */
gboolean confine_add_dir(GPtrArray *dirs, const char *path);

/* Finds @filename, wherever it is, and adds the directory in which it was found and, where the name
 * is a symbolic link, the one in which the file really is. */
int confine_find_top(GPtrArray *dirs, const char *filename);

/* Finds @filename beneath one of @dirs or, after that, of @more_dirs. EXDEV where it lies beneath
 * none of them. */
int confine_find(GPtrArray *dirs, GPtrArray *more_dirs, const char *filename);

/* Finds @filename wherever it is. */
int confine_find_anywhere(const char *filename);

/* Opens for reading what @path_fd was found to be. ENOSYS without /proc. */
int confine_reopen(int path_fd);

#endif
