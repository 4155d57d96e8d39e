/* SPDX-License-Identifier: LGPL-2.1-or-later
 * slices.h - from a guest offset through the L1 table to a slice of an L2 table. */
#ifndef STRATA_QCOW2_SLICES_H
#define STRATA_QCOW2_SLICES_H

#include "qcow2.h"

/* log2 of the bytes of an L2 entry. */
static inline guint
qcow2_entry_bits(const Qcow2Header *header)
{
    return header->extended_l2 ? 4 : 3;
}

/* Of StrataDriver. */
gboolean qcow2_seek_slice(StrataNode *node, StrataSlice *slice, guint64 offset, guint64 limit,
                          GError **error);
void qcow2_peek_slice(StrataNode *node, StrataSlice *slice, guint64 offset, guint64 limit);
void qcow2_prefetch_slice(StrataNode *node, guint64 offset);

/* Tables are aligned, and whoever opened one knows how many words it has. */
static inline const guint64 *
qcow2_table_words(const Table *table)
{
    return (const guint64 *)(gconstpointer)table->bytes;
}

#endif
