/* SPDX-License-Identifier: LGPL-2.1-or-later
 * format.h - the numbers of the qcow2 format, version 2 and 3, as they stand on disk.
 *
 * Section names are those of QEMU's docs/interop/qcow2.rst. All numbers are big-endian. */
#ifndef STRATA_QCOW2_FORMAT_H
#define STRATA_QCOW2_FORMAT_H

/* "Header": byte offsets of the fields. */
#define QCOW2_MAGIC                0x514649fbu /* "QFI\xfb" */
#define QCOW2_AT_MAGIC             0
#define QCOW2_AT_VERSION           4
#define QCOW2_AT_BACKING_OFFSET    8
#define QCOW2_AT_BACKING_SIZE      16
#define QCOW2_AT_CLUSTER_BITS      20
#define QCOW2_AT_SIZE              24
#define QCOW2_AT_CRYPT_METHOD      32
#define QCOW2_AT_L1_SIZE           36
#define QCOW2_AT_L1_OFFSET         40
#define QCOW2_AT_N_SNAPSHOTS       60
#define QCOW2_AT_SNAPSHOTS_OFFSET  64
#define QCOW2_V2_HEADER_LENGTH     72
#define QCOW2_AT_INCOMPATIBLE      72
#define QCOW2_AT_COMPATIBLE        80
#define QCOW2_AT_AUTOCLEAR         88
#define QCOW2_AT_REFCOUNT_ORDER    96
#define QCOW2_AT_HEADER_LENGTH     100
#define QCOW2_V3_MIN_HEADER_LENGTH 104
#define QCOW2_AT_COMPRESSION_TYPE  104 /* "Additional fields": one byte */
#define QCOW2_KNOWN_HEADER_LENGTH  112

#define QCOW2_MIN_CLUSTER_BITS   9
#define QCOW2_MAX_CLUSTER_BITS   21 /* QEMU's limit, which the section quotes */
#define QCOW2_MIN_EXTENDED_BITS  14 /* with Extended L2 Entries */
#define QCOW2_MAX_BACKING_NAME   1023
#define QCOW2_MAX_REFCOUNT_ORDER 6
#define QCOW2_V2_REFCOUNT_ORDER  4
#define QCOW2_MAX_L1_BYTES       (32u << 20) /* QEMU's limit, which the section quotes */

/* "Header": feature bits. */
#define QCOW2_INCOMPATIBLE_DIRTY       (G_GUINT64_CONSTANT(1) << 0)
#define QCOW2_INCOMPATIBLE_CORRUPT     (G_GUINT64_CONSTANT(1) << 1)
#define QCOW2_INCOMPATIBLE_DATA_FILE   (G_GUINT64_CONSTANT(1) << 2)
#define QCOW2_INCOMPATIBLE_COMPRESSION (G_GUINT64_CONSTANT(1) << 3)
#define QCOW2_INCOMPATIBLE_EXTENDED_L2 (G_GUINT64_CONSTANT(1) << 4)
#define QCOW2_INCOMPATIBLE_KNOWN       G_GUINT64_CONSTANT(0x1f)
#define QCOW2_COMPATIBLE_LAZY          (G_GUINT64_CONSTANT(1) << 0)
#define QCOW2_AUTOCLEAR_BITMAPS        (G_GUINT64_CONSTANT(1) << 0)
#define QCOW2_AUTOCLEAR_DATA_RAW       (G_GUINT64_CONSTANT(1) << 1)

#define QCOW2_CRYPT_NONE 0
#define QCOW2_CRYPT_AES  1
#define QCOW2_CRYPT_LUKS 2

#define QCOW2_COMPRESSION_DEFLATE 0
#define QCOW2_COMPRESSION_ZSTD    1

/* "Header extensions". */
#define QCOW2_EXTENSION_HEADER         8
#define QCOW2_EXTENSION_END            0u
#define QCOW2_EXTENSION_BACKING_FORMAT 0xe2792acau
#define QCOW2_EXTENSION_FEATURE_NAMES  0x6803f857u
#define QCOW2_EXTENSION_BITMAPS        0x23852875u
#define QCOW2_EXTENSION_CRYPT          0x0537be77u
#define QCOW2_EXTENSION_DATA_FILE      0x44415441u

/* "Feature name table": one entry. */
#define QCOW2_FEATURE_ENTRY        48
#define QCOW2_FEATURE_AT_TYPE      0
#define QCOW2_FEATURE_AT_BIT       1
#define QCOW2_FEATURE_AT_NAME      2
#define QCOW2_FEATURE_INCOMPATIBLE 0

/* "Cluster mapping": L1 and L2 entries. What no mask here covers is reserved and ignored, as QEMU
 * ignores it. */
#define QCOW2_ENTRY_OFFSET     G_GUINT64_CONSTANT(0x00fffffffffffe00)
#define QCOW2_ENTRY_ZERO       (G_GUINT64_CONSTANT(1) << 0)
#define QCOW2_ENTRY_COMPRESSED (G_GUINT64_CONSTANT(1) << 62)
#define QCOW2_ENTRY_COPIED     (G_GUINT64_CONSTANT(1) << 63)

#define QCOW2_SECTOR 512 /* of the compressed cluster descriptor */

/* "Extended L2 Entries". */
#define QCOW2_SUBCLUSTERS_BITS 5 /* 32 subclusters in a cluster */
#define QCOW2_SUBCLUSTERS      (1u << QCOW2_SUBCLUSTERS_BITS)

/* "Full disk encryption header pointer". */
#define QCOW2_CRYPT_AT_OFFSET        0
#define QCOW2_CRYPT_AT_LENGTH        8
#define QCOW2_CRYPT_EXTENSION_LENGTH 16

/* "Snapshots": an entry of the snapshot table. */
#define QCOW2_SNAPSHOT_AT_L1_OFFSET   0
#define QCOW2_SNAPSHOT_AT_L1_SIZE     8
#define QCOW2_SNAPSHOT_AT_ID_SIZE     12
#define QCOW2_SNAPSHOT_AT_NAME_SIZE   14
#define QCOW2_SNAPSHOT_AT_DATE_SEC    16
#define QCOW2_SNAPSHOT_AT_VM_CLOCK    24
#define QCOW2_SNAPSHOT_AT_VM_STATE    32
#define QCOW2_SNAPSHOT_AT_EXTRA_SIZE  36
#define QCOW2_SNAPSHOT_ENTRY          40 /* bytes before the extra data */
#define QCOW2_SNAPSHOT_AT_VM_STATE_64 40 /* extra data, each where it reaches that far */
#define QCOW2_SNAPSHOT_AT_DISK_SIZE   48
#define QCOW2_SNAPSHOT_KNOWN_ENTRY    56

/* QEMU's limits. */
#define QCOW2_MAX_SNAPSHOTS      65536
#define QCOW2_MAX_SNAPSHOT_BYTES (1024 * QCOW2_MAX_SNAPSHOTS) /* of the whole table */
#define QCOW2_MAX_SNAPSHOT_EXTRA 1024

/* "Bitmaps extension". */
#define QCOW2_BITMAPS_AT_COUNT  0
#define QCOW2_BITMAPS_AT_SIZE   8
#define QCOW2_BITMAPS_AT_OFFSET 16
#define QCOW2_BITMAPS_LENGTH    24

/* "Bitmap directory": an entry. */
#define QCOW2_BITMAP_AT_TABLE_OFFSET 0
#define QCOW2_BITMAP_AT_TABLE_SIZE   8
#define QCOW2_BITMAP_AT_FLAGS        12
#define QCOW2_BITMAP_AT_TYPE         16 /* one byte */
#define QCOW2_BITMAP_AT_GRANULARITY  17 /* one byte */
#define QCOW2_BITMAP_AT_NAME_SIZE    18
#define QCOW2_BITMAP_AT_EXTRA_SIZE   20
#define QCOW2_BITMAP_ENTRY           24 /* bytes before extra data and name */

#define QCOW2_BITMAP_IN_USE           (1u << 0)
#define QCOW2_BITMAP_AUTO             (1u << 1)
#define QCOW2_BITMAP_EXTRA_COMPATIBLE (1u << 2)
#define QCOW2_BITMAP_FLAGS_KNOWN      0x7u
#define QCOW2_BITMAP_TYPE_DIRTY       1

/* QEMU's limits, which the sections quote. */
#define QCOW2_MAX_BITMAPS                 65535
#define QCOW2_MAX_BITMAP_DIRECTORY        (1024 * QCOW2_MAX_BITMAPS) /* bytes */
#define QCOW2_MAX_BITMAP_NAME             1023
#define QCOW2_MIN_BITMAP_GRANULARITY_BITS 9
#define QCOW2_MAX_BITMAP_GRANULARITY_BITS 31

/* "Bitmap table": an entry. */
#define QCOW2_BITMAP_ENTRY_OFFSET   G_GUINT64_CONSTANT(0x00fffffffffffe00)
#define QCOW2_BITMAP_ENTRY_ONES     (G_GUINT64_CONSTANT(1) << 0) /* where there is no offset */
#define QCOW2_BITMAP_ENTRY_RESERVED G_GUINT64_CONSTANT(0xff000000000001fe)

#endif
