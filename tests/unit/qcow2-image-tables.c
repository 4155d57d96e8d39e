/* SPDX-License-Identifier: LGPL-2.1-or-later
 * qcow2-image-tables.c - snapshot tables and bitmaps of qcow2 images put together in memory. */
#include "qcow2-image-tables.h"

#include <string.h>

#include "qcow2/format.h"

static void
put16(Qcow2Image *image, guint64 at, guint16 value)
{
    g_assert_cmpuint(at + 2, <=, image->bytes->len);
    image->bytes->data[at] = value >> 8;
    image->bytes->data[at + 1] = value & 0xff;
}

static guint64
get_number(const Qcow2Image *image, guint64 at, guint n_bytes)
{
    guint64 value = 0;

    g_assert_cmpuint(at + n_bytes, <=, image->bytes->len);
    for (guint i = 0; i < n_bytes; i++)
        value = value << 8 | image->bytes->data[at + i];
    return value;
}

guint64
qcow2_image_append(Qcow2Image *image, gsize n_bytes)
{
    guint64 cluster_size = G_GUINT64_CONSTANT(1) << image->cluster_bits;
    guint64 length = (n_bytes + cluster_size - 1) / cluster_size * cluster_size;
    guint old_size = image->bytes->len;

    g_byte_array_set_size(image->bytes, old_size + length);
    memset(image->bytes->data + old_size, 0, length);
    return old_size;
}

/* Returns where a copy of [@from, @from + @length) begins. */
static guint64
append_copy(Qcow2Image *image, guint64 from, gsize length)
{
    guint64 to = qcow2_image_append(image, length);

    memcpy(image->bytes->data + to, image->bytes->data + from, length);
    return to;
}

/* -- Snapshots -- */

/* Returns where a copy of the active L1 table begins, which leads to copies of the L2 tables. */
static guint64
append_disk(Qcow2Image *image)
{
    guint n_entries = get_number(image, QCOW2_AT_L1_SIZE, 4);
    guint64 l1 = append_copy(image, image->l1_offset, n_entries * 8);

    for (guint i = 0; i < n_entries; i++) {
        guint64 l2 = qcow2_image_get64(image, l1 + i * 8) & QCOW2_ENTRY_OFFSET;

        if (l2 != 0)
            qcow2_image_put64(image, l1 + i * 8,
                              append_copy(image, l2, 1ul << image->cluster_bits));
    }
    return l1;
}

static gsize
snapshot_length(const ImageSnapshot *snapshot)
{
    return (QCOW2_SNAPSHOT_ENTRY + snapshot->extra_size + strlen(snapshot->id) +
            strlen(snapshot->name) + 7) /
           8 * 8;
}

static void
put_snapshot(Qcow2Image *image, guint64 at, const ImageSnapshot *snapshot, guint64 l1)
{
    guint64 strings = at + QCOW2_SNAPSHOT_ENTRY + snapshot->extra_size;

    qcow2_image_put64(image, at + QCOW2_SNAPSHOT_AT_L1_OFFSET, l1);
    qcow2_image_put32(image, at + QCOW2_SNAPSHOT_AT_L1_SIZE,
                      get_number(image, QCOW2_AT_L1_SIZE, 4));
    put16(image, at + QCOW2_SNAPSHOT_AT_ID_SIZE, strlen(snapshot->id));
    put16(image, at + QCOW2_SNAPSHOT_AT_NAME_SIZE, strlen(snapshot->name));
    qcow2_image_put32(image, at + QCOW2_SNAPSHOT_AT_DATE_SEC, 1000000000);
    qcow2_image_put64(image, at + QCOW2_SNAPSHOT_AT_VM_CLOCK, 12345678901);
    qcow2_image_put32(image, at + QCOW2_SNAPSHOT_AT_VM_STATE, snapshot->vm_state);
    qcow2_image_put32(image, at + QCOW2_SNAPSHOT_AT_EXTRA_SIZE, snapshot->extra_size);
    if (snapshot->extra_size >= 8)
        qcow2_image_put64(image, at + QCOW2_SNAPSHOT_AT_VM_STATE_64, snapshot->vm_state);
    if (snapshot->extra_size >= 16)
        qcow2_image_put64(image, at + QCOW2_SNAPSHOT_AT_DISK_SIZE, snapshot->disk_size);
    qcow2_image_put_text(image, strings, snapshot->id);
    qcow2_image_put_text(image, strings + strlen(snapshot->id), snapshot->name);
}

guint64
qcow2_image_put_snapshots(Qcow2Image *image, const ImageSnapshot *snapshots, gsize n)
{
    gsize length = 0;
    guint64 table, at;

    for (gsize i = 0; i < n; i++)
        length += snapshot_length(&snapshots[i]);
    at = table = qcow2_image_append(image, length);
    for (gsize i = 0; i < n; i++) {
        put_snapshot(image, at, &snapshots[i], append_disk(image));
        at += snapshot_length(&snapshots[i]);
    }
    qcow2_image_put32(image, QCOW2_AT_N_SNAPSHOTS, n);
    qcow2_image_put64(image, QCOW2_AT_SNAPSHOTS_OFFSET, table);
    return table;
}

/* -- Bitmaps -- */

static gsize
bitmap_length(gsize extra_size, gsize name_size)
{
    return (QCOW2_BITMAP_ENTRY + extra_size + name_size + 7) / 8 * 8;
}

static guint64
append_table(Qcow2Image *image, const char *letters)
{
    guint64 table = qcow2_image_append(image, strlen(letters) * 8);

    for (gsize i = 0; letters[i]; i++) {
        guint64 entry = letters[i] == '1';

        if (letters[i] == 'c')
            entry = qcow2_image_append(image, 1);
        qcow2_image_put64(image, table + i * 8, entry);
    }
    return table;
}

static void
put_bitmap(Qcow2Image *image, guint64 at, const ImageBitmap *bitmap)
{
    guint64 table = append_table(image, bitmap->table);

    qcow2_image_put64(image, at + QCOW2_BITMAP_AT_TABLE_OFFSET, table);
    qcow2_image_put32(image, at + QCOW2_BITMAP_AT_TABLE_SIZE, strlen(bitmap->table));
    qcow2_image_put32(image, at + QCOW2_BITMAP_AT_FLAGS, bitmap->flags);
    image->bytes->data[at + QCOW2_BITMAP_AT_TYPE] = QCOW2_BITMAP_TYPE_DIRTY;
    image->bytes->data[at + QCOW2_BITMAP_AT_GRANULARITY] = bitmap->granularity_bits;
    put16(image, at + QCOW2_BITMAP_AT_NAME_SIZE, strlen(bitmap->name));
    qcow2_image_put32(image, at + QCOW2_BITMAP_AT_EXTRA_SIZE, bitmap->extra_size);
    qcow2_image_put_text(image, at + QCOW2_BITMAP_ENTRY + bitmap->extra_size, bitmap->name);
}

guint64
qcow2_image_put_bitmaps(Qcow2Image *image, guint64 extension_at, const ImageBitmap *bitmaps,
                        gsize n)
{
    guint8 extension[QCOW2_BITMAPS_LENGTH] = { 0 };
    gsize length = 0;
    guint64 directory, at;

    for (gsize i = 0; i < n; i++)
        length += bitmap_length(bitmaps[i].extra_size, strlen(bitmaps[i].name));
    at = directory = qcow2_image_append(image, length);
    for (gsize i = 0; i < n; i++) {
        put_bitmap(image, at, &bitmaps[i]);
        at += bitmap_length(bitmaps[i].extra_size, strlen(bitmaps[i].name));
    }
    qcow2_image_put_extension(image, extension_at, QCOW2_EXTENSION_BITMAPS, extension,
                              sizeof extension);
    extension_at += QCOW2_EXTENSION_HEADER;
    qcow2_image_put32(image, extension_at + QCOW2_BITMAPS_AT_COUNT, n);
    qcow2_image_put64(image, extension_at + QCOW2_BITMAPS_AT_SIZE, length);
    qcow2_image_put64(image, extension_at + QCOW2_BITMAPS_AT_OFFSET, directory);
    qcow2_image_put64(image, QCOW2_AT_AUTOCLEAR,
                      qcow2_image_get64(image, QCOW2_AT_AUTOCLEAR) | QCOW2_AUTOCLEAR_BITMAPS);
    return directory;
}

guint64
qcow2_image_bitmap_at(const Qcow2Image *image, guint64 directory, guint index)
{
    guint64 at = directory;

    for (guint i = 0; i < index; i++)
        at += bitmap_length(get_number(image, at + QCOW2_BITMAP_AT_EXTRA_SIZE, 4),
                            get_number(image, at + QCOW2_BITMAP_AT_NAME_SIZE, 2));
    return at;
}

guint64
qcow2_image_bitmap_table_at(const Qcow2Image *image, guint64 entry_at, guint index)
{
    return qcow2_image_get64(image, entry_at + QCOW2_BITMAP_AT_TABLE_OFFSET) + index * 8;
}
