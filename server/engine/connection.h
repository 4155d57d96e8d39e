/* SPDX-License-Identifier: LGPL-2.1-or-later
 * connection.h - one client: its life, threads and locks. */
#ifndef STRATA_CONNECTION_H
#define STRATA_CONNECTION_H

#include "account.h"
#include "busy-poll.h"
#include "connection-log.h"
#include "inbox.h"
#include "lounge.h"
#include "observe/counters.h"
#include "observe/log.h"
#include "peer.h"
#include "protocol/option.h"
#include "scratch.h"
#include "stream.h"
#include "threads.h"
#include "turnstile.h"

/* Whom a connection tells of its life, and what it shares with the others. All outlive it. */
typedef struct {
    StrataExports *exports;
    const StrataEngineLimits *limits;
    gboolean alone; /* one connection at a time */
    ThreadSet *threads;
    Lounge *lounge;
    Log *log;
    StrataTls *tls; /* NULL: none */
    StrataCounters *counters;
    Turnstile *turnstile; /* for heavy work */
    Processors *processors;
    void (*entered)(Connection *connection, gpointer data); /* the transmission phase */
    void (*left)(Connection *connection, gboolean had_entered, gpointer data); /* then: freed */
    gpointer data;
} ConnectionOwner;

struct _Connection {
    guint64 number; /* for messages: counted from 1 by the engine */
    const ConnectionOwner *owner;
    Peer peer;
    Stream stream;
    Negotiation negotiation; /* the first thread's alone until transmission, constant then */
    Account account;         /* the memory of requests that are carried out */
    Scratch scratch;         /* of its workers, between requests */
    TurnTaker taker;         /* of turns for heavy work */

    gint stopping;  /* atomic: carry out no more requests, and end long answers early */
    gint cut;       /* atomic: nobody will read an answer any more */
    gint refusal;   /* atomic: the RefusedReason that it was cut for */
    gint n_blocked; /* atomic: workers that wait for the client to read, or for memory */

    Inbox inbox;           /* of the worker that has the turn to read, alone; likewise: */
    guint64 last_received; /* when what is in it came; by counters_clock() */
    BusyPoll busy_poll;

    /* Taking order: .send_lock, .lock. */

    /* Held while a message is sent, since messages must not mix; a slow client keeps only its own
     * workers waiting. */
    GMutex send_lock;

    gsize greeted; /* bytes of the greeting that have been sent; the first thread's alone */

    GMutex lock;      /* guards the taking of turns: */
    GCond turn;       /* signalled when .reading ends, or all do */
    gboolean reading; /* a worker has the turn to read */
    gboolean ended;   /* there will be no further request */
    gboolean entered; /* the transmission phase was reached */
    guint n_workers;
    guint n_waiting; /* workers with nothing to do but wait for their turn */
    guint n_busy;    /* workers with requests, not all of them answered, or that look out for one */

    /* Replies (GBytes) that a worker could not send before it had to wait for storage: whoever
     * sends next sends them first. Guarded by .lock; only who has .send_lock takes one. The first
     * may begin in the midst of a message. */
    GQueue left_over;
    gint n_left_over; /* atomic: its length, for who only looks */

    /* Of the engine, which has a lock for it: how the connection came in; NULL: it was handed over.
     */
    gpointer door;

    gint64 accepted_at; /* constant; monotonic, in microseconds, as is the next */

    /* Of the thread that looks after deadlines, alone. */
    gint64 still_since;
    gint moved_seen; /* stream.moved at the last look */

    Guest guest; /* of the one worker that there is when the connection goes to rest */
    ConnectionCounters counters;
};

/* Takes @fd over, and what @peer holds. */
Connection *connection_new(const ConnectionOwner *owner, guint64 number, int fd, const Peer *peer);
void connection_free(Connection *connection);

/* Greets the client, as far as that can be done without waiting: it reads while a thread comes. */
void connection_greet(Connection *connection);

/* Serves it from this thread, and others as needed, until the client leaves; then owner->left() is
 * called, and frees it. */
void connection_serve(gpointer connection);

/* Carries out requests from this thread, and others as needed. While no request comes there may be
 * no thread; when all have left, owner->left() is called. */
void connection_work(gpointer connection);

/* The same from a thread of its own. Returns FALSE if none could be had. */
gboolean connection_start(Connection *connection, GError **error);

/* Starts a thread of the connection for @func, which is in .n_workers already, or else discounts
 * it. */
gboolean connection_start_thread(Connection *connection, ThreadSetFunc func, GError **error);

/* The last thing that a thread of the connection does with it. */
void connection_leave(Connection *connection);

/* Asks it to end: what is in flight is answered, what the client still asks for is refused
 * (NBD_ESHUTDOWN), and with the last answer it ends. Any thread. */
void connection_stop(Connection *connection);

/* Ends it at once, whatever is in flight. Any thread. */
void connection_cut(Connection *connection);

/* The same, and has it counted as sent away. */
void connection_refuse(Connection *connection, RefusedReason reason);

gboolean connection_is_stopping(Connection *connection);
gboolean connection_is_cut(Connection *connection);
gboolean connection_has_entered(Connection *connection);

/* Whether bytes have come or gone since the last time this was asked, or a request is being carried
 * out that waits for nothing that the client does. One thread asks. */
gboolean connection_has_moved(Connection *connection);

/* Whether nobody is there any more to read an answer; then the connection ends. For long work. */
gboolean connection_is_gone(Connection *connection);

/* Exactly @length bytes of what the client sends once there is transmission, and the same dropped;
 * FALSE at the end of the stream. Whoever has the turn to read. */
gboolean connection_receive(Connection *connection, gpointer buffer, gsize length);
gboolean connection_drain(Connection *connection, guint64 length);

/* One or more whole messages: @pieces of memory, which are changed on the way, then @n_spliced
 * bytes of a pipe, then one piece more. */
typedef struct {
    struct iovec *pieces;
    gsize n_pieces;
    int pipe_fd; /* of no matter where .n_spliced is 0 */
    gsize n_spliced;
    struct iovec tail;
} Message;

/* How many .pieces there are at most: the lists of one context, two headers before them, and what
 * has gathered before. */
#define MESSAGE_MAX_PIECES 68

/* Sends @message, and before it what was left over; on failure the connection ends. Any thread.
 * @wait: (nullable): called, perhaps, before the client is waited for */
gboolean connection_send(Connection *connection, const Message *message, const StreamWait *wait);

/* Sends @length bytes of whole messages as far as that can be done without waiting for anybody. The
 * rest is left over. Any thread. */
void connection_send_or_leave(Connection *connection, const guint8 *bytes, gsize length);

/* Whether there are replies left over. Any thread. */
gboolean connection_has_left_over(Connection *connection);

/* handshake.c. Sends as much of the greeting as can be sent without waiting. */
void handshake_greet(Connection *connection);

/* handshake.c: greets and haggles. Returns whether transmission is entered. */
gboolean handshake_run(Connection *connection);

/* starttls.c: a TLS handshake, after which all that was negotiated is forgotten. Returns FALSE if
 * the connection has to end. */
gboolean connection_start_tls(Connection *connection);

#endif
