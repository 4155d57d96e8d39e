/* SPDX-License-Identifier: LGPL-2.1-or-later
 * read.h - the bytes of a range, found by the same walk that tells who supplies it. */
#ifndef STRATA_READ_H
#define STRATA_READ_H

#include <strata/resolve.h>

G_BEGIN_DECLS

/**
 * strata_walk_read:
 * @walk: a walk
 * @offset: in bytes
 * @length: in bytes; offset + length within the node's size; 0 reads nothing
 * @buffer: (out) (array length=length): where the bytes go; its content is undefined on failure
 * @error: as for strata_walk_resolve(), and %STRATA_ERROR_IO for what the disk refused
 *
 * Returns: whether all of the range was read
 */
gboolean strata_walk_read(StrataWalk *walk, guint64 offset, gsize length, void *buffer,
                          GError **error);

/**
 * strata_run_read:
 * @run: a run of strata_walk_resolve(), or a copy of one while the graph lives
 * @skip: how far into the run to begin, in bytes
 * @length: in bytes; skip + length within the run
 * @buffer: (out) (array length=length): where the bytes go; its content is undefined on failure
 * @error: as for strata_walk_read()
 *
 * Reads part of a run that is already resolved. Thread-safe.
 *
 * Returns: whether all of it was read
 */
gboolean strata_run_read(const StrataRun *run, guint64 skip, gsize length, void *buffer,
                         GError **error);

/**
 * strata_run_prefetch:
 * @run: a run of strata_walk_resolve()
 * @skip: how far into the run to begin, in bytes
 * @length: in bytes; skip + length within the run
 *
 * Asks the kernel to have these bytes ready (posix_fadvise WILLNEED). A hint: it cannot fail.
 * Thread-safe.
 */
void strata_run_prefetch(const StrataRun *run, guint64 skip, guint64 length);

/**
 * strata_run_can_splice:
 * @run: a run of strata_walk_resolve(), or a copy of one while the graph lives
 *
 * Returns: whether the bytes of @run lie in a file of this host as they are, so that
 *   strata_run_splice() may be tried
 */
gboolean strata_run_can_splice(const StrataRun *run);

/**
 * strata_run_splice:
 * @run: a run of strata_walk_resolve(), or a copy of one while the graph lives
 * @skip: how far into the run to begin, in bytes
 * @length: in bytes, at least 1; skip + length within the run
 * @pipe_fd: the end of a pipe that is written to
 * @error: as for strata_walk_read()
 *
 * Moves bytes of a run into a pipe without copying them (splice(2)): the pipe then holds pages of
 * the system's cache. Whoever writes to the file before they are read from the pipe changes them
 * there, too. Waits for storage, but never for the pipe. Thread-safe.
 *
 * Returns: how many bytes were moved, from the first on: fewer than @length where the pipe is full
 *   or the file ends; 0 where none can be, for the pipe is full, or the bytes are not to be had in
 *   this way and strata_run_read() has to be asked; -1 with @error
 */
gssize strata_run_splice(const StrataRun *run, guint64 skip, gsize length, int pipe_fd,
                         GError **error);

/**
 * StrataWaitHook:
 * @user_data: what strata_set_wait_hook() was given
 *
 * Is called in the midst of another call to strata, and so calls none. It does not wait: other
 * threads may wait for this one.
 */
typedef void (*StrataWaitHook)(gpointer user_data);

/**
 * strata_set_wait_hook:
 * @hook: (nullable): %NULL, which is the default: none
 * @user_data: for @hook
 *
 * Has @hook called, in this thread, whenever a call to strata is about to wait for storage, for a
 * remote server or for another thread, or begins work that takes as long, such as decompression;
 * perhaps many times in one call. What the system's cache has is read without it.
 */
void strata_set_wait_hook(StrataWaitHook hook, gpointer user_data);

G_END_DECLS

#endif
