/* SPDX-License-Identifier: LGPL-2.1-or-later
 * reply.h - framing of replies: simple, or chunks with compact or extended headers. Each function
 * sends one message and returns whether it went out; when one did not, the connection has ended. */
#ifndef STRATA_REPLY_H
#define STRATA_REPLY_H

#include "request.h"

/* The one reply of a command that has nothing to tell. */
gboolean reply_done(Connection *connection, const Request *request);

/* The command failed as a whole; the message goes with it where the framing has room for one. */
gboolean reply_error(Connection *connection, const Request *request, guint32 error,
                     const char *message);

/* The whole answer of a read without structured replies. */
gboolean reply_simple_data(Connection *connection, const Request *request, gpointer data);

/* Chunks of a reply; @last: no other follows. */
gboolean reply_data(Connection *connection, const Request *request, guint64 offset, gpointer data,
                    guint32 length, gboolean last);
gboolean reply_hole(Connection *connection, const Request *request, guint64 offset, guint32 length,
                    gboolean last);
/* @extents, of which there is at least one, are brought into the form of the wire in place. */
gboolean reply_status(Connection *connection, const Request *request, guint32 context_id,
                      NbdExtExtent *extents, guint n_extents, gboolean last);

/* The last chunk of a read that failed at @offset: what came before it is good. */
gboolean reply_error_at(Connection *connection, const Request *request, guint32 error,
                        guint64 offset, const char *message);

/* The form of NBD_REPLY_TYPE_BLOCK_STATUS: lengths and values of 32 bits. Returns how many extents
 * that is: the list ends with the first that is longer, which keeps what there is room for. No
 * value may have more bits: contexts that have are not selected without extended headers. */
guint reply_pack_extents(NbdExtExtent *extents, guint n_extents);

/* The form of NBD_REPLY_TYPE_BLOCK_STATUS_EXT. */
void reply_pack_ext_extents(NbdExtExtent *extents, guint n_extents);

#endif
