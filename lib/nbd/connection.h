/* SPDX-License-Identifier: LGPL-2.1-or-later
 * connection.h - what pool.c and connection.c share: who holds a request, and who is to be woken.
 *
 *      remote_pool_run() ──place──> inbox of a connection ──send──> in flight ──reply──> done
 *                                        ^                              │
 *                                        └──── stranded <──── lost ─────┘
 */
#ifndef STRATA_NBD_CONNECTION_H
#define STRATA_NBD_CONNECTION_H

#include "nbd/pool.h"

typedef struct {
    RemotePool *pool;
    GThread *thread;   /* NULL: this place is free. pool.lock */
    int wake_fd;       /* an eventfd: there is something in the inbox, or it is time to end */
    gboolean is_first; /* goes on trying for ever; the others come and go with the need */

    /* pool.lock */
    gboolean is_live;
    gboolean has_ended; /* the thread is about to return */
    GQueue inbox;       /* RemoteRequest */
    guint load;         /* requests in the inbox and in flight */

    /* The thread's own. */
    struct nbd_handle *nbd;
    RemoteSocket socket; /* of .nbd, for a process that is forked off */
    GQueue in_flight;    /* RemoteRequest, by the time at which they were sent */
    gint64 oldest_since; /* when what was sent before the oldest of them was answered (monotonic;
                            microseconds); 0 at first */
    guint failures;      /* attempts since the server last answered something */
} RemoteConnection;

struct _RemoteBatch {
    GCond changed; /* pool.lock: a request of the batch is done, or must look at the clock anew */
    guint n_waiting;
};

struct _RemotePool {
    StrataNode *node;           /* for messages */
    const RemoteTarget *target; /* not owned */
    char *bitmap;               /* nullable */
    RemoteConnection *connections;
    guint n_connections; /* places; at most as many connections */
    pid_t pid;           /* whose threads these are: they do not live on in a fork */
    RemotePool *heir;    /* (nullable) atomic, owned: what a process that is forked off uses */

    /* Guards everything below, and what is marked so in connections and requests. Held for no call
     * that waits. */
    GMutex lock;
    GCond met; /* the server was met for the first time, or was not */
    gboolean is_stopping;
    RemoteExport *export; /* owned, but an heir's; once it is there it stays, and may be read
                             without the lock */
    guint n_live;
    gint64 lost_at;       /* since when there is no live connection (monotonic; microseconds) */
    guint n_failures;     /* failed attempts since then */
    char *reason;         /* (nullable) why there is none */
    gboolean is_changed;  /* ... because what answers there is not the export that we met */
    gint64 no_more_until; /* another connection was refused: when to try again */
    GQueue stranded;      /* RemoteRequest */
};

/* connection.c: the thread. @data: RemoteConnection */
gpointer remote_connection_main(gpointer data);

/* The rest is pool.c, for connections; each takes the lock. */

/* A handle is ready for requests. FALSE if the pool is stopping, or what answers is another export
 * than before. Takes @export over. */
gboolean remote_pool_note_live(RemotePool *pool, RemoteConnection *connection,
                               RemoteExport *export);

/* No handle came about. Takes @reason over. */
void remote_pool_note_failed(RemotePool *pool, RemoteConnection *connection, char *reason);

/* The handle broke and is closed. What was in flight, or is in the inbox, is placed elsewhere.
 * Takes @reason over. */
void remote_pool_note_lost(RemotePool *pool, RemoteConnection *connection, char *reason);

/* Moves the inbox to @requests. FALSE if the pool is stopping. */
gboolean remote_pool_take_inbox(RemotePool *pool, RemoteConnection *connection, GQueue *requests);

/* @request of @connection is done. Takes @failure over: NULL for success. */
void remote_pool_finish(RemotePool *pool, RemoteConnection *connection, RemoteRequest *request,
                        char *failure);

/* The thread is about to return, and takes the lock no more. */
void remote_pool_note_ended(RemotePool *pool, RemoteConnection *connection);

gboolean remote_pool_is_stopping(RemotePool *pool);

#endif
