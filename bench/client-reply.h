/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-reply.h - requests as they go out and the headers of what comes back. */
#ifndef STRATA_CLIENT_REPLY_H
#define STRATA_CLIENT_REPLY_H

#include "client-session.h"

typedef struct {
    guint16 type, flags;
    guint64 cookie, offset, length;
} Request;

/* The header of a simple reply or of a chunk; the payload follows in the wire. */
typedef struct {
    gboolean is_simple;
    gboolean is_done;
    guint16 type;  /* NBD_REPLY_TYPE_..., not of a simple reply */
    guint32 error; /* of a simple reply */
    guint64 cookie;
    guint64 offset; /* of an extended header */
    guint64 length; /* of the payload; unknown of a simple reply */
} Reply;

/* Queues it; see wire_queue(). */
void request_queue(Session *session, const Request *request, gint64 *sent_at);

/* Waits for the next header. */
Reply reply_receive(Session *session);

/* Fatal if the reply is an error, or is not what the session's mode allows for @request, whose
 * cookie it has. */
void reply_check(Session *session, const Reply *reply, const Request *request);

#endif
