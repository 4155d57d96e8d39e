/* SPDX-License-Identifier: LGPL-2.1-or-later
 * ask.h - one question about a range, in requests that the server takes. */
#ifndef STRATA_NBD_ASK_H
#define STRATA_NBD_ASK_H

#include "nbd/pool.h"

/* Reads bytes, which lie within the export. Thread-safe. */
gboolean remote_ask_content(RemotePool *pool, guint64 offset, gsize length, guint8 *buffer,
                            GError **error);

/* Asks once for the status of a range, which lies within the export, and puts @out_cursor at its
 * beginning: at least one byte is told, and perhaps more than was asked. Thread-safe. @status must
 * be initialised. */
gboolean remote_ask_status(RemotePool *pool, guint64 offset, guint64 length, RemoteStatus *status,
                           RemoteCursor *out_cursor, GError **error);

/* The server of @pool has broken the protocol in a reply about @offset. Returns FALSE. */
gboolean remote_ask_throw(RemotePool *pool, guint64 offset, const char *wrong, GError **error);

#endif
