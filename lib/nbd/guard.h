/* SPDX-License-Identifier: LGPL-2.1-or-later
 * guard.h - an end to negotiating with a server that talks without end. */
#ifndef STRATA_NBD_GUARD_H
#define STRATA_NBD_GUARD_H

#include "late-nbd.h"
#include <glib.h>

/* The socket of a handle, which libnbd opens and closes. Its number alone would not do: once it is
 * closed, the number may be another file's. */
typedef struct {
    int fd; /* -1: none */
    guint64 inode;
} RemoteSocket;

/* What @nbd is connected by now. */
void remote_socket_note(RemoteSocket *socket, struct nbd_handle *nbd);

/* FALSE once it is closed. */
gboolean remote_socket_is_open(const RemoteSocket *socket);

/* Used by one thread. */
typedef struct {
    struct nbd_handle *nbd;
    RemoteSocket *socket; /* not owned */
    guint steps;          /* that libnbd has made without progress */
    char *reason;         /* (nullable) owned: why the connection was cut */
} RemoteGuard;

/* From here on until remote_guard_end() the connection of @nbd is cut when libnbd has done too
 * much in vain. @socket is kept to what the handle has. */
void remote_guard_begin(RemoteGuard *guard, struct nbd_handle *nbd, RemoteSocket *socket);
void remote_guard_end(RemoteGuard *guard);

/* What the server has said is of use: that much more may follow. */
void remote_guard_note_progress(RemoteGuard *guard);

/* Ends the connection; libnbd finds it so when it reads on. May be called from libnbd's callbacks.
 * Takes @reason over; the first one is kept. */
void remote_guard_cut(RemoteGuard *guard, char *reason);

#endif
