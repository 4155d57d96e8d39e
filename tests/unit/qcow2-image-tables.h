/* SPDX-License-Identifier: LGPL-2.1-or-later
 * qcow2-image-tables.h - snapshot tables and bitmaps of qcow2 images put together in memory. */
#ifndef TESTS_QCOW2_IMAGE_TABLES_H
#define TESTS_QCOW2_IMAGE_TABLES_H

#include "qcow2-image.h"

/* Appends @n_bytes of zeros, in whole clusters. Returns where they begin. */
guint64 qcow2_image_append(Qcow2Image *image, gsize n_bytes);

typedef struct {
    const char *id;
    const char *name;
    guint64 disk_size;  /* with extra_size of 16 at least */
    guint64 vm_state;   /* with extra_size of 8 at least; 32 bits of it in any case */
    guint32 extra_size; /* bytes */
} ImageSnapshot;

/* Puts a table of @n snapshots into the image; each is of the disk as it stands now, with an L1
 * table and L2 tables of its own. Returns where the table begins. */
guint64 qcow2_image_put_snapshots(Qcow2Image *image, const ImageSnapshot *snapshots, gsize n);

typedef struct {
    const char *name;
    guint granularity_bits;
    guint32 flags;
    guint32 extra_size; /* bytes */
    const char *table;  /* a letter for each entry: '0' all zeros, '1' all ones, 'c' a cluster */
} ImageBitmap;

/* Puts a directory of @n bitmaps into the image, and the extension for it at @at of the header,
 * where it ends the extensions. Bits in clusters are zeros. Returns where the directory begins. */
guint64 qcow2_image_put_bitmaps(Qcow2Image *image, guint64 at, const ImageBitmap *bitmaps, gsize n);

/* Where the directory entry of bitmap @index begins. */
guint64 qcow2_image_bitmap_at(const Qcow2Image *image, guint64 directory, guint index);

/* Where entry @index of the table of the bitmap at @entry_at stands. */
guint64 qcow2_image_bitmap_table_at(const Qcow2Image *image, guint64 entry_at, guint index);

#endif
