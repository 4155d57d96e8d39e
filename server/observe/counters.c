/* SPDX-License-Identifier: LGPL-2.1-or-later
 * counters.c - what is counted. */
#include "counters.h"

#include "protocol/proto.h"

#include <string.h>
#include <time.h>

/* Names that stand for themselves; what comes after so many counts as OTHERS. An operator may
 * rename exports for years, and each name that was ever served is remembered. */
#define MAX_NAMES 1024

/* The same for long names: a name comes up to 150 times in what is told to those who ask, and all
 * of that shall not be more than 20 MiB. What a name takes besides its own letters: */
#define MAX_LENGTH  (128 * 1024)
#define LINE_LENGTH 100

#define OTHERS "(others)"

#define US 1000
#define MS (1000 * US)
#define S  (G_GUINT64_CONSTANT(1000) * MS)

const guint64 counters_bounds[COUNTERS_BOUNDS] = {
    30 * US, 100 * US, 300 * US, 1 * MS, 3 * MS, 10 * MS,
    30 * MS, 100 * MS, 300 * MS, 1 * S,  3 * S,  10 * S,
};

struct _ExportCounters {
    char *name;
    guint place;          /* in StrataCounters.exports */
    TrafficCounters left; /* of the connections that have left */
    guint64 entered;
    guint64 transmitting;
};

static void
export_counters_free(gpointer data)
{
    ExportCounters *export = data;

    g_free(export->name);
    g_free(export);
}

void
counters_init(StrataCounters *counters, const Log *log)
{
    *counters = (StrataCounters){ .log = log };
    g_mutex_init(&counters->lock);
    counters->exports = g_ptr_array_new_with_free_func(export_counters_free);
    counters->labels = g_hash_table_new(g_str_hash, g_str_equal);
    g_queue_init(&counters->transmitting);
}

void
counters_clear(StrataCounters *counters)
{
    g_hash_table_unref(counters->labels);
    g_ptr_array_unref(counters->exports);
    g_mutex_clear(&counters->lock);
}

static guint64
load(const guint64 *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static CountedCommand
command_of(guint16 type)
{
    switch (type) {
    case NBD_CMD_READ:
        return COUNTED_READ;
    case NBD_CMD_WRITE:
        return COUNTED_WRITE;
    case NBD_CMD_FLUSH:
        return COUNTED_FLUSH;
    case NBD_CMD_TRIM:
        return COUNTED_TRIM;
    case NBD_CMD_CACHE:
        return COUNTED_CACHE;
    case NBD_CMD_WRITE_ZEROES:
        return COUNTED_WRITE_ZEROES;
    case NBD_CMD_BLOCK_STATUS:
        return COUNTED_BLOCK_STATUS;
    default:
        return COUNTED_OTHER;
    }
}

guint64
counters_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (guint64)now.tv_sec * S + (guint64)now.tv_nsec;
}

void
counters_begin(ConnectionCounters *connection, guint16 type)
{
    counters_add(&connection->traffic.commands[command_of(type)].started, 1);
}

/* Most requests are short, so that the search ends soon. */
static guint
class_of(guint64 nanoseconds)
{
    guint i = 0;

    while (i < COUNTERS_BOUNDS && nanoseconds > counters_bounds[i])
        i++;
    return i;
}

void
counters_end(ConnectionCounters *connection, guint16 type, guint64 nanoseconds)
{
    CommandCounters *command = &connection->traffic.commands[command_of(type)];

    counters_add(&command->nanoseconds, nanoseconds);
    counters_add(&command->ended[class_of(nanoseconds)], 1);
}

void
counters_failed(ConnectionCounters *connection, guint16 type)
{
    counters_add(&connection->traffic.commands[command_of(type)].failed, 1);
}

/* Adds the figures of a connection that may still count. */
static void
add_traffic(TrafficCounters *sum, const TrafficCounters *traffic)
{
    G_STATIC_ASSERT(sizeof *sum % sizeof(guint64) == 0);

    for (gsize i = 0; i < sizeof *sum / sizeof(guint64); i++)
        ((guint64 *)sum)[i] += load((const guint64 *)traffic + i);
}

/* What a line about the export takes; at most, where letters are escaped or made valid. */
static gsize
line_length(const char *name)
{
    gsize length = LINE_LENGTH;

    for (const char *c = name; *c != '\0'; c++)
        length += (*c & 0x80) != 0 ? 3 : strchr("\\\"\n", *c) != NULL ? 2 : 1;
    return length;
}

/* With counters->lock held. */
static gboolean
has_room(const StrataCounters *counters, const char *name)
{
    return counters->exports->len < MAX_NAMES &&
           counters->names_length + line_length(name) <= MAX_LENGTH;
}

/* With counters->lock held. */
static ExportCounters *
find_export(StrataCounters *counters, const char *name)
{
    ExportCounters *export = g_hash_table_lookup(counters->labels, name);

    if (export == NULL && !has_room(counters, name)) {
        name = OTHERS;
        export = g_hash_table_lookup(counters->labels, name);
    }
    if (export != NULL)
        return export;
    export = g_new0(ExportCounters, 1);
    export->name = g_strdup(name);
    export->place = counters->exports->len;
    g_hash_table_insert(counters->labels, export->name, export);
    g_ptr_array_add(counters->exports, export);
    counters->names_length += line_length(name);
    return export;
}

void
counters_enter(StrataCounters *counters, ConnectionCounters *connection, const char *name,
               guint64 number, const char *peer)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&counters->lock);
    ExportCounters *export = find_export(counters, name);

    *connection = (ConnectionCounters){
        .export = export,
        .number = number,
        .peer = peer,
        .entered = g_get_monotonic_time(),
        .link.data = connection,
    };
    export->entered++;
    export->transmitting++;
    g_queue_push_tail_link(&counters->transmitting, &connection->link);
}

static void
sum_up(const ConnectionCounters *connection, LogTotals *totals)
{
    const TrafficCounters *traffic = &connection->traffic;

    totals->duration = g_get_monotonic_time() - connection->entered;
    totals->bytes_received = traffic->bytes_received;
    totals->bytes_sent = traffic->bytes_sent;
    for (guint i = 0; i < COUNTED_COMMANDS; i++) {
        totals->requests += traffic->commands[i].started;
        totals->failed += traffic->commands[i].failed;
    }
}

void
counters_leave(StrataCounters *counters, ConnectionCounters *connection, LogTotals *out_totals)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&counters->lock);

    if (connection->export == NULL)
        return;
    add_traffic(&connection->export->left, &connection->traffic);
    connection->export->transmitting--;
    g_queue_unlink(&counters->transmitting, &connection->link);
    sum_up(connection, out_totals);
    connection->export = NULL;
}

static void
clear_export_figures(gpointer data)
{
    g_free(((ExportFigures *)data)->name);
}

static void
clear_connection_figures(gpointer data)
{
    ConnectionFigures *figures = data;

    g_free(figures->peer);
    g_free(figures->export_name);
}

static void
take_exports(const StrataCounters *counters, CountersSnapshot *snapshot)
{
    for (guint i = 0; i < counters->exports->len; i++) {
        const ExportCounters *export = g_ptr_array_index(counters->exports, i);
        ExportFigures figures = {
            .name = g_strdup(export->name),
            .traffic = export->left,
            .entered = export->entered,
            .transmitting = export->transmitting,
        };

        g_array_append_val(snapshot->exports, figures);
    }
}

static void
take_connections(const StrataCounters *counters, CountersSnapshot *snapshot)
{
    for (const GList *link = counters->transmitting.head; link != NULL; link = link->next) {
        const ConnectionCounters *connection = link->data;
        guint place = connection->export->place;
        ConnectionFigures figures = { .number = connection->number };

        add_traffic(&figures.traffic, &connection->traffic);
        add_traffic(&g_array_index(snapshot->exports, ExportFigures, place).traffic,
                    &figures.traffic);
        if (snapshot->connections->len >= COUNTERS_CONNECTIONS)
            continue;
        figures.peer = g_strdup(connection->peer);
        figures.export_name = g_strdup(connection->export->name);
        g_array_append_val(snapshot->connections, figures);
    }
}

/* What grows together is loaded so that a difference cannot fall below 0: what is subtracted
 * first. */
void
counters_take_snapshot(StrataCounters *counters, CountersSnapshot *out_snapshot)
{
    guint64 closed = __atomic_load_n(&counters->closed, __ATOMIC_ACQUIRE);

    *out_snapshot = (CountersSnapshot){
        .accepted = load(&counters->accepted),
        .tls_sessions = load(&counters->tls_sessions),
        .log_lines_suppressed =
            load(&counters->log->suppressed) + log_count_suppressed_of_libraries(),
        .exports = g_array_new(FALSE, FALSE, sizeof(ExportFigures)),
        .connections = g_array_new(FALSE, FALSE, sizeof(ConnectionFigures)),
    };
    g_array_set_clear_func(out_snapshot->exports, clear_export_figures);
    g_array_set_clear_func(out_snapshot->connections, clear_connection_figures);
    out_snapshot->open = out_snapshot->accepted - MIN(closed, out_snapshot->accepted);
    for (guint i = 0; i < REFUSED_REASONS; i++)
        out_snapshot->refused[i] = load(&counters->refused[i]);
    for (guint i = 0; i < HANDSHAKE_RESULTS; i++)
        out_snapshot->handshakes[i] = load(&counters->handshakes[i]);

    g_mutex_lock(&counters->lock);
    take_exports(counters, out_snapshot);
    take_connections(counters, out_snapshot);
    g_mutex_unlock(&counters->lock);
}

void
counters_snapshot_clear(CountersSnapshot *snapshot)
{
    g_clear_pointer(&snapshot->exports, g_array_unref);
    g_clear_pointer(&snapshot->connections, g_array_unref);
}

guint64
counters_ended(const CommandCounters *command)
{
    guint64 ended = 0;

    for (guint i = 0; i <= COUNTERS_BOUNDS; i++)
        ended += command->ended[i];
    return ended;
}

/* A request may begin and end while a snapshot is taken, between the loads of the two. */
guint64
counters_in_flight(const TrafficCounters *traffic)
{
    guint64 started = 0, ended = 0;

    for (guint i = 0; i < COUNTED_COMMANDS; i++) {
        started += traffic->commands[i].started;
        ended += counters_ended(&traffic->commands[i]);
    }
    return started - MIN(ended, started);
}
