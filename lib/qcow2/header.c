/* SPDX-License-Identifier: LGPL-2.1-or-later
 * header.c - the qcow2 header and its extensions: every number is checked before it is used.
 *
 * Sections "Header", "Header extensions" and "Feature name table" of docs/interop/qcow2.rst. What
 * matters only to writers (refcount tables) is not looked at, and what leads to snapshots and
 * bitmaps is only noted, so that damage there does not keep anybody from their data. */
#include "header.h"

#include "bytes.h"
#include "checked.h"
#include "error.h"
#include "extensions.h"
#include "format.h"
#include "node.h"

/* QEMU allows 15 bytes for a format's name and as much as fits for the data file's; a path longer
 * than PATH_MAX could not be opened anyway. */
#define MAX_FORMAT_NAME    15
#define MAX_DATA_FILE_NAME 4095
/* A table that names each of the 64 bits in each of the three bitmaps. */
#define MAX_FEATURE_TABLE (3 * 64 * QCOW2_FEATURE_ENTRY)

/* The header while it is being read. */
typedef struct {
    StrataNode *node;
    StrataNode *storage;
    Qcow2Head head;
    guint8 raw[QCOW2_KNOWN_HEADER_LENGTH]; /* zero past header_length */
    guint32 header_length;
    guint64 incompatible;
    guint64 backing_offset; /* 0 for none */
    guint64 extensions_end; /* the backing file's name, else the end of the first cluster */
    Qcow2Header *header;
} Reader;

static guint32
field32(const Reader *reader, gsize at)
{
    return load_be32(reader->raw, sizeof reader->raw, at);
}

static guint64
field64(const Reader *reader, gsize at)
{
    return load_be64(reader->raw, sizeof reader->raw, at);
}

static guint64
cluster_size(const Reader *reader)
{
    return G_GUINT64_CONSTANT(1) << reader->header->cluster_bits;
}

/* A string of the image: not terminated there, but some writers pad with NULs. NUL within a name
 * would make it mean different things to different programs. An empty one is none. */
static gboolean
read_string(const Reader *reader, const char *what, guint64 offset, gsize length, char **out_string,
            GError **error)
{
    g_autofree char *string = g_malloc0(length + 1);

    if (!qcow2_head_read(&reader->head, offset, length, string, error))
        return FALSE;
    while (length > 0 && string[length - 1] == '\0')
        length--;
    if (strlen(string) != length)
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "the %s at offset 0x%" G_GINT64_MODIFIER "x has a NUL byte within",
                            what, offset);
    if (length > 0)
        *out_string = g_steal_pointer(&string);
    return TRUE;
}

static gboolean
read_fixed_part(Reader *reader, GError **error)
{
    gsize length = MIN(reader->storage->size, sizeof reader->raw);
    guint32 magic, version;

    if (length < QCOW2_V2_HEADER_LENGTH)
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "not a qcow2 image: it has %" G_GSIZE_FORMAT
                            " bytes, and a qcow2 header has at least %d",
                            length, QCOW2_V2_HEADER_LENGTH);
    if (!qcow2_head_read(&reader->head, 0, length, reader->raw, error))
        return FALSE;
    magic = field32(reader, QCOW2_AT_MAGIC);
    if (magic != QCOW2_MAGIC)
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "not a qcow2 image: it begins with 0x%08x, a qcow2 header with 0x%08x;"
                            " name its real format with 'driver' or --format",
                            magic, QCOW2_MAGIC);
    version = field32(reader, QCOW2_AT_VERSION);
    if (version != 2 && version != 3)
        return strata_throw(error, reader->node, STRATA_ERROR_UNSUPPORTED,
                            "qcow2 version %u; this program reads versions 2 and 3", version);
    reader->header->version = version;
    return TRUE;
}

static gboolean
check_cluster_bits(Reader *reader, GError **error)
{
    guint32 bits = field32(reader, QCOW2_AT_CLUSTER_BITS);

    if (bits < QCOW2_MIN_CLUSTER_BITS || bits > QCOW2_MAX_CLUSTER_BITS)
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "cluster_bits is %u in the header, and must be %d to %d", bits,
                            QCOW2_MIN_CLUSTER_BITS, QCOW2_MAX_CLUSTER_BITS);
    reader->header->cluster_bits = bits;
    return TRUE;
}

static gboolean
check_header_length(Reader *reader, GError **error)
{
    guint32 length = QCOW2_V2_HEADER_LENGTH;

    if (reader->header->version >= 3)
        length = field32(reader, QCOW2_AT_HEADER_LENGTH);
    if (reader->header->version >= 3 &&
        (length < QCOW2_V3_MIN_HEADER_LENGTH || length % 8 != 0 || length > cluster_size(reader)))
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "header_length is %u, and must be a multiple of 8 from %d to the"
                            " cluster size",
                            length, QCOW2_V3_MIN_HEADER_LENGTH);
    if (length > reader->storage->size)
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "the file ends at 0x%" G_GINT64_MODIFIER "x, within its header of %u"
                            " bytes",
                            reader->storage->size, length);
    reader->header_length = length;
    /* Fields past the header's end (all features, in version 2) are absent, which means 0. */
    if (length < sizeof reader->raw)
        memset(reader->raw + length, 0, sizeof reader->raw - length);
    return TRUE;
}

/* "Header": the extension area ends where the backing file's name begins. */
static gboolean
check_backing_place(Reader *reader, GError **error)
{
    guint64 offset = field64(reader, QCOW2_AT_BACKING_OFFSET);
    guint32 length = field32(reader, QCOW2_AT_BACKING_SIZE);

    reader->backing_offset = offset;
    reader->extensions_end = offset != 0 ? offset : cluster_size(reader);
    if (offset == 0)
        return TRUE;
    if (length > QCOW2_MAX_BACKING_NAME)
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "the backing file's name has %u bytes in the header, and at most %d"
                            " are allowed",
                            length, QCOW2_MAX_BACKING_NAME);
    if (offset < reader->header_length || !range_within(offset, length, cluster_size(reader)))
        return strata_throw(
            error, reader->node, STRATA_ERROR_DAMAGED,
            "the backing file's name lies at 0x%" G_GINT64_MODIFIER "x (%u bytes),"
            " not between the header's end (0x%x) and the first cluster's (0x%" G_GINT64_MODIFIER
            "x)",
            offset, length, reader->header_length, cluster_size(reader));
    return TRUE;
}

/* -- Header extensions -- */

static Qcow2Extensions
extensions_of(const Reader *reader)
{
    return (Qcow2Extensions){
        .node = reader->node,
        .head = &reader->head,
        .offset = reader->header_length,
        .end = reader->extensions_end,
    };
}

/* "String header extensions"; each may stand once. */
static gboolean
take_string(const Reader *reader, const Qcow2Extension *extension, const char *what,
            gsize max_length, char **out_string, GError **error)
{
    if (extension->length > max_length)
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "the %s at offset 0x%" G_GINT64_MODIFIER "x has %u bytes, and at most"
                            " %" G_GSIZE_FORMAT " are allowed",
                            what, extension->offset, extension->length, max_length);
    if (*out_string != NULL)
        return strata_throw(
            error, reader->node, STRATA_ERROR_DAMAGED,
            "the %s stands twice in the header, the second time at offset 0x%" G_GINT64_MODIFIER
            "x",
            what, extension->offset);
    return read_string(reader, what, extension->offset, extension->length, out_string, error);
}

static gboolean
check_luks_place(const Reader *reader, GError **error)
{
    const Qcow2Header *header = reader->header;

    if (!is_aligned(header->luks_offset, cluster_size(reader)))
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "the LUKS header's offset 0x%" G_GINT64_MODIFIER "x is no multiple of"
                            " the cluster size 0x%" G_GINT64_MODIFIER "x",
                            header->luks_offset, cluster_size(reader));
    if (header->luks_length == 0 ||
        !range_within(header->luks_offset, header->luks_length, reader->storage->size))
        return strata_throw(
            error, reader->node, STRATA_ERROR_DAMAGED,
            "the LUKS header (0x%" G_GINT64_MODIFIER "x bytes at offset 0x%" G_GINT64_MODIFIER
            "x) is empty or lies past the end of the file at 0x%" G_GINT64_MODIFIER "x",
            header->luks_length, header->luks_offset, reader->storage->size);
    return TRUE;
}

/* "Full disk encryption header pointer": there with LUKS, and only then. */
static gboolean
take_luks_pointer(const Reader *reader, const Qcow2Extension *extension, GError **error)
{
    guint8 raw[QCOW2_CRYPT_EXTENSION_LENGTH];

    if (reader->header->crypt_method != QCOW2_CRYPT_LUKS)
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "the header extension at offset 0x%" G_GINT64_MODIFIER "x leads to a"
                            " LUKS header, and crypt_method is %u, not %d",
                            extension->offset, reader->header->crypt_method, QCOW2_CRYPT_LUKS);
    if (extension->length != sizeof raw || reader->header->luks_length != 0)
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "the header extension at offset 0x%" G_GINT64_MODIFIER "x, which leads"
                            " to the LUKS header, has %u bytes; there is one, of %d bytes",
                            extension->offset, extension->length, QCOW2_CRYPT_EXTENSION_LENGTH);
    if (!qcow2_head_read(&reader->head, extension->offset, sizeof raw, raw, error))
        return FALSE;
    reader->header->luks_offset = load_be64(raw, sizeof raw, QCOW2_CRYPT_AT_OFFSET);
    reader->header->luks_length = load_be64(raw, sizeof raw, QCOW2_CRYPT_AT_LENGTH);
    return check_luks_place(reader, error);
}

/* Types not named here may be ignored, the specification says, unless a feature bit forbids it. */
static gboolean
take_extension(const Reader *reader, const Qcow2Extension *extension, GError **error)
{
    switch (extension->type) {
    case QCOW2_EXTENSION_BACKING_FORMAT:
        return take_string(reader, extension, "name of the backing file's format", MAX_FORMAT_NAME,
                           &reader->header->backing_format, error);
    case QCOW2_EXTENSION_DATA_FILE:
        return take_string(reader, extension, "name of the data file", MAX_DATA_FILE_NAME,
                           &reader->header->data_file_name, error);
    case QCOW2_EXTENSION_BITMAPS:
        reader->header->n_bitmap_extensions++;
        reader->header->bitmaps_offset = extension->offset;
        reader->header->bitmaps_length = extension->length;
        return TRUE;
    case QCOW2_EXTENSION_CRYPT:
        return take_luks_pointer(reader, extension, error);
    default:
        return TRUE;
    }
}

static gboolean
check_luks_pointer(const Reader *reader, GError **error)
{
    const Qcow2Header *header = reader->header;

    if (header->crypt_method != QCOW2_CRYPT_LUKS || header->luks_length != 0)
        return TRUE;
    return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                        "the image is encrypted with LUKS, and no header extension says where the"
                        " LUKS header lies");
}

static gboolean
read_extensions(Reader *reader, GError **error)
{
    Qcow2Extensions walk = extensions_of(reader);
    Qcow2Extension extension;

    for (;;) {
        if (!qcow2_extensions_next(&walk, &extension, error))
            return FALSE;
        if (extension.type == QCOW2_EXTENSION_END)
            return check_luks_pointer(reader, error);
        if (!take_extension(reader, &extension, error))
            return FALSE;
    }
}

/* -- Features -- */

/* The image's own table of feature names, for a message about features that we do not know. Only
 * a help: whatever is wrong with it makes it empty. */
static GByteArray *
read_feature_names(const Reader *reader)
{
    g_autoptr(GByteArray) names = g_byte_array_new();
    Qcow2Extensions walk = extensions_of(reader);
    Qcow2Extension extension;
    guint length;

    do {
        if (!qcow2_extensions_next(&walk, &extension, NULL) ||
            extension.type == QCOW2_EXTENSION_END)
            return g_steal_pointer(&names);
    } while (extension.type != QCOW2_EXTENSION_FEATURE_NAMES);
    length = MIN(extension.length, MAX_FEATURE_TABLE);
    g_byte_array_set_size(names, length);
    if (length > 0 && !qcow2_head_read(&reader->head, extension.offset, length, names->data, NULL))
        g_byte_array_set_size(names, 0);
    return g_steal_pointer(&names);
}

/* Returns NULL when the table does not name incompatible feature @bit. */
static char *
find_feature_name(const GByteArray *names, guint bit)
{
    for (guint at = 0; names->len - at >= QCOW2_FEATURE_ENTRY; at += QCOW2_FEATURE_ENTRY) {
        const guint8 *entry = names->data + at;
        g_autofree char *name = NULL;

        if (entry[QCOW2_FEATURE_AT_TYPE] != QCOW2_FEATURE_INCOMPATIBLE ||
            entry[QCOW2_FEATURE_AT_BIT] != bit)
            continue;
        name = g_strndup((const char *)entry + QCOW2_FEATURE_AT_NAME,
                         QCOW2_FEATURE_ENTRY - QCOW2_FEATURE_AT_NAME);
        return strata_escape(name);
    }
    return NULL;
}

static gboolean
throw_unknown_features(const Reader *reader, guint64 unknown, GError **error)
{
    g_autoptr(GByteArray) names = read_feature_names(reader);
    g_autoptr(GString) list = g_string_new(NULL);

    for (guint bit = 0; bit < 64; bit++) {
        g_autofree char *name = NULL;

        if ((unknown >> bit & 1) == 0)
            continue;
        name = find_feature_name(names, bit);
        g_string_append_printf(list, "%s%u", list->len > 0 ? ", " : "", bit);
        if (name != NULL)
            g_string_append_printf(list, " ('%s')", name);
    }
    return strata_throw(error, reader->node, STRATA_ERROR_UNSUPPORTED,
                        "the image uses features that this program does not know: incompatible"
                        " feature bits %s",
                        list->str);
}

static gboolean
check_features(Reader *reader, GError **error)
{
    Qcow2Header *header = reader->header;
    guint64 incompatible = field64(reader, QCOW2_AT_INCOMPATIBLE);
    guint64 compatible = field64(reader, QCOW2_AT_COMPATIBLE);
    guint64 autoclear = field64(reader, QCOW2_AT_AUTOCLEAR);

    if ((incompatible & ~QCOW2_INCOMPATIBLE_KNOWN) != 0)
        return throw_unknown_features(reader, incompatible & ~QCOW2_INCOMPATIBLE_KNOWN, error);
    reader->incompatible = incompatible;
    header->dirty = (incompatible & QCOW2_INCOMPATIBLE_DIRTY) != 0;
    header->corrupt = (incompatible & QCOW2_INCOMPATIBLE_CORRUPT) != 0;
    header->has_data_file = (incompatible & QCOW2_INCOMPATIBLE_DATA_FILE) != 0;
    header->extended_l2 = (incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2) != 0;
    header->lazy_refcounts = (compatible & QCOW2_COMPATIBLE_LAZY) != 0;
    header->bitmaps_hold = (autoclear & QCOW2_AUTOCLEAR_BITMAPS) != 0;
    header->data_file_raw = (autoclear & QCOW2_AUTOCLEAR_DATA_RAW) != 0;
    if (header->data_file_raw && !header->has_data_file)
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "the header says that the external data file is raw (autoclear bit 1),"
                            " but not that there is one (incompatible bit 2)");
    if (header->extended_l2 && header->cluster_bits < QCOW2_MIN_EXTENDED_BITS)
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "cluster_bits is %u in the header, and must be at least %d with"
                            " extended L2 entries",
                            header->cluster_bits, QCOW2_MIN_EXTENDED_BITS);
    return TRUE;
}

/* "Additional fields": the feature bit is set exactly when the type is not deflate. */
static gboolean
check_compression(Reader *reader, GError **error)
{
    guint8 type = reader->raw[QCOW2_AT_COMPRESSION_TYPE];
    gboolean flagged = (reader->incompatible & QCOW2_INCOMPATIBLE_COMPRESSION) != 0;

    if (type > QCOW2_COMPRESSION_ZSTD)
        return strata_throw(error, reader->node, STRATA_ERROR_UNSUPPORTED,
                            "compression type %u; this program knows 0 (deflate) and 1 (zstd)",
                            type);
    if (flagged != (type != QCOW2_COMPRESSION_DEFLATE))
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "compression type %u with incompatible feature bit 3 %s", type,
                            flagged ? "set" : "clear");
    reader->header->compression_type = type;
    return TRUE;
}

static gboolean
check_encryption(Reader *reader, GError **error)
{
    guint32 method = field32(reader, QCOW2_AT_CRYPT_METHOD);

    reader->header->crypt_method = method;
    if (method <= QCOW2_CRYPT_LUKS)
        return TRUE;
    return strata_throw(error, reader->node, STRATA_ERROR_UNSUPPORTED,
                        "the image is encrypted by method %u; this program knows 1 (AES) and 2"
                        " (LUKS)",
                        method);
}

static gboolean
check_counts(Reader *reader, GError **error)
{
    guint32 order = QCOW2_V2_REFCOUNT_ORDER;

    if (reader->header->version >= 3)
        order = field32(reader, QCOW2_AT_REFCOUNT_ORDER);
    if (order > QCOW2_MAX_REFCOUNT_ORDER)
        return strata_throw(error, reader->node, STRATA_ERROR_DAMAGED,
                            "refcount_order is %u in the header, and may be at most %d", order,
                            QCOW2_MAX_REFCOUNT_ORDER);
    reader->header->refcount_bits = 1u << order;
    reader->header->n_snapshots = field32(reader, QCOW2_AT_N_SNAPSHOTS);
    reader->header->snapshots_offset = field64(reader, QCOW2_AT_SNAPSHOTS_OFFSET);
    return TRUE;
}

/* -- The L1 table -- */

static gboolean
check_l1_place(StrataNode *node, const Qcow2Header *header, const char *where, GError **error)
{
    guint64 cluster_size = G_GUINT64_CONSTANT(1) << header->cluster_bits;
    guint64 bytes = (guint64)header->l1_entries * sizeof(guint64);
    guint64 storage_size = node->children[STRATA_ROLE_FILE]->size;

    if (bytes > QCOW2_MAX_L1_BYTES)
        return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                            "the L1 table has %u entries in %s, and at most %u are allowed",
                            header->l1_entries, where,
                            (guint)(QCOW2_MAX_L1_BYTES / sizeof(guint64)));
    if (!is_aligned(header->l1_offset, cluster_size))
        return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                            "the L1 table's offset 0x%" G_GINT64_MODIFIER "x is no multiple of the"
                            " cluster size 0x%" G_GINT64_MODIFIER "x; it stands in %s",
                            header->l1_offset, cluster_size, where);
    if (bytes > 0 && !range_within(header->l1_offset, bytes, storage_size))
        return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                            "the L1 table (0x%" G_GINT64_MODIFIER
                            "x bytes at offset 0x%" G_GINT64_MODIFIER
                            "x in %s) lies past the end of the file at 0x%" G_GINT64_MODIFIER "x",
                            bytes, header->l1_offset, where, storage_size);
    return TRUE;
}

/* The table may be longer than needed: a saved machine state stands past the disk's end. */
gboolean
qcow2_header_set_disk(StrataNode *node, Qcow2Header *header, guint64 size, guint64 l1_offset,
                      guint32 l1_entries, const char *where, GError **error)
{
    guint entry_bits = header->extended_l2 ? 4 : 3;
    guint shift = 2 * header->cluster_bits - entry_bits; /* log2 of what one L1 entry covers */
    guint64 needed = (size >> shift) + !is_aligned(size, G_GUINT64_CONSTANT(1) << shift);

    header->size = size;
    header->l1_offset = l1_offset;
    header->l1_entries = l1_entries;
    if (!check_l1_place(node, header, where, error))
        return FALSE;
    if (l1_entries < needed)
        return strata_throw(error, node, STRATA_ERROR_DAMAGED,
                            "the L1 table has %u entries in %s, and a virtual size of"
                            " 0x%" G_GINT64_MODIFIER "x bytes needs %" G_GUINT64_FORMAT,
                            l1_entries, where, size, needed);
    return TRUE;
}

static gboolean
check_l1(const Reader *reader, GError **error)
{
    return qcow2_header_set_disk(reader->node, reader->header, field64(reader, QCOW2_AT_SIZE),
                                 field64(reader, QCOW2_AT_L1_OFFSET),
                                 field32(reader, QCOW2_AT_L1_SIZE), "the header", error);
}

static gboolean
read_backing_name(Reader *reader, GError **error)
{
    if (reader->backing_offset == 0)
        return TRUE;
    return read_string(reader, "backing file's name", reader->backing_offset,
                       field32(reader, QCOW2_AT_BACKING_SIZE), &reader->header->backing_name,
                       error);
}

Qcow2Header *
qcow2_header_read(StrataNode *node, GError **error)
{
    g_autoptr(Qcow2Header) header = g_new0(Qcow2Header, 1);
    Reader reader = {
        .node = node,
        .storage = node->children[STRATA_ROLE_FILE],
        .header = header,
    };

    qcow2_head_init(&reader.head, reader.storage);
    if (!read_fixed_part(&reader, error) || !check_cluster_bits(&reader, error) ||
        !check_header_length(&reader, error) || !check_backing_place(&reader, error) ||
        !check_features(&reader, error) || !check_compression(&reader, error) ||
        !check_encryption(&reader, error) || !check_counts(&reader, error) ||
        !check_l1(&reader, error) || !read_extensions(&reader, error) ||
        !read_backing_name(&reader, error))
        return NULL;
    return g_steal_pointer(&header);
}

void
qcow2_header_free(Qcow2Header *header)
{
    g_free(header->backing_name);
    g_free(header->backing_format);
    g_free(header->data_file_name);
    g_free(header);
}
