/* SPDX-License-Identifier: LGPL-2.1-or-later
 * lounge.c - where clients that ask for nothing wait without a thread. */
#include "lounge.h"

#include <sys/epoll.h>
#include <unistd.h>

/* How many are seen to between two looks; more come first the next time. */
#define AT_ONCE 64

void
lounge_init(Lounge *lounge)
{
    *lounge = (Lounge){ .events = epoll_create1(EPOLL_CLOEXEC) };
    g_mutex_init(&lounge->lock);
    g_queue_init(&lounge->ready);
}

void
lounge_clear(Lounge *lounge)
{
    if (lounge->events >= 0)
        close(lounge->events);
    g_mutex_clear(&lounge->lock);
}

gboolean
lounge_enter(Lounge *lounge, Guest *guest)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = guest };
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&lounge->lock);

    if (lounge->is_closed || epoll_ctl(lounge->events, EPOLL_CTL_ADD, guest->fd, &event) < 0)
        return FALSE;
    lounge->n_guests++;
    return TRUE;
}

/* The lock is what makes known here all that was done before @guest entered. */
static void
take_off(Lounge *lounge, Guest *guest)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&lounge->lock);

    (void)epoll_ctl(lounge->events, EPOLL_CTL_DEL, guest->fd, NULL);
    guest->link = (GList){ .data = guest };
    g_queue_push_tail_link(&lounge->ready, &guest->link);
}

static void
count_out(Lounge *lounge)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&lounge->lock);

    lounge->n_guests--;
}

/* The client may have gone when @func returns TRUE, and @guest with it. */
static gboolean
see_on(Lounge *lounge, LoungeFunc func, gpointer data)
{
    GList *link = g_queue_pop_head_link(&lounge->ready);
    const Guest *guest = link->data;

    if (!func(guest->client, data)) {
        g_queue_push_head_link(&lounge->ready, link);
        return FALSE;
    }
    count_out(lounge);
    return TRUE;
}

gboolean
lounge_is_behind(Lounge *lounge)
{
    return !g_queue_is_empty(&lounge->ready);
}

gboolean
lounge_look(Lounge *lounge, int timeout_ms, LoungeFunc func, gpointer data)
{
    struct epoll_event events[AT_ONCE];
    int n_events =
        epoll_wait(lounge->events, events, AT_ONCE, lounge_is_behind(lounge) ? 0 : timeout_ms);

    for (int i = 0; i < n_events; i++)
        take_off(lounge, events[i].data.ptr);
    while (lounge_is_behind(lounge))
        if (!see_on(lounge, func, data))
            return FALSE;
    return TRUE;
}

void
lounge_close(Lounge *lounge)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&lounge->lock);

    lounge->is_closed = TRUE;
}

gboolean
lounge_is_empty(Lounge *lounge)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&lounge->lock);

    return lounge->n_guests == 0;
}
