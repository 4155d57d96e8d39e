/* SPDX-License-Identifier: LGPL-2.1-or-later
 * lock.c - QEMU's image locks, as a reader takes them (block/file-posix.c, "RAW_LOCK_*").
 *
 * A lock on a byte is a word to the others. Byte 100 + n says "I use permission n", byte 200 + n "I
 * let nobody else use it". All locks are shared ones, so that taking them never fails; whoever took
 * his then looks whether anybody holds what contradicts them. Of two who begin at once, at least
 * one sees the other.
 *
 *      permission            byte  200+   a reader              a writer of a qcow2 image
 *      0 consistent read     100   200    holds 100             holds 100
 *      1 write               101   201    holds 201, looks 101  holds 101, 201
 *      3 resize              103   203    holds 203, looks 103  holds 103, 203
 *
 * They are locks of the open file description: another descriptor for the file, in this process or
 * in any, neither inherits them nor takes them away. */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>

#include "error.h"
#include "node.h"

#define USES_BASE     100
#define UNSHARED_BASE 200

#define CONSISTENT_READ 0
#define WRITE           1
#define RESIZE          3

typedef struct {
    off_t byte;
    const char *held_means; /* what somebody else does who holds it; NULL: it does not matter */
} LockByte;

static const off_t held_always = USES_BASE + CONSISTENT_READ;
static const off_t held_against_writers[] = { UNSHARED_BASE + WRITE, UNSHARED_BASE + RESIZE };

/* What --force-share is for. */
static const LockByte looked_at_for_writers[] = {
    { USES_BASE + WRITE, "writes to it (\"write\")" },
    { USES_BASE + RESIZE, "may resize it (\"resize\")" },
};

/* As QEMU: nothing but locking=off overrides it. */
static const LockByte looked_at_always = {
    UNSHARED_BASE + CONSISTENT_READ,
    "works on it so that it cannot be read meanwhile (\"consistent read\")",
};

static struct flock
lock_of(short type, off_t byte)
{
    return (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
}

static gboolean
throw_locked(StrataNode *node, const LockByte *byte, const char *way_out, GError **error)
{
    return strata_throw(error, node, STRATA_ERROR_LOCKED,
                        "somebody else %s, as the lock on its byte %d says; %s", byte->held_means,
                        (int)byte->byte, way_out);
}

/* Whether the file system has no such locks, as against having refused this one. */
static gboolean
means_no_locks(int code)
{
    return code == EINVAL || code == ENOLCK || code == ENOSYS || code == EOPNOTSUPP;
}

/* Returns errno, or 0. */
static int
hold(int fd, off_t byte)
{
    struct flock lock = lock_of(F_RDLCK, byte);

    return fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

static gboolean
throw_not_held(StrataNode *node, off_t byte, int code, GError **error)
{
    const LockByte taken = { byte, "holds it for itself alone" };

    if (code == EAGAIN || code == EACCES)
        return throw_locked(node, &taken, "wait until it is free, or say \"locking\": \"off\"",
                            error);
    return strata_throw_errno(error, node, code, "cannot lock its byte %d", (int)byte);
}

static gboolean
take_bytes(StrataNode *node, int fd, const off_t *bytes, gsize n_bytes, GError **error)
{
    for (gsize i = 0; i < n_bytes; i++) {
        int code = hold(fd, bytes[i]);

        if (code != 0)
            return throw_not_held(node, bytes[i], code, error);
    }
    return TRUE;
}

/* Whether there is no lock at all on what is looked at, nor between: as it is with most files. */
static gboolean
is_free(int fd)
{
    struct flock lock = lock_of(F_WRLCK, looked_at_for_writers[0].byte);

    lock.l_len = looked_at_always.byte + 1 - lock.l_start;
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}

static gboolean
look_at(StrataNode *node, int fd, const LockByte *byte, const char *way_out, GError **error)
{
    struct flock lock = lock_of(F_WRLCK, byte->byte); /* what would conflict with any lock */

    if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
        return strata_throw_errno(error, node, errno, "cannot examine the lock on its byte %d",
                                  (int)byte->byte);
    return lock.l_type == F_UNLCK || throw_locked(node, byte, way_out, error);
}

static gboolean
look_for_writers(StrataNode *node, int fd, GError **error)
{
    static const char way_out[] = "stop the writer, or read the file all the same with "
                                  "\"--force-share\" (nbdkit: force-share=on; in a spec: "
                                  "\"force-share\")";

    for (gsize i = 0; i < G_N_ELEMENTS(looked_at_for_writers); i++)
        if (!look_at(node, fd, &looked_at_for_writers[i], way_out, error))
            return FALSE;
    return TRUE;
}

static gboolean
go_without(StrataNode *node, ImageLocking locking, int code, GError **error)
{
    const char *filename = strata_node_get_filename(node);
    g_autofree char *shown = strata_escape(filename ? filename : "");

    if (locking == IMAGE_LOCKING_ON)
        return strata_throw_errno(error, node, code,
                                  "\"locking\" is on, and its file system has no locks (\"auto\""
                                  " goes on without)");
    g_info("%s is read without locks: its file system has none (%s)", shown, g_strerror(code));
    return TRUE;
}

gboolean
image_lock_take(StrataNode *node, int fd, ImageLocking locking, ImageLockKind kind, GError **error)
{
    int code;

    if (locking == IMAGE_LOCKING_OFF)
        return TRUE;
    code = hold(fd, held_always);
    if (means_no_locks(code))
        return go_without(node, locking, code, error);
    if (code != 0)
        return throw_not_held(node, held_always, code, error);
    if (kind == IMAGE_LOCK_NO_WRITERS &&
        !take_bytes(node, fd, held_against_writers, G_N_ELEMENTS(held_against_writers), error))
        return FALSE;
    return is_free(fd) || (look_at(node, fd, &looked_at_always, "wait until that is done", error) &&
                           (kind == IMAGE_LOCK_SHARED || look_for_writers(node, fd, error)));
}
