/* SPDX-License-Identifier: LGPL-2.1-or-later
 * worker.h - one thread of a connection: the requests that it has begun, their replies as far as
 * they have gathered, and what it takes to carry one out.
 *
 * What it has of the connection's (memory of the account, a buffer, walks, a pipe) it has from the
 * first request that needs it until all replies have been sent and it is about to sleep. */
#ifndef STRATA_WORKER_H
#define STRATA_WORKER_H

#include "outbox.h"
#include "protocol/request.h"

#define WORKER_BUFFER_SIZE ACCOUNT_BUFFER_SIZE

/* What a walk takes, with a margin, and besides for each node of its graph; each request that needs
 * one takes it from the connection's account. Measured: 345 KiB over 8 layers of two nodes, and 1
 * KiB for each layer more; some 192 KiB more where runs are not found in order. */
#define WORKER_WALK_SIZE     ((guint64)576 * 1024)
#define WORKER_WALK_PER_NODE ((guint64)512)

/* How many replies gather at most. */
#define WORKER_MAX_ANSWERED 64

/* A request whose reply may not have been sent yet. */
typedef struct {
    guint64 came; /* by counters_clock() */
    guint16 type;
} Answered;

typedef struct {
    Connection *connection;
    gboolean has_turn;      /* to read requests; it is passed on before the worker waits */
    gboolean is_idle;       /* it was the last, and nothing has come for a while */
    gboolean is_busy;       /* it is counted as such: it has requests, or looks out for one */
    gboolean has_processor; /* it is counted in Processors: busy, and has not waited yet */
    guint64 memory;         /* taken from the account, enough for each of its requests */
    guint8 *buffer;         /* (nullable) of WORKER_BUFFER_SIZE bytes */
    StrataWalk *walks[WALK_KINDS]; /* (nullable) */
    Pipe *pipe;                    /* (nullable) empty between requests */
    Outbox outbox;
    gboolean is_halved; /* a part of the batch has been sent, for the client to go on with */
    guint n_answered;
    Answered answered[WORKER_MAX_ANSWERED];
    StreamWait wait; /* passes the turn on before it waits for the client */
} Worker;

void worker_init(Worker *worker, Connection *connection);

/* Frees what it has of its own. It has finished. */
void worker_clear(Worker *worker);

/* A walk for block status, whose runs tell of @details, and one for reads, whose runs tell where
 * bytes are. What was found for the request before and not used is kept while details are the same.
 */
StrataWalk *worker_get_walk_for(Worker *worker, StrataDetails details);
StrataWalk *worker_get_reading_walk(Worker *worker);

/* NULL if there is no memory for it; one that a request has, it keeps. */
guint8 *worker_get_buffer(Worker *worker);

/* An empty pipe; NULL where there is none to be had. One that may not be empty any more is dropped.
 */
Pipe *worker_get_pipe(Worker *worker);
void worker_drop_pipe(Worker *worker);

/* Sends @message or, if it is short, lets it gather. Returns whether that went well; else the
 * connection has ended. */
gboolean worker_send(Worker *worker, const Message *message);

/* Sends what has gathered. @wait: (nullable): as for connection_send() */
gboolean worker_flush(Worker *worker, const StreamWait *wait);

/* Sends what has gathered if something is left over, so that no more is than the outboxes hold:
 * before a reply is made, since here the client may be waited for. */
gboolean worker_send_left_over(Worker *worker);

/* Begins a request. Returns FALSE if there shall be no more of them. worker_answered() follows. */
gboolean worker_begin(Worker *worker);

/* Its reply has been made, and is sent if enough has gathered, or half of the batch: while the
 * client takes that in, the rest is made, and neither falls asleep waiting for the other. */
void worker_answered(Worker *worker, const Request *request);

/* Takes memory from the account so that it has @bytes, and gives back what it had before it waits
 * for that: replies that have gathered are sent before. */
void worker_take_memory(Worker *worker, guint64 bytes);

/* The end of a batch: nothing is left unsent. */
void worker_end_batch(Worker *worker);

/* The same, and the worker will wait: what it had of the connection's is given back. */
void worker_finish(Worker *worker);

/* Before work that takes long: sends what has gathered and passes the turn to read on. */
void worker_before_long_work(Worker *worker);

/* The same before storage is waited for, without waiting itself: what cannot be sent is left over
 * to who comes next. A StrataWaitHook. */
void worker_before_storage(gpointer worker);

#endif
