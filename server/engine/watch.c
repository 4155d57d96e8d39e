/* SPDX-License-Identifier: LGPL-2.1-or-later
 * watch.c - the deadlines of connections. */
#include "watch.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* A host that was silent for two minutes is asked whether it is there, and is gone when it does not
 * answer for three more. There is no TCP_USER_TIMEOUT: it would also end clients that are there but
 * stopped, since a window that stays closed counts for it (tcp(7) and RFC 5482). */
#define KEEPALIVE_IDLE_SECONDS     120
#define KEEPALIVE_INTERVAL_SECONDS 30
#define KEEPALIVE_PROBES           6

/* Connections are looked at so many times in the time that they may idle. What has moved since the
 * last look counts from this one on, so that an idle one lasts up to that part longer. */
#define LOOKS_PER_IDLE_TIME 4

typedef struct {
    guint64 number;
    char *peer; /* owned */
    gboolean in_handshake;
} Cut;

static void
cut_clear(gpointer data)
{
    Cut *cut = data;

    g_free(cut->peer);
}

void
watch_begin(Watch *watch, const StrataEngineLimits *limits)
{
    *watch = (Watch){
        .limits = limits,
        .now = g_get_monotonic_time(),
        .cut = g_array_new(FALSE, FALSE, sizeof(Cut)),
    };
    g_array_set_clear_func(watch->cut, cut_clear);
}

static void
cut(Watch *watch, Connection *connection, gboolean in_handshake)
{
    Cut entry = {
        .number = connection->number,
        .peer = g_strdup(connection->peer.address),
        .in_handshake = in_handshake,
    };

    connection_refuse(connection, in_handshake ? REFUSED_TIMEOUT : REFUSED_IDLE);
    g_array_append_val(watch->cut, entry);
}

static gint64
usec(guint seconds)
{
    return (gint64)seconds * G_TIME_SPAN_SECOND;
}

static gboolean
has_idled(Watch *watch, Connection *connection)
{
    if (connection_has_moved(connection))
        connection->still_since = watch->now;
    return watch->now - connection->still_since >= usec(watch->limits->idle_seconds);
}

static gint64
next_look(const StrataEngineLimits *limits, const Connection *connection, gboolean has_entered,
          gint64 now)
{
    guint seconds = has_entered ? limits->idle_seconds : limits->handshake_seconds;

    if (seconds == 0)
        return G_MAXINT64;
    return has_entered ? now + usec(seconds) / LOOKS_PER_IDLE_TIME
                       : connection->accepted_at + usec(seconds);
}

gint64
watch_next_look(const StrataEngineLimits *limits, Connection *connection, gint64 now)
{
    return next_look(limits, connection, connection_has_entered(connection), now);
}

gint64
watch_look(Watch *watch, Connection *connection)
{
    gboolean has_entered = connection_has_entered(connection);
    gint64 next = next_look(watch->limits, connection, has_entered, watch->now);

    if (next == G_MAXINT64 || connection_is_cut(connection))
        return G_MAXINT64;
    if (has_entered ? !has_idled(watch, connection) : next > watch->now)
        return next;
    cut(watch, connection, !has_entered);
    return G_MAXINT64;
}

void
watch_end(Watch *watch, Log *log)
{
    for (guint i = 0; i < watch->cut->len; i++) {
        const Cut *entry = &g_array_index(watch->cut, Cut, i);
        LogFields fields = {
            .event = "timeout",
            .connection = entry->number,
            .peer = entry->peer,
        };

        if (entry->in_handshake)
            log_failure_with(log, &fields,
                             "cut: the client has chosen no export within the %u s of %s",
                             watch->limits->handshake_seconds,
                             watch->limits->are_options ? "--handshake-timeout" : "a handshake");
        else
            log_failure_with(log, &fields, "cut: no byte came or went within the %u s of %s",
                             watch->limits->idle_seconds,
                             watch->limits->are_options ? "--idle-timeout" : "idleness");
    }
    g_clear_pointer(&watch->cut, g_array_unref);
}

void
watch_for_dead_host(int fd)
{
    int on = 1;
    int idle = KEEPALIVE_IDLE_SECONDS;
    int interval = KEEPALIVE_INTERVAL_SECONDS;
    int probes = KEEPALIVE_PROBES;

    /* They fail on sockets that are no TCP sockets. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}
