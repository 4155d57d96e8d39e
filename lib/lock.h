/* SPDX-License-Identifier: LGPL-2.1-or-later
 * lock.h - QEMU's image locks, as a reader takes them. */
#ifndef STRATA_LOCK_H
#define STRATA_LOCK_H

#include <strata/graph.h>

/* The "locking" of QEMU's file driver. */
typedef enum {
    IMAGE_LOCKING_AUTO, /* go on without, where the file system has no locks */
    IMAGE_LOCKING_ON,
    IMAGE_LOCKING_OFF,
} ImageLocking;

typedef enum {
    IMAGE_LOCK_NO_WRITERS, /* nobody may write to the file or resize it while it is open here */
    IMAGE_LOCK_SHARED,     /* "force-share": everybody may */
} ImageLockKind;

/* Locks the file of leaf @node, open as @fd, for reading; the locks live as long as the open file
 * does. Blocks on nobody: what others hold is an error, LOCKED; where there are no locks, IO. */
gboolean image_lock_take(StrataNode *node, int fd, ImageLocking locking, ImageLockKind kind,
                         GError **error);

#endif
