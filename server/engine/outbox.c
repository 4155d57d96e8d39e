/* SPDX-License-Identifier: LGPL-2.1-or-later
 * outbox.c - replies that are gathered before they are sent. */
#include "outbox.h"

#include <string.h>

void
outbox_clear(Outbox *outbox)
{
    g_clear_pointer(&outbox->bytes, g_free);
    outbox->begin = outbox->end = 0;
}

guint8 *
outbox_open(Outbox *outbox, gsize length)
{
    if (length > OUTBOX_MAX_MESSAGE || length > OUTBOX_SIZE - outbox->end)
        return NULL;
    if (outbox->bytes == NULL)
        outbox->bytes = g_try_malloc(OUTBOX_SIZE);
    if (outbox->bytes == NULL)
        return NULL;
    outbox->open = length;
    return outbox->bytes + outbox->end;
}

void
outbox_close(Outbox *outbox, gsize length)
{
    outbox->open = 0;
    outbox->end += length;
    if (outbox->begin == outbox->end)
        outbox->begin = outbox->end = 0;
}

gboolean
outbox_add(Outbox *outbox, const struct iovec *pieces, gsize n_pieces)
{
    gsize length = 0;
    guint8 *at;

    for (gsize i = 0; i < n_pieces; i++)
        length += pieces[i].iov_len;
    at = outbox_open(outbox, length);
    if (at == NULL)
        return FALSE;
    for (gsize i = 0; i < n_pieces; i++) {
        if (pieces[i].iov_len > 0)
            memcpy(at, pieces[i].iov_base, pieces[i].iov_len);
        at += pieces[i].iov_len;
    }
    outbox_close(outbox, length);
    return TRUE;
}

/* A message that is being made stays where it is. */
void
outbox_mark_sent(Outbox *outbox)
{
    outbox->begin = outbox->end;
    if (outbox->open == 0)
        outbox->begin = outbox->end = 0;
}
