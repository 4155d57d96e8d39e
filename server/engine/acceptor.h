/* SPDX-License-Identifier: LGPL-2.1-or-later
 * acceptor.h - the thread that accepts clients, and looks after the deadlines of those it has. */
#ifndef STRATA_ACCEPTOR_H
#define STRATA_ACCEPTOR_H

#include "door.h"
#include "observe/log.h"

/* What the thread calls, and no other does. They do not wait for clients or storage. */
typedef struct {
    gboolean (*may_accept)(gpointer data);
    void (*came)(int fd, Door *door, gpointer data); /* takes @fd over; @door has lost a token */
    gint64 (*look)(gpointer data); /* whatever is due; returns when to be called again at the
                                      latest, in monotonic time */
    gpointer data;
} AcceptorOwner;

typedef struct _Acceptor Acceptor;

Acceptor *acceptor_new(const AcceptorOwner *owner, Log *log);

/* No connection that came through a door may be left. */
void acceptor_free(Acceptor *acceptor);

/* Once. @listeners: (element-type Listener): not owned; any number, and not changed before
 * acceptor_stop() */
gboolean acceptor_start(Acceptor *acceptor, const GPtrArray *listeners, GError **error);

/* Waits for the thread's end; nothing happens if it does not run. */
void acceptor_stop(Acceptor *acceptor);

/* Has it look around. Any thread. */
void acceptor_wake(Acceptor *acceptor);

/* How often it has looked around; changes after acceptor_wake() if all is well. Any thread. */
gint acceptor_get_turns(Acceptor *acceptor);

#endif
