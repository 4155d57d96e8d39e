/* SPDX-License-Identifier: LGPL-2.1-or-later
 * compressed.h - the bytes of compressed qcow2 clusters. */
#ifndef STRATA_QCOW2_COMPRESSED_H
#define STRATA_QCOW2_COMPRESSED_H

#include "locate.h"

/* Reads from the compressed cluster at @place, which qcow2_locate() told for guest offset @guest:
 * @length bytes from there on, at most to the cluster's end. Decompressed clusters of which only a
 * part is wanted are remembered for all users of the graph. DAMAGED, LIMIT, or what reading gave.
 * Thread-safe. */
gboolean qcow2_compressed_read(StrataNode *node, const Qcow2Place *place, guint64 guest,
                               gsize length, guint8 *buffer, GError **error);

/* What Qcow2.idle_decompressors begins with. Free with g_async_queue_unref(). */
GAsyncQueue *qcow2_compressed_keep_idle(const Qcow2Header *header);

#endif
