/* SPDX-License-Identifier: LGPL-2.1-or-later
 * qcow2.c - the qcow2 driver: its edges, its options, and what it tells of itself.
 *
 * The header is read and checked in header.c, the tables in map.c. node->state is a Qcow2Header. */
#include "error.h"
#include "format.h"
#include "header.h"
#include "map.h"
#include "node.h"

static gboolean
driver_open(StrataNode *node, StrataOpener *opener, GError **error)
{
    Qcow2Header *header = qcow2_header_read(node, error);

    if (header == NULL)
        return FALSE;
    node->state = header;
    node->size = header->size;
    node->claims = TRUE;
    node->forward_roles = 1u << STRATA_ROLE_BACKING;
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
    const Qcow2Header *header = node->state;
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

static void
driver_close(StrataNode *node)
{
    g_clear_pointer((Qcow2Header **)&node->state, qcow2_header_free);
}

static gsize
driver_map(StrataNode *node, const StrataRange *ranges, gsize n_ranges, StrataAnswer *answers,
           gsize max_answers, GError **error)
{
    return qcow2_map(node, node->state, ranges, n_ranges, answers, max_answers, error);
}

/* map() says OWN of compressed clusters only. */
static gboolean
driver_read(StrataNode *node, guint64 offset, gsize length, guint8 *buffer, GError **error)
{
    return strata_throw(error, node, STRATA_ERROR_UNSUPPORTED,
                        "the data at guest offset 0x%" G_GINT64_MODIFIER "x is compressed, and"
                        " this version does not read compressed clusters",
                        offset);
}

/* A GVariant string must be UTF-8; an image's bytes need not be. */
static void
insert_text(GVariantDict *dict, const char *key, const char *text)
{
    g_autofree char *valid = NULL;

    if (text == NULL)
        return;
    valid = g_utf8_make_valid(text, -1);
    g_variant_dict_insert(dict, key, "s", valid);
}

static void
driver_describe(StrataNode *node, GVariantDict *dict)
{
    const Qcow2Header *header = node->state;
    gboolean zstd = header->compression_type == QCOW2_COMPRESSION_ZSTD;

    g_variant_dict_insert(dict, "version", "u", header->version);
    g_variant_dict_insert(dict, "cluster-size", "t", G_GUINT64_CONSTANT(1) << header->cluster_bits);
    g_variant_dict_insert(dict, "extended-l2", "b", header->extended_l2);
    g_variant_dict_insert(dict, "compression-type", "s", zstd ? "zstd" : "zlib");
    g_variant_dict_insert(dict, "refcount-bits", "u", header->refcount_bits);
    g_variant_dict_insert(dict, "lazy-refcounts", "b", header->lazy_refcounts);
    g_variant_dict_insert(dict, "dirty", "b", header->dirty);
    g_variant_dict_insert(dict, "corrupt", "b", header->corrupt);
    g_variant_dict_insert(dict, "snapshots", "u", header->n_snapshots);
    g_variant_dict_insert(dict, "data-file-raw", "b", header->data_file_raw);
    insert_text(dict, "data-file-name", header->data_file_name);
    insert_text(dict, "backing-name", header->backing_name);
    insert_text(dict, "backing-format", header->backing_format);
}

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
    .ignored_options = ignored_options,
    .open = driver_open,
    .storage_ready = driver_storage_ready,
    .close = driver_close,
    .map = driver_map,
    .read = driver_read,
    .describe = driver_describe,
};
