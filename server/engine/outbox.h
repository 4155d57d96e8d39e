/* SPDX-License-Identifier: LGPL-2.1-or-later
 * outbox.h - replies that are gathered before they are sent, so that many leave in one system call.
 *
 * Short messages are put behind one another. The data of one may be read right into its place. */
#ifndef STRATA_OUTBOX_H
#define STRATA_OUTBOX_H

#include <glib.h>
#include <sys/uio.h>

#define OUTBOX_SIZE ((gsize)128 * 1024)

/* A message that is longer is sent from where it lies. */
#define OUTBOX_MAX_MESSAGE ((gsize)40 * 1024)

/* With so much it is sent before the batch ends: a client that has many requests in flight shall
 * have something to do while the next are carried out. */
#define OUTBOX_ENOUGH ((gsize)64 * 1024)

/* Of one thread. All zero: empty. */
typedef struct {
    guint8 *bytes; /* of OUTBOX_SIZE; NULL: none yet */
    gsize begin;   /* what is before it has gone out */
    gsize end;     /* what is before it are whole messages */
    gsize open;    /* bytes from .end on that belong to a message which is being made */
} Outbox;

void outbox_clear(Outbox *outbox);

static inline gsize
outbox_get_length(const Outbox *outbox)
{
    return outbox->end - outbox->begin;
}

static inline struct iovec
outbox_get_piece(const Outbox *outbox)
{
    return (struct iovec){ .iov_base = outbox->bytes + outbox->begin,
                           .iov_len = outbox_get_length(outbox) };
}

/* Adds a message that consists of @pieces. Returns FALSE if there is no room for it now, or
 * it is too long for any. */
gboolean outbox_add(Outbox *outbox, const struct iovec *pieces, gsize n_pieces);

/* Begins a message of up to @length bytes and returns the place for it, until outbox_close();
 * NULL if there is no room for it now, or it is too long for any. */
guint8 *outbox_open(Outbox *outbox, gsize length);

/* That place, again. */
static inline guint8 *
outbox_get_open(const Outbox *outbox)
{
    return outbox->bytes + outbox->end;
}

/* Ends it: it has @length bytes, 0 for none at all. */
void outbox_close(Outbox *outbox, gsize length);

/* All whole messages have gone out. */
void outbox_mark_sent(Outbox *outbox);

#endif
