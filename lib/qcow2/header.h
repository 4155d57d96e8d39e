/* SPDX-License-Identifier: LGPL-2.1-or-later
 * header.h - what a qcow2 header says, once every number in it has been checked. */
#ifndef STRATA_QCOW2_HEADER_H
#define STRATA_QCOW2_HEADER_H

#include "driver.h"

typedef struct {
    guint version;      /* 2 or 3 */
    guint cluster_bits; /* 9 to 21; at least 14 with extended_l2 */
    guint64 size;       /* virtual size in bytes; the L1 table covers all of it */
    guint64 l1_offset;  /* cluster-aligned; the whole table lies in the file */
    guint32 l1_entries; /* at most 32 MiB of them */

    gboolean dirty;
    gboolean corrupt;
    gboolean extended_l2;
    gboolean has_data_file;
    gboolean data_file_raw;
    gboolean lazy_refcounts;
    guint refcount_bits;
    guint32 n_snapshots;      /* as it stands in the image: snapshots.c checks it */
    guint64 snapshots_offset; /* likewise */
    gboolean bitmaps_hold;    /* autoclear bit 0: the bitmaps extension may be trusted */
    guint n_bitmap_extensions;
    guint64 bitmaps_offset;  /* of the last bitmaps extension's data, which bitmaps.c checks */
    guint32 bitmaps_length;  /* likewise, in bytes */
    guint32 crypt_method;    /* QCOW2_CRYPT_NONE, QCOW2_CRYPT_AES or QCOW2_CRYPT_LUKS */
    guint64 luks_offset;     /* of the LUKS header; cluster-aligned. Without LUKS 0 */
    guint64 luks_length;     /* its bytes, which are all in the file. Without LUKS 0 */
    guint8 compression_type; /* QCOW2_COMPRESSION_DEFLATE or QCOW2_COMPRESSION_ZSTD */

    /* As they stand in the image: bytes of any kind but NUL. NULL where there is none. */
    char *backing_name;
    char *backing_format;
    char *data_file_name;
} Qcow2Header;

/* Reads the header of @node through its file child. Returns NULL with @error: DAMAGED, UNSUPPORTED,
 * LIMIT, or what reading gave. */
Qcow2Header *qcow2_header_read(StrataNode *node, GError **error);

/* The disk that the header describes from now on: a virtual size and the L1 table for it.
 * @where: who says so, for messages. FALSE with @error (DAMAGED) where the table cannot be. */
gboolean qcow2_header_set_disk(StrataNode *node, Qcow2Header *header, guint64 size,
                               guint64 l1_offset, guint32 l1_entries, const char *where,
                               GError **error);
void qcow2_header_free(Qcow2Header *header);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qcow2Header, qcow2_header_free)

#endif
