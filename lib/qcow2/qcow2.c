/* SPDX-License-Identifier: LGPL-2.1-or-later
 * qcow2.c - the qcow2 driver: its edges, its options, and what it tells of itself.
 *
 * The header is read and checked in header.c; slices.c and units.c read the tables. node->state is
 * a Qcow2. */
#include "qcow2.h"

#include "bitmaps.h"
#include "compare.h"
#include "compressed.h"
#include "crypt.h"
#include "dict.h"
#include "error.h"
#include "format.h"
#include "header.h"
#include "locate.h"
#include "node.h"
#include "snapshots.h"
#include "spec.h"
#include "units.h"

/* Bitmaps record what is written to the disk of today, and mean nothing for a snapshot.
 * @opener: NULL for a node that is compared with an open one: what that one does not list is not
 * read again */
static gboolean
open_snapshots_and_bitmaps(StrataNode *node, StrataOpener *opener, Qcow2 *qcow2, GError **error)
{
    gboolean is_at_snapshot = node->spec != NULL && spec_get_text(node->spec, "snapshot") != NULL;
    gboolean is_listed = opener != NULL || !node->bitmaps_unknown;

    if (is_listed && !is_at_snapshot)
        qcow2->bitmaps_damage = qcow2_bitmaps_read(node, opener, qcow2->header);
    return qcow2_snapshots_open(node, opener, qcow2->header, &qcow2->snapshots_damage, error);
}

static gboolean
driver_open(StrataNode *node, StrataOpener *opener, GError **error)
{
    Qcow2 *qcow2 = g_new0(Qcow2, 1);
    const Qcow2Header *header;

    node->state = qcow2;
    qcow2->header = qcow2_header_read(node, error);
    if (qcow2->header == NULL || !open_snapshots_and_bitmaps(node, opener, qcow2, error) ||
        !qcow2_crypt_open(node, opener, qcow2->header, &qcow2->crypt, error))
        return FALSE;
    header = qcow2->header;
    qcow2->idle_decompressors = qcow2_compressed_keep_idle(header);
    node->size = header->size;
    node->claims = TRUE;
    node->forward_roles = 1u << STRATA_ROLE_BACKING;
    node->unit_bits = header->cluster_bits - (header->extended_l2 ? QCOW2_SUBCLUSTERS_BITS : 0);
    node->data_role = header->has_data_file ? STRATA_ROLE_DATA_FILE : STRATA_ROLE_FILE;
    if (header->has_data_file && header->data_file_name != NULL)
        strata_opener_name_child(opener, STRATA_ROLE_DATA_FILE, header->data_file_name, NULL);
    if (header->backing_name != NULL)
        strata_opener_name_child(opener, STRATA_ROLE_BACKING, header->backing_name,
                                 header->backing_format);
    return TRUE;
}

/* A data file may come from the spec instead of the header, but only where the image uses one. */
static gboolean
driver_storage_ready(StrataNode *node, GError **error)
{
    const Qcow2 *qcow2 = node->state;
    const Qcow2Header *header = qcow2->header;
    gboolean given = node->children[STRATA_ROLE_DATA_FILE] != NULL;

    if (header->has_data_file && !given)
        return strata_throw(error, node, STRATA_ERROR_SPEC,
                            "the image keeps its data in an external data file and its header does"
                            " not name it; name it with 'data-file'");
    if (!header->has_data_file && given)
        return strata_throw(error, node, STRATA_ERROR_SPEC,
                            "'data-file' is given, but the image keeps its data in its own file;"
                            " leave 'data-file' out");
    return TRUE;
}

/* Storage that could not be read a moment ago, a server that is away, is no damage of bitmaps. */
static gboolean
can_read_header(StrataNode *node, GError **error)
{
    g_autoptr(Qcow2Header) header = qcow2_header_read(node, error);

    return header != NULL;
}

/* Reads the image once more, as a node that nobody else sees, and compares. */
static gboolean
compare_with_file(StrataNode *node, GError **error)
{
    const Qcow2 *qcow2 = node->state;
    StrataNode other = *node;
    Qcow2 now = { 0 };
    g_autoptr(Qcow2Header) header = qcow2_header_read(node, error);
    g_autoptr(GPtrArray) bitmaps = NULL;
    g_autoptr(GArray) snapshots = NULL;
    gboolean is_read, is_new_damage;

    if (header == NULL)
        return FALSE;
    now.header = header;
    other.bitmaps = NULL;
    other.snapshots = NULL;
    is_read = open_snapshots_and_bitmaps(&other, NULL, &now, error);
    is_new_damage = now.bitmaps_damage != NULL && qcow2->bitmaps_damage == NULL;
    g_free(now.snapshots_damage);
    g_free(now.bitmaps_damage);
    bitmaps = other.bitmaps;
    snapshots = other.snapshots;
    if (!is_read || !qcow2_compare_headers(node, qcow2->header, header, error) ||
        (qcow2->crypt != NULL && !qcow2_crypt_still_holds(qcow2->crypt, error)))
        return FALSE;
    if (is_new_damage && !can_read_header(node, error))
        return FALSE;
    qcow2_compare_bitmaps(node, bitmaps);
    return TRUE;
}

/* A difference is for good, and a header may have been read while it was just being written: it is
 * looked at twice. Of anything else strata asks again by itself. */
static gboolean
driver_still_holds(StrataNode *node, GError **error)
{
    g_autoptr(GError) reason = NULL;

    if (compare_with_file(node, &reason))
        return TRUE;
    if (g_error_matches(reason, STRATA_ERROR, STRATA_ERROR_CHANGED))
        return compare_with_file(node, error);
    g_propagate_error(error, g_steal_pointer(&reason));
    return FALSE;
}

static void
driver_close(StrataNode *node)
{
    Qcow2 *qcow2 = node->state;

    if (qcow2 == NULL)
        return;
    g_clear_pointer(&qcow2->header, qcow2_header_free);
    g_clear_pointer(&qcow2->crypt, qcow2_crypt_free);
    g_clear_pointer(&qcow2->idle_decompressors, g_async_queue_unref);
    g_free(qcow2->snapshots_damage);
    g_free(qcow2->bitmaps_damage);
    g_free(qcow2);
}

/* @length bytes that @place keeps together. */
static gboolean
read_place(StrataNode *node, const Qcow2Place *place, guint64 offset, gsize length, guint8 *buffer,
           GError **error)
{
    const Qcow2 *qcow2 = node->state;

    if (place->compressed)
        return qcow2_compressed_read(node, place, offset, length, buffer, error);
    if (qcow2->crypt != NULL)
        return qcow2_crypt_read(node, qcow2->crypt, offset, place->host, length, buffer, error);
    return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                        "the cluster for guest offset 0x%" G_GINT64_MODIFIER
                        "x was compressed a moment ago: the image is being written to",
                        offset);
}

/* Compressed clusters, and all others in an encrypted image. */
static gboolean
driver_read(StrataNode *node, guint64 offset, gsize length, guint8 *buffer, GError **error)
{
    const Qcow2 *qcow2 = node->state;
    const Qcow2Header *header = qcow2->header;
    const guint64 cluster_size = G_GUINT64_CONSTANT(1) << header->cluster_bits;
    gsize n;

    for (; length > 0; offset += n, length -= n, buffer += n) {
        Qcow2Place place;

        if (!qcow2_locate(node, offset, length, &place, error))
            return FALSE;
        n = MIN(length,
                place.compressed ? cluster_size - (offset & (cluster_size - 1)) : place.length);
        if (!read_place(node, &place, offset, n, buffer, error))
            return FALSE;
    }
    return TRUE;
}

static gsize
driver_map_bitmap(StrataNode *node, const StrataBitmap *bitmap, StrataRange range,
                  StrataBitmapRun *runs, gsize max_runs, GError **error)
{
    const Qcow2 *qcow2 = node->state;

    return qcow2_bitmaps_map(node, qcow2->header, bitmap, range, runs, max_runs, error);
}

static void
driver_describe(StrataNode *node, GVariantDict *dict)
{
    const Qcow2 *qcow2 = node->state;
    const Qcow2Header *header = qcow2->header;
    gboolean zstd = header->compression_type == QCOW2_COMPRESSION_ZSTD;

    g_variant_dict_insert(dict, "version", "u", header->version);
    g_variant_dict_insert(dict, "cluster-size", "t", G_GUINT64_CONSTANT(1) << header->cluster_bits);
    g_variant_dict_insert(dict, "extended-l2", "b", header->extended_l2);
    g_variant_dict_insert(dict, "compression-type", "s", zstd ? "zstd" : "zlib");
    g_variant_dict_insert(dict, "refcount-bits", "u", header->refcount_bits);
    g_variant_dict_insert(dict, "lazy-refcounts", "b", header->lazy_refcounts);
    g_variant_dict_insert(dict, "dirty", "b", header->dirty);
    g_variant_dict_insert(dict, "corrupt", "b", header->corrupt);
    g_variant_dict_insert(dict, "snapshots", "u", node->snapshots ? node->snapshots->len : 0);
    dict_insert_text(dict, "snapshots-damaged", qcow2->snapshots_damage);
    g_variant_dict_insert(dict, "bitmaps", "u", node->bitmaps ? node->bitmaps->len : 0);
    dict_insert_text(dict, "bitmaps-damaged", qcow2->bitmaps_damage);
    g_variant_dict_insert(dict, "data-file-raw", "b", header->data_file_raw);
    dict_insert_text(dict, "data-file-name", header->data_file_name);
    dict_insert_text(dict, "backing-name", header->backing_name);
    dict_insert_text(dict, "backing-format", header->backing_format);
    if (qcow2->crypt != NULL)
        qcow2_crypt_describe(qcow2->crypt, dict);
}

static const char *const options[] = { "encrypt.format", "encrypt.key-secret", "snapshot", NULL };

/* What QEMU lets one tune about caches, discards and self-checks of writers. */
static const char *const ignored_options[] = {
    "lazy-refcounts",
    "pass-discard-request",
    "pass-discard-snapshot",
    "pass-discard-other",
    "discard-no-unref",
    "overlap-check",
    "cache-size",
    "l2-cache-size",
    "l2-cache-entry-size",
    "refcount-cache-size",
    "cache-clean-interval",
    "overlap-check.template",
    "overlap-check.main-header",
    "overlap-check.active-l1",
    "overlap-check.active-l2",
    "overlap-check.refcount-table",
    "overlap-check.refcount-block",
    "overlap-check.snapshot-table",
    "overlap-check.inactive-l1",
    "overlap-check.inactive-l2",
    "overlap-check.bitmap-directory",
    NULL,
};

const StrataDriver strata_driver_qcow2 = {
    .name = "qcow2",
    .required_roles = 1u << STRATA_ROLE_FILE,
    .optional_roles = 1u << STRATA_ROLE_DATA_FILE | 1u << STRATA_ROLE_BACKING,
    .options = options,
    .ignored_options = ignored_options,
    .open = driver_open,
    .storage_ready = driver_storage_ready,
    .close = driver_close,
    .seek_slice = qcow2_seek_slice,
    .peek_slice = qcow2_peek_slice,
    .prefetch_slice = qcow2_prefetch_slice,
    .find_own = qcow2_find_own,
    .tell_units = qcow2_tell_units,
    .throw_damage = qcow2_throw_damage,
    .map_bitmap = driver_map_bitmap,
    .read = driver_read,
    .still_holds = driver_still_holds,
    .describe = driver_describe,
};
