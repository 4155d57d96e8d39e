/* SPDX-License-Identifier: LGPL-2.1-or-later
 * desk.h - where threads that have nothing to do wait for clients themselves: the one that gets a
 * client serves it, and nobody has to be woken.
 *
 * A listener is watched here while somebody waits; from when nobody does, whoever owns the desk has
 * to watch it. */
#ifndef STRATA_DESK_H
#define STRATA_DESK_H

#include <glib.h>

/* More threads than this do not wait. */
#define DESK_MAX_WAITING 16

typedef struct {
    int events;  /* epoll(7): a client wakes one who waits, the next when the listener is armed */
    int closing; /* eventfd that can be read once the desk is closed; also in .events */
    GMutex lock; /* guards what follows; nobody waits for a client while holding it */
    GCond left;  /* signalled when a closed desk is left by the last */
    gboolean is_open;
    gboolean is_short;    /* the last who waited got a client, and nobody has looked since */
    guint n_waiting;      /* those who wait, and those who are just letting a client in */
    guint n_listeners;    /* constant, once it has been opened */
    guint n_watched;      /* of them */
    gboolean *is_watched; /* of each */
    const int *fds;       /* of each; constant */
} Desk;

void desk_init(Desk *desk);
void desk_clear(Desk *desk);

/* @fds: taken over, with g_free(); not closed. Without what it takes of the system the desk stays
 * closed. */
void desk_open(Desk *desk, int *fds, guint n_listeners);

/* Sends all home, and waits until they have left. */
void desk_close(Desk *desk);

/* Returns FALSE if a thread is not to wait here. @out_all_watched: see desk_watch() */
gboolean desk_enter(Desk *desk, gboolean *out_all_watched);

/* Watches one more listener, if it is not watched already. Whoever has entered. */
void desk_watch(Desk *desk, guint listener);

/* Waits for a client until @deadline (monotonic time). Returns FALSE if none came, or the desk is
 * closed. The listener is not armed any more then. */
gboolean desk_wait(Desk *desk, gint64 deadline, guint *out_listener);

/* The client has gone, or was turned away: the next one shall wake somebody. */
void desk_arm(Desk *desk, guint listener);

/* Leaves the listener to the owner. */
void desk_give_up(Desk *desk, guint listener);

/* Returns whether nobody waits any more, so that the owner has to watch the listeners. @listener:
 * (nullable): where the client came in whom the thread is going to serve */
gboolean desk_leave(Desk *desk, const guint *listener);

/* Any thread. */
gboolean desk_watches(Desk *desk, guint listener);

/* Whether there were fewer who waited than clients since this was asked last. */
gboolean desk_was_short(Desk *desk);

#endif
