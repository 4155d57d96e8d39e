/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-session.h - a connection whose handshake is over. */
#ifndef STRATA_CLIENT_SESSION_H
#define STRATA_CLIENT_SESSION_H

#include <glib.h>

#include "client-address.h"
#include "client-wire.h"

typedef enum {
    SESSION_SIMPLE,
    SESSION_STRUCTURED,
    SESSION_EXTENDED,
} SessionMode;

typedef struct {
    SessionMode mode;
    char **contexts; /* names, NULL-terminated; NULL: none */
} SessionWants;

typedef struct {
    Wire wire;
    SessionMode mode;
    guint64 size;
    guint16 flags;
    guint32 least, most;  /* block sizes: what requests are multiples of, and the largest read */
    guint32 *context_ids; /* owned; in the order of SessionWants.contexts */
} Session;

/* Takes the connected socket. Fatal unless the server grants all that is wanted. */
void session_init(Session *session, int fd, const char *export_name, const SessionWants *wants);

/* The same, at an address. */
void session_open(Session *session, const Address *address, const SessionWants *wants);

/* Says NBD_CMD_DISC and waits until the server has hung up. */
void session_close(Session *session);

#endif
