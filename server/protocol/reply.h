/* SPDX-License-Identifier: LGPL-2.1-or-later
 * reply.h - framing of replies: simple, or chunks with compact or extended headers. Each function
 * makes one message, which goes out now or gathers (worker.h), and returns whether that went well;
 * when it did not, the connection has ended. */
#ifndef STRATA_REPLY_H
#define STRATA_REPLY_H

#include "engine/worker.h"

/* The one reply of a command that has nothing to tell. */
gboolean reply_done(Worker *worker, const Request *request);

/* The command failed as a whole; the message goes with it where the framing has room for one. */
gboolean reply_error(Worker *worker, const Request *request, guint32 error, const char *message);

/* Where the bytes of a read are: @n_spliced of them in the worker's pipe, those that follow in
 * memory. */
typedef struct {
    gsize n_spliced;
    gpointer bytes;
    gsize n_bytes;
} ReplyData;

/* The whole answer of a read without structured replies. */
gboolean reply_simple_data(Worker *worker, const Request *request, const ReplyData *data);

/* Chunks of a reply; @last: no other follows. */
gboolean reply_data(Worker *worker, const Request *request, guint64 offset, const ReplyData *data,
                    gboolean last);
gboolean reply_hole(Worker *worker, const Request *request, guint64 offset, guint32 length,
                    gboolean last);
/* @pieces: the first is free for what stands before the extents; they follow, as they are sent. */
gboolean reply_status(Worker *worker, const Request *request, guint32 context_id,
                      struct iovec *pieces, gsize n_pieces, guint n_extents, gboolean last);

/* The same as reply_simple_data() or reply_data() for a little data that is not read yet. Returns
 * the place for @length bytes, NULL where there is none and data has to be read elsewhere;
 * reply_close_data() follows, with how many there are, 0 for no reply. No other reply of the worker
 * in between. */
guint8 *reply_open_data(Worker *worker, gsize length);
void reply_close_data(Worker *worker, const Request *request, guint64 offset, guint32 length,
                      gboolean last);

/* The last chunk of a read that failed at @offset: what came before it is good. */
gboolean reply_error_at(Worker *worker, const Request *request, guint32 error, guint64 offset,
                        const char *message);

#endif
