/* SPDX-License-Identifier: LGPL-2.1-or-later
 * inbox.h - bytes of a client that have come and of which no request has been made yet. */
#ifndef STRATA_INBOX_H
#define STRATA_INBOX_H

#include "stream.h"

/* Room for the largest request that is not a write, with its payload, or for 256 and more that have
 * none. */
#define INBOX_SIZE 8192

/* Of whoever has the turn to read. All zero: empty. */
typedef struct {
    guint8 *bytes; /* of INBOX_SIZE; NULL while the client is idle */
    gsize begin, end;
    gboolean ended; /* nothing more will come */
} Inbox;

void inbox_clear(Inbox *inbox);

/* Frees its memory, unless there is something in it: the connection is idle. */
void inbox_drop(Inbox *inbox);

static inline gboolean
inbox_has_place(const Inbox *inbox)
{
    return inbox->bytes != NULL;
}

/* What is there, from the first byte on, without taking it. */
static inline const guint8 *
inbox_peek(const Inbox *inbox, gsize *out_length)
{
    *out_length = inbox->end - inbox->begin;
    return inbox->bytes + inbox->begin;
}

/* Receives what there is, at least a byte, for which it waits; nothing if the inbox is full.
 * inbox_look() does not wait. */
StreamResult inbox_fill(Inbox *inbox, Stream *stream);
StreamResult inbox_look(Inbox *inbox, Stream *stream);

/* Takes exactly @length bytes, however many, and waits for those that have not come; FALSE at the
 * end of the stream. @buffer: (nullable): NULL drops them */
gboolean inbox_take(Inbox *inbox, Stream *stream, guint8 *buffer, guint64 length);

#endif
