/* SPDX-License-Identifier: LGPL-2.1-or-later
 * status.h - what an NBD server says of ranges: its replies, and what they mean to us. No
 * connection here: replies can be made up by tests. */
#ifndef STRATA_NBD_STATUS_H
#define STRATA_NBD_STATUS_H

#include "driver.h"

#define REMOTE_MAX_CONTEXTS 2

/* Extents that are kept of one reply, for each context: a server may send millions. */
#define REMOTE_MAX_EXTENTS 16384

typedef struct {
    guint64 length; /* bytes, never 0 */
    guint32 value;
} RemoteExtent;

/* The reply to one block status request. */
typedef struct {
    GArray *extents[REMOTE_MAX_CONTEXTS]; /* RemoteExtent: by the index of the context */
    const char *wrong;                    /* (nullable) how the reply breaks the protocol */
} RemoteStatus;

void remote_status_init(RemoteStatus *status);
void remote_status_clear(RemoteStatus *status);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RemoteStatus, remote_status_clear)

/* Forgets everything: the request is made again. */
void remote_status_reset(RemoteStatus *status);

/* What the server says in context @index: pairs of a length and a value, as libnbd hands them over.
 */
void remote_status_add(RemoteStatus *status, guint index, const guint32 *entries, gsize n_entries);

/* The contexts of a reply side by side. They may be cut in different places. */
typedef struct {
    const RemoteStatus *status;
    guint n_contexts;
    guint index[REMOTE_MAX_CONTEXTS];  /* of the extent at hand */
    guint64 used[REMOTE_MAX_CONTEXTS]; /* bytes of it that are behind us */
} RemoteCursor;

/* The values at the cursor, and for how many bytes from there they hold; 0 at the reply's end. */
guint64 remote_cursor_peek(const RemoteCursor *cursor, guint32 *out_values);

/* @length: at most what remote_cursor_peek() said */
void remote_cursor_advance(RemoteCursor *cursor, guint64 length);

/* Which questions the contexts of a connection answer. */
typedef struct {
    gint allocation; /* the index of base:allocation, -1 without it */
    gint depth;      /* of qemu:allocation-depth, likewise */
    gint joint;      /* of strata:joint, likewise */
    guint n_layers;  /* how many layers strata:joint may speak of */
} RemoteMeaning;

/* What the values of all contexts mean for a range: fills in all of @out_answer but its length.
 * Returns NULL, or what is wrong with them. */
const char *remote_meaning_answer(const RemoteMeaning *meaning, const guint32 *values,
                                  StrataAnswer *out_answer);

#endif
