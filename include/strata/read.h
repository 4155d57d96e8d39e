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

G_END_DECLS

#endif
