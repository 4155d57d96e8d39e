/* SPDX-License-Identifier: LGPL-2.1-or-later
 * counters.h - what is counted: for each connection while it lasts, for each export for ever.
 *
 * A request costs its own connection a few relaxed additions, and a batch of them two readings of
 * the clock; it takes no lock. When a connection leaves, its figures are added to those of its
 * export; who asks before that finds both together. So no sum ever goes back. */
#ifndef STRATA_COUNTERS_H
#define STRATA_COUNTERS_H

#include "engine.h"
#include "log.h"

/* What requests are told apart by. A client may send any number: those that are no command of the
 * protocol count as one. */
typedef enum {
    COUNTED_READ,
    COUNTED_WRITE,
    COUNTED_FLUSH,
    COUNTED_TRIM,
    COUNTED_CACHE,
    COUNTED_WRITE_ZEROES,
    COUNTED_BLOCK_STATUS,
    COUNTED_OTHER,
    COUNTED_COMMANDS,
} CountedCommand;

/* Why a client was sent away: one reason for each. */
typedef enum {
    REFUSED_NONE,     /* it was not */
    REFUSED_LIMIT,    /* too many connections */
    REFUSED_PER_PEER, /* too many of them from one peer */
    REFUSED_RATE,     /* one peer that connects again and again and comes to nothing */
    REFUSED_TLS,      /* no TLS where there has to be, a TLS handshake that failed, or a client that
                         no rule admits */
    REFUSED_ACCESS,   /* an access rule keeps this client from the export that it asked for */
    REFUSED_TIMEOUT,  /* the handshake took too long */
    REFUSED_IDLE,     /* nothing was to be done for it for too long */
    REFUSED_REASONS,
} RefusedReason;

/* How a handshake ended. */
typedef enum {
    HANDSHAKE_ENTERED, /* with an export */
    HANDSHAKE_ABORTED, /* by NBD_OPT_ABORT: the client had seen enough */
    HANDSHAKE_FAILED,
    HANDSHAKE_RESULTS,
} HandshakeResult;

/* Upper bounds of the classes of duration, in nanoseconds; what is longer has a class of its own.
 */
#define COUNTERS_BOUNDS 12
extern const guint64 counters_bounds[COUNTERS_BOUNDS];

typedef struct {
    guint64 started;
    guint64 failed;
    guint64 nanoseconds;                /* of those that have ended, in all */
    guint64 ended[COUNTERS_BOUNDS + 1]; /* by duration */
} CommandCounters;

/* Nothing but guint64, which counters.c adds up as such. */
typedef struct {
    CommandCounters commands[COUNTED_COMMANDS];
    guint64 bytes_received; /* messages of the transmission phase, as they are without TLS */
    guint64 bytes_sent;
    guint64 bytes_read; /* of the export, as data and as holes */
    guint64 extents;    /* told in replies to NBD_CMD_BLOCK_STATUS */
} TrafficCounters;

typedef struct _ExportCounters ExportCounters;

/* A part of a connection. */
typedef struct {
    TrafficCounters traffic; /* atomic, relaxed: every worker of the connection adds */

    /* Set when transmission is entered, constant then. */
    ExportCounters *export; /* owned by the StrataCounters; NULL before */
    guint64 number;
    const char *peer; /* the connection's */
    gint64 entered;   /* monotonic, in microseconds */
    GList link;       /* guarded by StrataCounters.lock */
} ConnectionCounters;

struct _StrataCounters {
    /* Atomic, relaxed. */
    guint64 accepted;
    guint64 closed;
    guint64 refused[REFUSED_REASONS];
    guint64 handshakes[HANDSHAKE_RESULTS];
    guint64 tls_sessions;
    const Log *log; /* for the lines that it left out */

    GMutex lock;         /* guards what follows; taken when a connection enters or leaves */
    GPtrArray *exports;  /* ExportCounters, in the order of their first client */
    GHashTable *labels;  /* name -> ExportCounters */
    gsize names_length;  /* of lines about them */
    GQueue transmitting; /* ConnectionCounters */
};

void counters_init(StrataCounters *counters, const Log *log);

/* Every connection has left. */
void counters_clear(StrataCounters *counters);

static inline void
counters_add(guint64 *counter, guint64 amount)
{
    __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

/* The time by which requests are measured, in nanoseconds. */
guint64 counters_clock(void);

/* A request, from here on in flight. */
void counters_begin(ConnectionCounters *connection, guint16 type);

/* Its reply has been sent. @nanoseconds: since it came */
void counters_end(ConnectionCounters *connection, guint16 type, guint64 nanoseconds);

/* The client is told that the request failed. */
void counters_failed(ConnectionCounters *connection, guint16 type);

/* The connection serves the export of that name from now on. @name: one that the configuration
 * gives, so that clients cannot make up names; @peer: lives as long as @connection. What was
 * counted in the handshake is forgotten. */
void counters_enter(StrataCounters *counters, ConnectionCounters *connection, const char *name,
                    guint64 number, const char *peer);

/* It has ended; nothing happens if it never entered. Fills in @out_totals, all zero before, what
 * it did. */
void counters_leave(StrataCounters *counters, ConnectionCounters *connection,
                    LogTotals *out_totals);

/* How many of the connections in transmission a snapshot tells of one by one, the oldest. */
#define COUNTERS_CONNECTIONS 100

typedef struct {
    char *name;
    TrafficCounters traffic;
    guint64 entered;      /* connections, ever */
    guint64 transmitting; /* connections, now */
} ExportFigures;

typedef struct {
    guint64 number;
    char *peer;
    char *export_name;
    TrafficCounters traffic;
} ConnectionFigures;

/* What was counted up to a moment. */
typedef struct {
    guint64 accepted;
    guint64 open;
    guint64 refused[REFUSED_REASONS];
    guint64 handshakes[HANDSHAKE_RESULTS];
    guint64 tls_sessions;
    guint64 log_lines_suppressed;
    GArray *exports;     /* ExportFigures */
    GArray *connections; /* ConnectionFigures */
} CountersSnapshot;

/* Any thread. Keeps no request waiting, only a connection that enters or leaves just then. */
void counters_take_snapshot(StrataCounters *counters, CountersSnapshot *out_snapshot);
void counters_snapshot_clear(CountersSnapshot *snapshot);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CountersSnapshot, counters_snapshot_clear)

/* Sums over one command. */
guint64 counters_ended(const CommandCounters *command);
guint64 counters_in_flight(const TrafficCounters *traffic);

#endif
