/* SPDX-License-Identifier: LGPL-2.1-or-later
 * handle.h - one libnbd handle, from nothing to an export that answers; and what the server says of
 * itself on the way. Used by one thread. */
#ifndef STRATA_NBD_HANDLE_H
#define STRATA_NBD_HANDLE_H

#include "late-nbd.h"

#include "nbd/guard.h"
#include "nbd/target.h"

/* What a server says of an export. Not changed once it is made. */
typedef struct {
    guint64 size;           /* bytes */
    guint64 min_block;      /* bytes, a power of two: what requests are aligned to */
    guint64 max_payload;    /* bytes: the longest read; a multiple of min_block */
    gboolean is_multi_conn; /* several connections see the same */
    gboolean has_tls;
    GPtrArray *contexts;  /* char *: those that block status answers, in our order */
    GPtrArray *layers;    /* char *: the names behind "strata:only:", in the server's order */
    GPtrArray *bitmaps;   /* char *: the names behind "qemu:dirty-bitmap:" */
    guint n_more_bitmaps; /* that are not kept: there are too many */
} RemoteExport;

/* @export: (nullable) */
void remote_export_free(RemoteExport *export);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RemoteExport, remote_export_free)

/* What @now has that @before had otherwise, as words ("its size is 1, and was 2"); NULL when
 * nothing that we rely on differs. Free with g_free(). */
char *remote_export_find_change(const RemoteExport *before, const RemoteExport *now);

/* Waits until libnbd or @wake_fd has something to do, or until @deadline (monotonic; microseconds).
 * FALSE when @wake_fd is readable or the time is over. */
gboolean remote_handle_poll(struct nbd_handle *nbd, int wake_fd, gint64 deadline);

/* Connects and negotiates: at most until @deadline, and not on when @wake_fd becomes readable.
 * @bitmap: (nullable): the one context to ask for; NULL for those that tell layers, depth and
 * zeros. @socket is the handle's from the first moment on.
 * Returns NULL with *@out_reason, which says in words what went wrong; g_free() it. */
struct nbd_handle *remote_handle_open(const RemoteTarget *target, const char *bitmap, int wake_fd,
                                      gint64 deadline, RemoteSocket *socket,
                                      RemoteExport **out_export, char **out_reason);

/* Says farewell to the server, if it can be said without waiting, and closes. @nbd: (nullable) */
void remote_handle_close(struct nbd_handle *nbd);

/* nbd_get_error() as it may be printed, without libnbd's own names of functions. Free with
 * g_free(). */
char *remote_handle_explain(void);

#endif
