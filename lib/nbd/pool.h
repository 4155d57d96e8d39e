/* SPDX-License-Identifier: LGPL-2.1-or-later
 * pool.h - the connections to one export: as many as are worth it, made anew when they break.
 *
 * Whoever reads or maps hands requests over and waits; each connection has a thread that talks to
 * the server and to nobody else. What a broken connection did not answer is asked on another one.
 */
#ifndef STRATA_NBD_POOL_H
#define STRATA_NBD_POOL_H

#include "nbd/cover.h"
#include "nbd/handle.h"
#include "nbd/status.h"

typedef struct _RemotePool RemotePool;
typedef struct _RemoteBatch RemoteBatch;

/* One command. The caller fills in the first part; the rest is the pool's, and 0 at first. */
typedef struct {
    guint64 offset;       /* with .length aligned to min_block, or ending at the export's end */
    guint64 length;       /* bytes; of a read at most max_payload, of a status below 2^32 */
    guint8 *buffer;       /* a read's, else NULL */
    RemoteStatus *status; /* a status's, else NULL */

    RemoteBatch *batch;
    gboolean is_stranded; /* no connection has it */
    gint64 lost_at;       /* when it first had no connection (monotonic; microseconds), or 0 */
    gint64 sent_at;       /* when it was sent, likewise, or 0 */
    gboolean has_reply;   /* the server has answered; .errnum is 0 if it did what was asked */
    int errnum;
    RemoteCover cover;         /* which bytes of a read came with it */
    char *failure;             /* NULL for success; why it is done without */
    const GPtrArray *contexts; /* what the extents of a status are of */
} RemoteRequest;

/* Connects; waits until that has worked or failed. @bitmap: (nullable): as remote_handle_open() has
 * it. @target and @node outlive the pool. NULL with @error: REMOTE. */
RemotePool *remote_pool_new(StrataNode *node, const RemoteTarget *target, const char *bitmap,
                            GError **error);

/* Ends all connections, without waiting for a server. No request may be under way. @pool:
 * (nullable)
 */
void remote_pool_free(RemotePool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RemotePool, remote_pool_free)

/* What the server said at first; lives as long as @pool. */
const RemoteExport *remote_pool_get_export(RemotePool *pool);

/* Carries out @n requests, on several connections if there are, and waits for them. FALSE with
 * @error (REMOTE) unless all succeed. Thread-safe. */
gboolean remote_pool_run(RemotePool *pool, RemoteRequest *requests, guint n, GError **error);

#endif
