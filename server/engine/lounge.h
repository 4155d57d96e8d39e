/* SPDX-License-Identifier: LGPL-2.1-or-later
 * lounge.h - where clients that ask for nothing wait without a thread: an idle one costs its socket
 * and what has been agreed with it. */
#ifndef STRATA_LOUNGE_H
#define STRATA_LOUNGE_H

#include <glib.h>

/* Of the client, whose thread fills it in before it enters; the lounge's while it rests. */
typedef struct {
    int fd; /* a socket */
    gpointer client;
    GList link; /* in .ready */
} Guest;

typedef struct {
    int events;         /* epoll(7) of those who rest; -1: there was none to be had */
    GQueue ready;       /* of those whom something has come from; who looks has them alone */
    GMutex lock;        /* guards what follows */
    gboolean is_closed; /* nobody rests any more */
    guint n_guests;     /* those in .ready included */
} Lounge;

void lounge_init(Lounge *lounge);

/* No guest may be left. */
void lounge_clear(Lounge *lounge);

/* @guest rests until something comes from its client, or its socket is shut. Any thread; it touches
 * neither @guest nor its client from here on. Returns FALSE if it has to wait by itself. */
gboolean lounge_enter(Lounge *lounge, Guest *guest);

/* Sees a client on, which rests no longer, in a thread that is to be found. Returns FALSE if there
 * was none. */
typedef gboolean (*LoungeFunc)(gpointer client, gpointer data);

/* Has @func see to whomever something has come from; waits for one for up to @timeout_ms (-1: as
 * long as it takes). Returns FALSE if @func has: that client and those behind it come first the
 * next time. One thread at a time. */
gboolean lounge_look(Lounge *lounge, int timeout_ms, LoungeFunc func, gpointer data);

/* Whether some are left over from the last look. Who looks. */
gboolean lounge_is_behind(Lounge *lounge);

/* Nobody may enter any more. */
void lounge_close(Lounge *lounge);

gboolean lounge_is_empty(Lounge *lounge);

#endif
