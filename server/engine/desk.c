/* SPDX-License-Identifier: LGPL-2.1-or-later
 * desk.c - where threads that have nothing to do wait for clients themselves. */
#include "desk.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What epoll says of .closing, where it says the number of a listener. */
#define CLOSING G_MAXUINT32

void
desk_init(Desk *desk)
{
    *desk = (Desk){ .events = -1, .closing = -1 };
    g_mutex_init(&desk->lock);
    g_cond_init(&desk->left);
}

void
desk_clear(Desk *desk)
{
    if (desk->events >= 0)
        close(desk->events);
    if (desk->closing >= 0)
        close(desk->closing);
    g_free(desk->is_watched);
    g_free((gpointer)desk->fds);
    g_mutex_clear(&desk->lock);
    g_cond_clear(&desk->left);
}

/* @events: what wakes whoever waits; none: not armed */
static gboolean
control(Desk *desk, int operation, int fd, guint32 number, guint32 events)
{
    struct epoll_event event = { .events = events, .data.u32 = number };

    return epoll_ctl(desk->events, operation, fd, &event) == 0;
}

static gboolean
add_all(Desk *desk)
{
    gboolean added = control(desk, EPOLL_CTL_ADD, desk->closing, CLOSING, EPOLLIN);

    for (guint i = 0; added && i < desk->n_listeners; i++)
        added = control(desk, EPOLL_CTL_ADD, desk->fds[i], i, EPOLLONESHOT);
    return added;
}

void
desk_open(Desk *desk, int *fds, guint n_listeners)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&desk->lock);

    desk->fds = fds;
    desk->n_listeners = n_listeners;
    desk->is_watched = g_new0(gboolean, n_listeners);
    desk->events = epoll_create1(EPOLL_CLOEXEC);
    desk->closing = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    desk->is_open = desk->events >= 0 && desk->closing >= 0 && n_listeners > 0 && add_all(desk);
}

void
desk_close(Desk *desk)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&desk->lock);

    if (desk->is_open)
        (void)eventfd_write(desk->closing, 1);
    desk->is_open = FALSE;
    while (desk->n_waiting > 0)
        g_cond_wait(&desk->left, &desk->lock);
}

gboolean
desk_enter(Desk *desk, gboolean *out_all_watched)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&desk->lock);

    if (!desk->is_open || desk->n_waiting == DESK_MAX_WAITING)
        return FALSE;
    desk->n_waiting++;
    *out_all_watched = desk->n_watched == desk->n_listeners;
    return TRUE;
}

/* With the lock held, as the next. Arming cannot fail: the listener is there. */
static void
set_watched(Desk *desk, guint listener, gboolean is_watched)
{
    if (desk->is_watched[listener] == is_watched)
        return;
    desk->is_watched[listener] = is_watched;
    desk->n_watched += is_watched ? 1u : -1u;
}

static void
arm(Desk *desk, guint listener)
{
    (void)control(desk, EPOLL_CTL_MOD, desk->fds[listener], listener, EPOLLIN | EPOLLONESHOT);
}

void
desk_watch(Desk *desk, guint listener)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&desk->lock);

    if (!desk->is_watched[listener])
        arm(desk, listener);
    set_watched(desk, listener, TRUE);
}

static int
milliseconds_until(gint64 deadline)
{
    gint64 left = deadline - g_get_monotonic_time();

    return (int)CLAMP(left / G_TIME_SPAN_MILLISECOND + 1, 0, G_MAXINT);
}

gboolean
desk_wait(Desk *desk, gint64 deadline, guint *out_listener)
{
    struct epoll_event event;
    int n;

    do
        n = epoll_wait(desk->events, &event, 1, milliseconds_until(deadline));
    while (n < 0 && errno == EINTR);
    if (n <= 0 || event.data.u32 == CLOSING)
        return FALSE;
    *out_listener = event.data.u32;
    return TRUE;
}

void
desk_arm(Desk *desk, guint listener)
{
    arm(desk, listener);
}

void
desk_give_up(Desk *desk, guint listener)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&desk->lock);

    set_watched(desk, listener, FALSE);
}

/* Who goes to serve a client arms its listener for those who stay, while there surely is one. */
gboolean
desk_leave(Desk *desk, const guint *listener)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&desk->lock);

    desk->n_waiting--;
    if (desk->n_waiting > 0) {
        if (listener != NULL)
            arm(desk, *listener);
        return FALSE;
    }
    for (guint i = 0; i < desk->n_listeners; i++)
        set_watched(desk, i, FALSE);
    desk->is_short |= listener != NULL;
    if (!desk->is_open)
        g_cond_broadcast(&desk->left);
    return TRUE;
}

gboolean
desk_watches(Desk *desk, guint listener)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&desk->lock);

    return desk->n_watched > 0 && desk->is_watched[listener];
}

gboolean
desk_was_short(Desk *desk)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&desk->lock);
    gboolean was_short = desk->is_short;

    desk->is_short = FALSE;
    return was_short;
}
