/* SPDX-License-Identifier: LGPL-2.1-or-later
 * inbox.c - bytes of a client that have come and of which no request has been made yet. */
#include "inbox.h"

#include <string.h>

void
inbox_clear(Inbox *inbox)
{
    g_clear_pointer(&inbox->bytes, g_free);
    inbox->begin = inbox->end = 0;
}

void
inbox_drop(Inbox *inbox)
{
    if (inbox->begin == inbox->end)
        inbox_clear(inbox);
}

/* The beginning of a request moves to the front, so that there is room for the rest of it. */
static void
make_room(Inbox *inbox)
{
    gsize length = inbox->end - inbox->begin;

    if (inbox->bytes == NULL)
        inbox->bytes = g_malloc(INBOX_SIZE);
    if (length > 0 && inbox->begin > 0)
        memmove(inbox->bytes, inbox->bytes + inbox->begin, length);
    inbox->begin = 0;
    inbox->end = length;
}

/* stream_receive_some() or stream_receive_now() */
typedef StreamResult (*Receive)(Stream *, guint8 *, gsize, gsize *);

static StreamResult
fill(Inbox *inbox, Stream *stream, Receive receive)
{
    StreamResult result;
    gsize received;

    make_room(inbox);
    if (inbox->end == INBOX_SIZE)
        return STREAM_CAME;
    if (inbox->ended)
        return STREAM_ENDED;
    result = receive(stream, inbox->bytes + inbox->end, INBOX_SIZE - inbox->end, &received);
    inbox->end += received;
    inbox->ended = result == STREAM_ENDED;
    return result;
}

StreamResult
inbox_fill(Inbox *inbox, Stream *stream)
{
    return fill(inbox, stream, stream_receive_some);
}

StreamResult
inbox_look(Inbox *inbox, Stream *stream)
{
    return fill(inbox, stream, stream_receive_now);
}

gboolean
inbox_take(Inbox *inbox, Stream *stream, guint8 *buffer, guint64 length)
{
    while (length > 0) {
        gsize piece = (gsize)MIN(length, inbox->end - inbox->begin);

        if (piece > 0 && buffer != NULL) {
            memcpy(buffer, inbox->bytes + inbox->begin, piece);
            buffer += piece;
        }
        inbox->begin += piece;
        length -= piece;
        if (length > 0 && inbox_fill(inbox, stream) == STREAM_ENDED)
            return FALSE;
    }
    return TRUE;
}
