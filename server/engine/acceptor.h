/* SPDX-License-Identifier: LGPL-2.1-or-later
 * acceptor.h - the thread that accepts clients, and looks after the deadlines of those it has; and
 * threads with nothing to do that accept them in its place. */
#ifndef STRATA_ACCEPTOR_H
#define STRATA_ACCEPTOR_H

#include "door.h"
#include "lounge.h"
#include "observe/log.h"

/* What the thread calls, and no other does but where that is said. They do not wait for clients or
 * storage. */
typedef struct {
    gboolean (*may_accept)(gpointer data);

    /* Takes @fd over; @door has lost a token. Returns: (nullable): the client. Any thread. */
    gpointer (*came)(int fd, Door *door, gpointer data);
    void (*serve)(gpointer client, gpointer data); /* from a thread that is to be found */
    void (*be_short)(gpointer data); /* a further thread should call acceptor_wait_for_client() */
    gint64 (*look)(gpointer data);   /* whatever is due; returns when to be called again at the
                                        latest, in monotonic time */
    Lounge *lounge; /* outlives the thread, which has clients that rest there seen on: */
    LoungeFunc see_on;
    gpointer data;
} AcceptorOwner;

typedef struct _Acceptor Acceptor;

Acceptor *acceptor_new(const AcceptorOwner *owner, Log *log);

/* No connection that came through a door may be left. */
void acceptor_free(Acceptor *acceptor);

/* Once. @listeners: (element-type Listener): not owned; any number, and not changed before
 * acceptor_stop() */
gboolean acceptor_start(Acceptor *acceptor, const GPtrArray *listeners, GError **error);

/* Waits for the thread's end, and until no other waits for a client; nothing happens if it does not
 * run. */
void acceptor_stop(Acceptor *acceptor);

/* For a thread that has nothing to do, if may_accept() may be left out: waits for a client, for a
 * while. Returns: (nullable): what came() returned */
gpointer acceptor_wait_for_client(Acceptor *acceptor);

/* Has it look around. Any thread. */
void acceptor_wake(Acceptor *acceptor);

/* How often it has looked around; changes after acceptor_wake() if all is well. Any thread. */
gint acceptor_get_turns(Acceptor *acceptor);

#endif
