/* SPDX-License-Identifier: LGPL-2.1-or-later
 * connection.h - one client: its life, threads and locks. */
#ifndef STRATA_CONNECTION_H
#define STRATA_CONNECTION_H

#include "log.h"
#include "option.h"
#include "stream.h"
#include "threads.h"

typedef struct _Connection Connection;

/* Whom a connection tells of its life, and what it shares with the others. All outlive it. */
typedef struct {
    StrataExports *exports;
    gboolean alone; /* one connection at a time */
    ThreadSet *threads;
    Log *log;
    void (*entered)(gpointer data); /* the transmission phase */
    void (*left)(Connection *connection, gboolean had_entered, gpointer data); /* then: freed */
    gpointer data;
} ConnectionOwner;

/* Locks are taken in the order large_lock, send_lock; .lock is never held with another. */
struct _Connection {
    guint64 number; /* for messages: counted from 1 by the engine */
    const ConnectionOwner *owner;
    Stream stream;
    Negotiation negotiation; /* the first thread's alone until transmission, constant then */

    gint stopping; /* atomic: read no more requests, and end long answers early */

    GMutex lock;      /* guards the taking of turns: */
    GCond turn;       /* signalled when reading ends */
    gboolean reading; /* a worker waits for a request on the socket */
    gboolean ended;   /* there will be no further request */
    gboolean entered; /* the transmission phase was reached */
    guint n_workers;
    guint n_waiting; /* workers with nothing to do but wait for their turn */

    /* Held by a worker while it reads and sends a large reply that must be whole before it is sent:
     * a connection has memory for one of these at a time. Taken before send_lock. */
    GMutex large_lock;

    /* Held while a message is sent, since messages must not mix; a slow client keeps only its own
     * workers waiting. */
    GMutex send_lock;
};

/* Takes @fd over. */
Connection *connection_new(const ConnectionOwner *owner, guint64 number, int fd);
void connection_free(Connection *connection);

/* Serves it from threads of its own until the client leaves; then owner->left() is called, and
 * frees it. Returns FALSE if no thread could be had. */
gboolean connection_start(Connection *connection, GError **error);

/* Asks it to end: what is in flight is answered, nothing more is read. Any thread. */
void connection_stop(Connection *connection);

/* Ends it at once, whatever is in flight. Any thread. */
void connection_cut(Connection *connection);

gboolean connection_is_stopping(Connection *connection);

/* Whether nobody is there any more to read an answer; then the connection ends. For long work. */
gboolean connection_is_gone(Connection *connection);

/* Sends @pieces as one message; on failure the connection ends. Any thread. */
gboolean connection_send(Connection *connection, struct iovec *pieces, gsize n_pieces);

/* Logs a failure, with the connection's number. */
#define connection_log_failure(connection, ...) \
    log_failure((connection)->owner->log, (connection)->number, __VA_ARGS__)

/* handshake.c: greets and haggles. Returns whether transmission is entered. */
gboolean handshake_run(Connection *connection);

#endif
