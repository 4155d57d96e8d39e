/* SPDX-License-Identifier: LGPL-2.1-or-later
 * acceptor.c - the thread that accepts clients, and looks after the deadlines of those it has; and
 * threads with nothing to do that accept them in its place.
 *
 * A client that comes alone is accepted by the thread, which has another serve it. That one, when
 * it is done, waits at the desk, and the thread watches listeners no more: whoever waits there
 * accepts the next client and serves it at once. When the last of them has got one, the thread asks
 * for a further one, so that clients who come one after the other, or some at a time, wake nobody
 * but who serves them; when the last of them has waited for long enough, the thread watches again.
 * A listener that is to rest, or fails, is left to the thread. */
#include "acceptor.h"

#include "desk.h"
#include "listen/listen.h"
#include "signals.h"

#include <errno.h>
#include <poll.h>
#include <strata/strata.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long a thread waits for a client. */
#define WAIT_USEC (500 * G_TIME_SPAN_MILLISECOND)

/* How long accepting rests after a failure that time may mend, such as no free descriptor; and the
 * lounge, by itself, after one such as no thread. */
#define REST_USEC (200 * G_TIME_SPAN_MILLISECOND)

/* The first of the thread's descriptors. */
enum {
    ENTRY_WAKE,
    ENTRY_LOUNGE,
    ENTRY_LISTENERS,
};

struct _Acceptor {
    AcceptorOwner owner;
    Log *log;
    int wake;        /* eventfd; -1: there was none to be had */
    GThread *thread; /* of who starts and stops; NULL: not running */
    gint stopping;   /* atomic */
    gint turns;      /* atomic */
    Desk desk;

    guint n_listeners; /* constant while the thread runs, as are the two arrays */
    Door *doors;
    struct pollfd *entries; /* the thread's alone */
    gint64 rests_until;     /* the thread's alone, as is the next */
    gint64 lounge_opens_at;
    const GPtrArray *listeners;
};

Acceptor *
acceptor_new(const AcceptorOwner *owner, Log *log)
{
    Acceptor *acceptor = g_new0(Acceptor, 1);

    acceptor->owner = *owner;
    acceptor->log = log;
    acceptor->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    desk_init(&acceptor->desk);
    return acceptor;
}

void
acceptor_free(Acceptor *acceptor)
{
    acceptor_stop(acceptor);
    for (guint i = 0; i < acceptor->n_listeners; i++)
        door_clear(&acceptor->doors[i]);
    g_free(acceptor->doors);
    g_free(acceptor->entries);
    desk_clear(&acceptor->desk);
    if (acceptor->wake >= 0)
        close(acceptor->wake);
    g_free(acceptor);
}

void
acceptor_wake(Acceptor *acceptor)
{
    guint64 one = 1;

    /* It fails only when the counter is full, and then the thread is awake. */
    if (write(acceptor->wake, &one, sizeof one) < 0)
        return;
}

gint
acceptor_get_turns(Acceptor *acceptor)
{
    return g_atomic_int_get(&acceptor->turns);
}

static gboolean
is_stopping(Acceptor *acceptor)
{
    return g_atomic_int_get(&acceptor->stopping);
}

static int
accept_from(Acceptor *acceptor, guint i)
{
    const Listener *listener = g_ptr_array_index(acceptor->listeners, i);

    return accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
}

/* Whether the client has gone already, or another thing went wrong that concerns it alone. */
static gboolean
concerns_one(int failed)
{
    return failed == EAGAIN || failed == EINTR || failed == ECONNABORTED;
}

/* Returns: (nullable): the client; NULL if it was turned away */
static gpointer
let_in(Acceptor *acceptor, int fd, guint i)
{
    door_take_token(&acceptor->doors[i]);
    return acceptor->owner.came(fd, &acceptor->doors[i], acceptor->owner.data);
}

static void
accept_one(Acceptor *acceptor, guint i)
{
    int fd = accept_from(acceptor, i);
    int saved_errno = errno;
    gpointer client = fd >= 0 ? let_in(acceptor, fd, i) : NULL;

    if (client != NULL)
        acceptor->owner.serve(client, acceptor->owner.data);
    if (fd >= 0 || concerns_one(saved_errno))
        return;
    log_failure(acceptor->log, 0, "cannot accept a client: %s", g_strerror(saved_errno));
    acceptor->rests_until = g_get_monotonic_time() + REST_USEC;
}

/* Fills in the listeners that may be accepted from. Returns when the next of those that rest opens;
 * G_MAXINT64: none rests. */
static gint64
choose_listeners(Acceptor *acceptor, gint64 now)
{
    gboolean may_accept = acceptor->owner.may_accept(acceptor->owner.data);
    gint64 next = G_MAXINT64;

    for (guint i = 0; i < acceptor->n_listeners; i++) {
        const Listener *listener = g_ptr_array_index(acceptor->listeners, i);
        gint64 opens_at = MAX(door_opens_at(&acceptor->doors[i], now), acceptor->rests_until);

        if (opens_at > now)
            next = MIN(next, opens_at);
        acceptor->entries[ENTRY_LISTENERS + i] = (struct pollfd){
            /* -1: is left out */
            .fd = may_accept && opens_at <= now && !desk_watches(&acceptor->desk, i) ? listener->fd
                                                                                     : -1,
            .events = POLLIN,
        };
    }
    return next;
}

static int
timeout_ms(gint64 now, gint64 until)
{
    if (until == G_MAXINT64)
        return -1;
    return (int)CLAMP((until - now) / G_TIME_SPAN_MILLISECOND + 1, 0, G_MAXINT);
}

/* Clients that rest, and from whom something has come. Returns when to look for those who had to
 * wait before. */
static gint64
choose_lounge(Acceptor *acceptor, gint64 now)
{
    gboolean is_open = acceptor->lounge_opens_at <= now;

    acceptor->entries[ENTRY_LOUNGE] = (struct pollfd){
        .fd = is_open ? acceptor->owner.lounge->events : -1,
        .events = POLLIN,
    };
    return lounge_is_behind(acceptor->owner.lounge) ? MAX(acceptor->lounge_opens_at, now)
                                                    : G_MAXINT64;
}

static void
look_into_lounge(Acceptor *acceptor)
{
    const struct pollfd *entry = &acceptor->entries[ENTRY_LOUNGE];

    if (entry->fd < 0 || (entry->revents == 0 && !lounge_is_behind(acceptor->owner.lounge)))
        return;
    if (!lounge_look(acceptor->owner.lounge, 0, acceptor->owner.see_on, acceptor->owner.data))
        acceptor->lounge_opens_at = g_get_monotonic_time() + REST_USEC;
}

/* Sleeps until there is something to do. Returns whether clients are to be looked at. */
static gboolean
wait_for_clients(Acceptor *acceptor)
{
    gint64 due = acceptor->owner.look(acceptor->owner.data);
    gint64 now = g_get_monotonic_time();
    gint64 until = MIN(MIN(choose_listeners(acceptor, now), choose_lounge(acceptor, now)), due);
    nfds_t n_entries = ENTRY_LISTENERS + acceptor->n_listeners;
    guint64 count;

    acceptor->entries[ENTRY_WAKE] = (struct pollfd){ .fd = acceptor->wake, .events = POLLIN };
    if (poll(acceptor->entries, n_entries, timeout_ms(now, until)) <= 0)
        return FALSE;
    /* Empty is as good. */
    if (acceptor->entries[ENTRY_WAKE].revents != 0 &&
        read(acceptor->wake, &count, sizeof count) < 0)
        return FALSE;
    return TRUE;
}

static gpointer
run(gpointer data)
{
    Acceptor *acceptor = data;

    signals_leave_to_main();
    while (!is_stopping(acceptor)) {
        gboolean any = wait_for_clients(acceptor);

        g_atomic_int_inc(&acceptor->turns);
        if (desk_was_short(&acceptor->desk) && !is_stopping(acceptor))
            acceptor->owner.be_short(acceptor->owner.data);
        look_into_lounge(acceptor);
        for (guint i = 0; any && i < acceptor->n_listeners; i++)
            if (acceptor->entries[ENTRY_LISTENERS + i].revents != 0 && !is_stopping(acceptor) &&
                acceptor->owner.may_accept(acceptor->owner.data))
                accept_one(acceptor, i);
    }
    return NULL;
}

static gboolean
rests(Acceptor *acceptor, guint i)
{
    gint64 now = g_get_monotonic_time();

    return door_opens_at(&acceptor->doors[i], now) > now;
}

/* Returns: (nullable): the client; NULL: another has to be waited for */
static gpointer
take_client(Acceptor *acceptor, guint i)
{
    gboolean is_resting = rests(acceptor, i);
    int fd = is_resting ? -1 : accept_from(acceptor, i);
    gpointer client;

    if (fd < 0 && (is_resting || !concerns_one(errno))) {
        desk_give_up(&acceptor->desk, i);
        acceptor_wake(acceptor);
        return NULL;
    }
    client = fd >= 0 ? let_in(acceptor, fd, i) : NULL;
    if (client == NULL)
        desk_arm(&acceptor->desk, i);
    return client;
}

/* What the thread has watched so far. */
static void
take_over(Acceptor *acceptor)
{
    for (guint i = 0; i < acceptor->n_listeners; i++)
        if (!rests(acceptor, i))
            desk_watch(&acceptor->desk, i);
    acceptor_wake(acceptor);
}

gpointer
acceptor_wait_for_client(Acceptor *acceptor)
{
    gint64 deadline = g_get_monotonic_time() + WAIT_USEC;
    gpointer client = NULL;
    gboolean all_watched;
    guint i;

    if (!desk_enter(&acceptor->desk, &all_watched))
        return NULL;
    if (!all_watched)
        take_over(acceptor);
    while (client == NULL && desk_wait(&acceptor->desk, deadline, &i))
        client = take_client(acceptor, i);
    if (desk_leave(&acceptor->desk, client != NULL ? &i : NULL))
        acceptor_wake(acceptor);
    return client;
}

static void
open_desk(Acceptor *acceptor)
{
    g_autofree int *fds = g_new(int, acceptor->n_listeners);

    for (guint i = 0; i < acceptor->n_listeners; i++)
        fds[i] = ((const Listener *)g_ptr_array_index(acceptor->listeners, i))->fd;
    desk_open(&acceptor->desk, g_steal_pointer(&fds), acceptor->n_listeners);
}

gboolean
acceptor_start(Acceptor *acceptor, const GPtrArray *listeners, GError **error)
{
    g_autoptr(GError) local_error = NULL;

    if (acceptor->wake < 0) {
        g_set_error(
            error, STRATA_ERROR, STRATA_ERROR_IO,
            "cannot start to serve: the system has no descriptor for an eventfd (ulimit -n)");
        return FALSE;
    }
    acceptor->listeners = listeners;
    acceptor->n_listeners = listeners->len;
    acceptor->entries = g_new0(struct pollfd, ENTRY_LISTENERS + acceptor->n_listeners);
    acceptor->doors = g_new0(Door, acceptor->n_listeners);
    for (guint i = 0; i < acceptor->n_listeners; i++)
        door_init(&acceptor->doors[i]);
    open_desk(acceptor);
    acceptor->thread = g_thread_try_new("accept", run, acceptor, &local_error);
    if (acceptor->thread != NULL)
        return TRUE;
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO, "cannot start to serve: %s",
                local_error->message);
    return FALSE;
}

void
acceptor_stop(Acceptor *acceptor)
{
    g_atomic_int_set(&acceptor->stopping, TRUE);
    if (acceptor->thread == NULL)
        return;
    acceptor_wake(acceptor);
    g_thread_join(g_steal_pointer(&acceptor->thread));
    desk_close(&acceptor->desk);
}
