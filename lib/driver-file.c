/* SPDX-License-Identifier: LGPL-2.1-or-later
 * driver-file.c - a regular file or a block device of this host: the leaf where bytes lie. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "changes.h"
#include "driver.h"
#include "error.h"
#include "file-stamp.h"
#include "holes.h"
#include "lock.h"
#include "node.h"
#include "opener.h"
#include "spec.h"
#include "wait.h"

/* What reading a file without waiting for its storage has shown. */
typedef enum {
    NOWAIT_WORKS,   /* as far as is known */
    NOWAIT_REFUSED, /* by the kernel or the file system: any read may wait */
    NOWAIT_NO_NEED, /* likewise, but all of it is in memory */
} Nowait;

typedef struct {
    int fd;
    HoleMap *holes; /* NULL for a block device: it has none that could be asked for */

    /* Atomic, relaxed: what is found out twice is the same. */
    gint nowait;         /* Nowait */
    gint refuses_splice; /* a boolean */
} FileState;

static const char *const file_options[] = { "filename", "locking", NULL };

/* How to read a file fast or write it safely; BlockdevOptionsFile of QEMU's block-core.json. */
static const char *const file_ignored_options[] = {
    "aio", "aio-max-batch", "drop-cache", "x-check-cache-dropped", NULL,
};

static StrataPlace
place_of(const struct stat *st)
{
    return S_ISBLK(st->st_mode)
               ? (StrataPlace){ .known = TRUE, .device = st->st_rdev }
               : (StrataPlace){ .known = TRUE, .device = st->st_dev, .inode = st->st_ino };
}

static ImageLocking
locking_of(StrataNode *node)
{
    const char *word = spec_get_text(node->spec, "locking");

    if (!word || g_str_equal(word, "auto"))
        return IMAGE_LOCKING_AUTO;
    return g_str_equal(word, "on") ? IMAGE_LOCKING_ON : IMAGE_LOCKING_OFF;
}

/* What the node says or, as in QEMU, what the nearest node above it says, or the policy. */
static ImageLockKind
lock_kind_of(StrataNode *node, StrataOpener *opener)
{
    gboolean shares = policy_gate_shares(opener->gate);

    for (StrataNode *up = node; up; up = up->parent) {
        const char *word = spec_get_text(up->spec, "force-share");

        if (word) {
            shares = g_str_equal(word, "on");
            break;
        }
    }
    return shares ? IMAGE_LOCK_SHARED : IMAGE_LOCK_NO_WRITERS;
}

/* The file that another node has open; it is there whatever has become of its name, of the current
 * directory or of our rights. */
static int
share_file(StrataNode *node, StrataNode *other, struct stat *out_stat, GError **error)
{
    const FileState *state = other->state;
    int fd = fcntl(state->fd, F_DUPFD_CLOEXEC, 0);

    if (fd >= 0 && fstat(fd, out_stat) == 0)
        return fd;
    strata_throw_errno(error, node, errno, "cannot open it again");
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The size as it is once nobody may change it any more. */
static gboolean
find_size_and_watch(StrataNode *node, int fd, GError **error)
{
    FileStamp stamp;

    if (!file_stamp_take(fd, &stamp))
        return strata_throw_errno(error, node, errno, "cannot tell its size");
    node->size = stamp.size;
    changes_watch(node->graph->changes, node, fd, &stamp);
    return TRUE;
}

/* Locks come before all else: not a byte is read from a file that somebody writes to. */
static gboolean
file_open(StrataNode *node, StrataOpener *opener, GError **error)
{
    FileState *state = g_new0(FileState, 1);
    struct stat st;

    node->state = state;
    state->fd = opener->again ? share_file(node, opener->again, &st, error)
                              : policy_gate_open_file(opener->gate, node, &st, error);
    if (state->fd < 0 ||
        !image_lock_take(node, state->fd, locking_of(node), lock_kind_of(node, opener), error) ||
        !find_size_and_watch(node, state->fd, error))
        return FALSE;
    node->claims = TRUE;
    node->place = place_of(&st);
    if (S_ISREG(st.st_mode))
        state->holes = hole_map_new(state->fd, node->size);
    return TRUE;
}

static void
file_close(StrataNode *node)
{
    FileState *state = node->state;

    if (!state)
        return;
    g_clear_pointer(&state->holes, hole_map_free);
    if (state->fd >= 0)
        close(state->fd);
    g_free(state);
}

/* The answer for the beginning of a range. What is remembered may cut an extent in two; an answer
 * goes on across the cut. */
static StrataAnswer
answer_at(HoleView *view, guint64 offset, guint64 length)
{
    gboolean is_hole;
    guint64 end = hole_view_find(view, offset, &is_hole);

    /* Moves forward: no extent is empty. */
    while (end - offset < length) {
        gboolean next_is_hole;
        guint64 next_end = hole_view_find(view, end, &next_is_hole);

        if (next_is_hole != is_hole)
            break;
        end = next_end;
    }
    return (StrataAnswer){
        .length = MIN(length, end - offset),
        .kind = is_hole ? STRATA_ANSWER_ZERO : STRATA_ANSWER_OWN,
    };
}

static gsize
answer_ranges(HoleView *view, const StrataRange *ranges, gsize n_ranges, StrataAnswer *answers,
              gsize max_answers, gboolean *out_any_hole)
{
    gsize n = 0;

    *out_any_hole = FALSE;
    for (gsize i = 0; i < n_ranges; i++) {
        /* Moves forward: no answer is empty. */
        for (guint64 done = 0; done < ranges[i].length; n++) {
            if (n == max_answers)
                return n;
            answers[n] = answer_at(view, ranges[i].offset + done, ranges[i].length - done);
            done += answers[n].length;
            *out_any_hole |= answers[n].kind == STRATA_ANSWER_ZERO;
        }
    }
    return n;
}

/* That there is data may be told as of a moment ago: it is read, whatever it is now. A hole is told
 * only of the file as it is, since nobody will look at what somebody has just written there. */
static gsize
file_map(StrataNode *node, const StrataRange *ranges, gsize n_ranges, StrataAnswer *answers,
         gsize max_answers, GError **error)
{
    const FileState *state = node->state;
    guint files_state = changes_get_state(node->graph->changes);
    g_auto(HoleView) view = { 0 };
    gboolean any_hole;
    gsize n;

    if (!state->holes)
        return strata_map_all_as_own(ranges, n_ranges, 0, answers, max_answers);
    hole_view_open(&view, state->holes, files_state);
    n = answer_ranges(&view, ranges, n_ranges, answers, max_answers, &any_hole);
    if (any_hole && !hole_view_renew(&view, files_state))
        n = answer_ranges(&view, ranges, n_ranges, answers, max_answers, &any_hole);
    return n;
}

static gboolean
is_in_memory(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* Whether a call is not to be had: the kernel does not know it, the file system does not do it, or
 * a filter of calls forbids it. */
static gboolean
is_refusal(int code)
{
    return code == EOPNOTSUPP || code == ENOSYS || code == EINVAL || code == EPERM;
}

/* Reads what is in the system's cache, from the first byte on. Returns how much that is; 0 where
 * the first byte is not there, and where pread() has to find out what is wrong. preadv2(2) knows of
 * kernels for which 0 is no end of file. */
static gsize
read_cached(FileState *state, guint64 offset, gsize length, guint8 *buffer)
{
    struct iovec piece = { .iov_base = buffer, .iov_len = length };
    ssize_t n;

    if (__atomic_load_n(&state->nowait, __ATOMIC_RELAXED) != NOWAIT_WORKS)
        return 0;
    n = preadv2(state->fd, &piece, 1, (off_t)offset, RWF_NOWAIT);
    if (n < 0 && is_refusal(errno))
        __atomic_store_n(&state->nowait, is_in_memory(state->fd) ? NOWAIT_NO_NEED : NOWAIT_REFUSED,
                         __ATOMIC_RELAXED);
    return n > 0 ? (gsize)n : 0;
}

static gboolean
throw_cut_short(StrataNode *node, guint64 offset, GError **error)
{
    changes_make_due(node->graph->changes);
    return strata_throw(error, node, STRATA_ERROR_IO,
                        "the file ends at offset 0x%" PRIx64 ", though it had 0x%" PRIx64
                        " bytes when it was opened: somebody cut it short",
                        offset, node->size);
}

/* What was not cached has to be waited for. */
static void
announce_wait(const FileState *state)
{
    if (__atomic_load_n(&state->nowait, __ATOMIC_RELAXED) != NOWAIT_NO_NEED)
        wait_announce();
}

static gboolean
file_read(StrataNode *node, guint64 offset, gsize length, guint8 *buffer, GError **error)
{
    FileState *state = node->state;
    gsize cached = read_cached(state, offset, length, buffer);

    offset += cached;
    buffer += cached;
    length -= cached;
    if (length > 0)
        announce_wait(state);
    while (length > 0) {
        ssize_t n = pread(state->fd, buffer, length, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            return strata_throw_errno(error, node, errno,
                                      "cannot read %zu bytes at offset 0x%" PRIx64, length, offset);
        }
        if (n == 0)
            return throw_cut_short(node, offset, error);
        offset += n;
        buffer += n;
        length -= n;
    }
    return TRUE;
}

/* Storage is read from the front to the back: what is cached at the end is so before it, mostly. */
static void
announce_wait_for_splice(FileState *state, guint64 offset, gsize length)
{
    guint8 last;

    if (read_cached(state, offset + length - 1, 1, &last) == 0)
        announce_wait(state);
}

/* One call's worth, as splice(2) returns it. A refusal is remembered, and told as a full pipe is.
 */
static ssize_t
splice_some(FileState *state, guint64 offset, gsize length, int pipe_fd)
{
    off_t at = (off_t)offset;
    ssize_t n;

    do
        n = splice(state->fd, &at, pipe_fd, NULL, length, SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    if (n < 0 && is_refusal(errno)) {
        __atomic_store_n(&state->refuses_splice, TRUE, __ATOMIC_RELAXED);
        errno = EAGAIN;
    }
    return n;
}

static gssize
file_splice(StrataNode *node, guint64 offset, gsize length, int pipe_fd, GError **error)
{
    FileState *state = node->state;
    gsize moved = 0;

    if (__atomic_load_n(&state->refuses_splice, __ATOMIC_RELAXED))
        return 0;
    announce_wait_for_splice(state, offset, length);
    while (moved < length) {
        ssize_t n = splice_some(state, offset + moved, length - moved, pipe_fd);

        if (n > 0)
            moved += (gsize)n;
        else if (moved > 0 || (n < 0 && errno == EAGAIN))
            break; /* what is wrong behind these bytes, who asks for them is told */
        else if (n == 0)
            return throw_cut_short(node, offset, error), -1;
        else
            return strata_throw_errno(error, node, errno,
                                      "cannot read %zu bytes at offset 0x%" PRIx64, length, offset),
                   -1;
    }
    return (gssize)moved;
}

static void
file_prefetch(StrataNode *node, guint64 offset, guint64 length)
{
    const FileState *state = node->state;

    posix_fadvise(state->fd, (off_t)offset, (off_t)length, POSIX_FADV_WILLNEED);
}

static void
file_describe(StrataNode *node, GVariantDict *dict)
{
    const FileState *state = node->state;

    g_variant_dict_insert(dict, "block-device", "b", state->holes == NULL);
}

const StrataDriver strata_driver_file = {
    .name = "file",
    .is_protocol = TRUE,
    .options = file_options,
    .ignored_options = file_ignored_options,
    .open = file_open,
    .close = file_close,
    .map = file_map,
    .is_quick_to_map = TRUE,
    .read = file_read,
    .splice = file_splice,
    .prefetch = file_prefetch,
    .describe = file_describe,
};
