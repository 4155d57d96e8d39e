/* SPDX-License-Identifier: LGPL-2.1-or-later
 * qcow2-image.c - qcow2 images put together in memory, entry by entry, for tests. */
#include "qcow2-image.h"

#include "opener.h"
#include "qcow2/format.h"
#include "spec-tree.h"

static guint64
cluster_size(const Qcow2Image *image)
{
    return G_GUINT64_CONSTANT(1) << image->cluster_bits;
}

/* Returns where the new clusters, which are zero, begin. */
static guint64
append_clusters(Qcow2Image *image, gsize n)
{
    guint old_size = image->bytes->len;

    g_byte_array_set_size(image->bytes, old_size + n * cluster_size(image));
    memset(image->bytes->data + old_size, 0, n * cluster_size(image));
    return old_size;
}

void
qcow2_image_put32(Qcow2Image *image, guint64 at, guint32 value)
{
    guint32 big_endian = GUINT32_TO_BE(value);

    g_assert_cmpuint(at + sizeof value, <=, image->bytes->len);
    memcpy(image->bytes->data + at, &big_endian, sizeof big_endian);
}

void
qcow2_image_put64(Qcow2Image *image, guint64 at, guint64 value)
{
    qcow2_image_put32(image, at, value >> 32);
    qcow2_image_put32(image, at + 4, (guint32)value);
}

guint64
qcow2_image_get64(const Qcow2Image *image, guint64 at)
{
    guint64 big_endian;

    g_assert_cmpuint(at + sizeof big_endian, <=, image->bytes->len);
    memcpy(&big_endian, image->bytes->data + at, sizeof big_endian);
    return GUINT64_FROM_BE(big_endian);
}

void
qcow2_image_put_text(Qcow2Image *image, guint64 at, const char *text)
{
    g_assert_cmpuint(at + strlen(text), <=, image->bytes->len);
    memcpy(image->bytes->data + at, text, strlen(text));
}

guint64
qcow2_image_put_extension(Qcow2Image *image, guint64 at, guint32 type, const void *data,
                          guint32 length)
{
    qcow2_image_put32(image, at, type);
    qcow2_image_put32(image, at + 4, length);
    g_assert_cmpuint(at + 8 + length, <=, image->bytes->len);
    if (length > 0)
        memcpy(image->bytes->data + at + 8, data, length);
    return at + 8 + (length + 7) / 8 * 8;
}

static void
put_version_3(Qcow2Image *image, guint64 incompatible, guint64 autoclear)
{
    qcow2_image_put64(image, QCOW2_AT_INCOMPATIBLE, incompatible);
    qcow2_image_put64(image, QCOW2_AT_AUTOCLEAR, autoclear);
    qcow2_image_put32(image, QCOW2_AT_REFCOUNT_ORDER, 4);
    qcow2_image_put32(image, QCOW2_AT_HEADER_LENGTH, QCOW2_KNOWN_HEADER_LENGTH);
}

Qcow2Image *
qcow2_image_new(guint version, guint cluster_bits, guint64 size, guint64 incompatible,
                guint64 autoclear)
{
    Qcow2Image *image = g_new0(Qcow2Image, 1);
    guint64 per_l1_entry, n_l1_entries;

    image->bytes = g_byte_array_new();
    image->cluster_bits = cluster_bits;
    image->entry_bytes = incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2 ? 16 : 8;
    per_l1_entry = cluster_size(image) / image->entry_bytes * cluster_size(image);
    n_l1_entries = (size + per_l1_entry - 1) / per_l1_entry;
    append_clusters(image, 1);
    image->l1_offset = append_clusters(image, n_l1_entries * 8 / cluster_size(image) + 1);
    qcow2_image_put32(image, QCOW2_AT_MAGIC, QCOW2_MAGIC);
    qcow2_image_put32(image, QCOW2_AT_VERSION, version);
    qcow2_image_put32(image, QCOW2_AT_CLUSTER_BITS, cluster_bits);
    qcow2_image_put64(image, QCOW2_AT_SIZE, size);
    qcow2_image_put32(image, QCOW2_AT_L1_SIZE, n_l1_entries);
    qcow2_image_put64(image, QCOW2_AT_L1_OFFSET, image->l1_offset);
    if (version >= 3)
        put_version_3(image, incompatible, autoclear);
    return image;
}

void
qcow2_image_free(Qcow2Image *image)
{
    g_byte_array_unref(image->bytes);
    g_free(image);
}

guint64
qcow2_image_l1_at(const Qcow2Image *image, guint64 guest)
{
    return image->l1_offset +
           guest / (cluster_size(image) / image->entry_bytes * cluster_size(image)) * 8;
}

guint64
qcow2_image_l2_at(Qcow2Image *image, guint64 guest)
{
    guint64 l1_at = qcow2_image_l1_at(image, guest);
    guint64 table = qcow2_image_get64(image, l1_at) & QCOW2_ENTRY_OFFSET;

    if (table == 0) {
        table = append_clusters(image, 1);
        qcow2_image_put64(image, l1_at, table | QCOW2_ENTRY_COPIED);
    }
    return table + guest / cluster_size(image) % (cluster_size(image) / image->entry_bytes) *
                       image->entry_bytes;
}

void
qcow2_image_set_entry(Qcow2Image *image, guint64 guest, guint64 entry, guint64 bitmap)
{
    guint64 at = qcow2_image_l2_at(image, guest);

    qcow2_image_put64(image, at, entry);
    if (image->entry_bytes == 16)
        qcow2_image_put64(image, at + 8, bitmap);
}

static void
clear_opener(StrataOpener *opener)
{
    for (int role = 0; role < STRATA_N_ROLES; role++) {
        g_free(opener->named[role].name);
        g_free(opener->named[role].format);
    }
}

static StrataSpec *
new_snapshot_spec(const char *snapshot)
{
    StrataSpec *spec = spec_new();

    spec->driver = g_strdup("qcow2");
    g_hash_table_insert(spec->options, g_strdup("snapshot"), spec_value_new(SPEC_TEXT, snapshot));
    return spec;
}

StrataGraph *
qcow2_graph_new(StrataNode *storage, StrataNode *data_file, StrataNode *backing, GError **error)
{
    return qcow2_graph_new_at(storage, data_file, backing, NULL, error);
}

StrataGraph *
qcow2_graph_new_at(StrataNode *storage, StrataNode *data_file, StrataNode *backing,
                   const char *snapshot, GError **error)
{
    StrataNode *node = g_new0(StrataNode, 1);
    g_autoptr(StrataGraph) graph = NULL;
    StrataOpener opener = { 0 };
    gboolean opened;

    node->name = g_strdup("image");
    node->spec = snapshot != NULL ? new_snapshot_spec(snapshot) : NULL;
    node->driver = &strata_driver_qcow2;
    mem_node_attach(node, STRATA_ROLE_FILE, storage);
    if (data_file != NULL)
        mem_node_attach(node, STRATA_ROLE_DATA_FILE, data_file);
    if (backing != NULL)
        mem_node_attach(node, STRATA_ROLE_BACKING, backing);
    graph = mem_graph_new(node);
    opened = node->driver->open(node, &opener, error) && node->driver->storage_ready(node, error);
    clear_opener(&opener);
    return opened ? g_steal_pointer(&graph) : NULL;
}

StrataGraph *
qcow2_image_open(const Qcow2Image *image, StrataNode *data_file, StrataNode *backing,
                 GError **error)
{
    StrataNode *leaf = mem_leaf_new("image-file", image->bytes->data, image->bytes->len);

    return qcow2_graph_new(leaf, data_file, backing, error);
}
