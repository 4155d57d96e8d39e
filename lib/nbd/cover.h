/* SPDX-License-Identifier: LGPL-2.1-or-later
 * cover.h - which bytes of a read a server has told. libnbd takes a reply for a success whatever
 * the server left out of it. */
#ifndef STRATA_NBD_COVER_H
#define STRATA_NBD_COVER_H

#include <glib.h>

/* All 0 when nothing has been told. */
typedef struct {
    GArray *pieces;    /* (nullable) CoverPiece: by offset, none touches another */
    const char *wrong; /* (nullable) how the reply breaks the protocol */
} RemoteCover;

/* Forgets everything: the read is made again, or is over. */
void remote_cover_clear(RemoteCover *cover);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RemoteCover, remote_cover_clear)

/* A chunk of data, or a hole, has come. */
void remote_cover_add(RemoteCover *cover, guint64 offset, guint64 length);

/* NULL if each byte of a read has been told, and only once; else what is wrong, as words. */
const char *remote_cover_find_fault(const RemoteCover *cover, guint64 offset, guint64 length);

#endif
