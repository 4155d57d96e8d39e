/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-qcow2-header.c - what header.c takes, and each thing that it refuses. */
#include <string.h>

#include "error.h"
#include "qcow2-image.h"
#include "qcow2/format.h"
#include "qcow2/header.h"

#define CLUSTER_BITS 16
#define CLUSTER      (1u << CLUSTER_BITS)
#define SIZE         (10u << 20)
#define EXTENSIONS   QCOW2_KNOWN_HEADER_LENGTH /* where they begin */

static Qcow2Image *
plain_image(void)
{
    return qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);
}

static Qcow2Header *
read_header(const Qcow2Image *image, GError **error)
{
    StrataNode *leaf = mem_leaf_new("image-file", image->bytes->data, image->bytes->len);
    g_autoptr(StrataGraph) graph =
        mem_graph_new(mem_node_attach(mem_window_new("image", 0, 0), STRATA_ROLE_FILE, leaf));

    return qcow2_header_read(strata_graph_get_top(graph), error);
}

static Qcow2Header *
accept(const Qcow2Image *image)
{
    g_autoptr(GError) error = NULL;
    Qcow2Header *header = read_header(image, &error);

    g_assert_no_error(error);
    return header;
}

static void
refuse(const Qcow2Image *image, StrataError code, const char *words)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(read_header(image, &error));
    g_assert_error(error, STRATA_ERROR, (gint)code);
    if (strstr(error->message, words) == NULL)
        g_error("'%s' is not in '%s'", words, error->message);
    g_assert_nonnull(strstr(error->message, "'image'"));
}

static void
put_backing_name(Qcow2Image *image, guint64 at, const char *name)
{
    qcow2_image_put64(image, QCOW2_AT_BACKING_OFFSET, at);
    qcow2_image_put32(image, QCOW2_AT_BACKING_SIZE, strlen(name));
    qcow2_image_put_text(image, at, name);
}

static void
test_plain(void)
{
    g_autoptr(Qcow2Image) image = plain_image();
    g_autoptr(Qcow2Header) header = accept(image);

    g_assert_cmpuint(header->version, ==, 3);
    g_assert_cmpuint(header->cluster_bits, ==, CLUSTER_BITS);
    g_assert_cmpuint(header->size, ==, SIZE);
    g_assert_cmpuint(header->l1_offset, ==, CLUSTER);
    g_assert_cmpuint(header->refcount_bits, ==, 16);
    g_assert_false(header->extended_l2 || header->has_data_file || header->dirty);
    g_assert_null(header->backing_name);
    g_assert_null(header->data_file_name);
}

/* Version 2 has no feature bits, whatever stands where version 3 keeps them. */
static void
test_version_2(void)
{
    g_autoptr(Qcow2Image) image = qcow2_image_new(2, CLUSTER_BITS, SIZE, 0, 0);
    guint64 at = qcow2_image_put_extension(image, QCOW2_V2_HEADER_LENGTH,
                                           QCOW2_EXTENSION_BACKING_FORMAT, "raw", 3);
    g_autoptr(Qcow2Header) header = NULL;

    put_backing_name(image, at + 8, "base.raw");
    header = accept(image);
    g_assert_cmpuint(header->version, ==, 2);
    g_assert_cmpstr(header->backing_name, ==, "base.raw");
    g_assert_cmpstr(header->backing_format, ==, "raw");
    g_assert_cmpuint(header->refcount_bits, ==, 16);
    g_assert_false(header->dirty || header->corrupt || header->has_data_file);
}

static void
test_every_cluster_size(void)
{
    for (guint bits = QCOW2_MIN_CLUSTER_BITS; bits <= QCOW2_MAX_CLUSTER_BITS; bits++) {
        g_autoptr(Qcow2Image) image = qcow2_image_new(3, bits, SIZE + 1, 0, 0);
        g_autoptr(Qcow2Header) header = accept(image);

        g_assert_cmpuint(header->cluster_bits, ==, bits);
        g_assert_cmpuint(header->size, ==, SIZE + 1);
    }
}

static void
test_feature_bits(void)
{
    guint64 incompatible = QCOW2_INCOMPATIBLE_DIRTY | QCOW2_INCOMPATIBLE_CORRUPT |
                           QCOW2_INCOMPATIBLE_DATA_FILE | QCOW2_INCOMPATIBLE_COMPRESSION |
                           QCOW2_INCOMPATIBLE_EXTENDED_L2;
    g_autoptr(Qcow2Image) image =
        qcow2_image_new(3, CLUSTER_BITS, SIZE, incompatible, QCOW2_AUTOCLEAR_DATA_RAW);
    g_autoptr(Qcow2Header) header = NULL;

    image->bytes->data[QCOW2_AT_COMPRESSION_TYPE] = QCOW2_COMPRESSION_ZSTD;
    qcow2_image_put64(image, QCOW2_AT_COMPATIBLE, ~G_GUINT64_CONSTANT(0));
    header = accept(image);
    g_assert_true(header->dirty && header->corrupt && header->has_data_file);
    g_assert_true(header->data_file_raw && header->extended_l2 && header->lazy_refcounts);
    g_assert_cmpuint(header->compression_type, ==, QCOW2_COMPRESSION_ZSTD);
}

static void
test_extensions(void)
{
    g_autoptr(Qcow2Image) image =
        qcow2_image_new(3, CLUSTER_BITS, SIZE, QCOW2_INCOMPATIBLE_DATA_FILE, 0);
    guint64 at = EXTENSIONS;
    g_autoptr(Qcow2Header) header = NULL;

    at = qcow2_image_put_extension(image, at, 0x12345678, "unknown", 7);
    at = qcow2_image_put_extension(image, at, QCOW2_EXTENSION_DATA_FILE, "data.raw\0\0", 10);
    at = qcow2_image_put_extension(image, at, QCOW2_EXTENSION_BACKING_FORMAT, "qcow2", 5);
    at = qcow2_image_put_extension(image, at, QCOW2_EXTENSION_END, NULL, 0);
    qcow2_image_put_extension(image, at, QCOW2_EXTENSION_DATA_FILE, "not read", 8);
    header = accept(image);
    g_assert_cmpstr(header->data_file_name, ==, "data.raw");
    g_assert_cmpstr(header->backing_format, ==, "qcow2");
}

/* An area without an end mark ends where the backing file's name begins. */
static void
test_extensions_up_to_the_name(void)
{
    g_autoptr(Qcow2Image) image = plain_image();
    guint64 at =
        qcow2_image_put_extension(image, EXTENSIONS, QCOW2_EXTENSION_BACKING_FORMAT, "raw", 3);
    g_autoptr(Qcow2Header) header = NULL;

    put_backing_name(image, at, "base");
    header = accept(image);
    g_assert_cmpstr(header->backing_name, ==, "base");
    g_assert_cmpstr(header->backing_format, ==, "raw");
}

static void
test_longest_backing_name(void)
{
    g_autofree char *name = g_strnfill(QCOW2_MAX_BACKING_NAME, 'n');
    g_autoptr(Qcow2Image) image = plain_image();
    g_autoptr(Qcow2Header) header = NULL;

    put_backing_name(image, CLUSTER - QCOW2_MAX_BACKING_NAME, name); /* the cluster's last bytes */
    header = accept(image);
    g_assert_cmpstr(header->backing_name, ==, name);
    qcow2_image_put32(image, QCOW2_AT_BACKING_SIZE, QCOW2_MAX_BACKING_NAME + 1);
    refuse(image, STRATA_ERROR_DAMAGED, "1024 bytes");
    qcow2_image_put32(image, QCOW2_AT_BACKING_SIZE, QCOW2_MAX_BACKING_NAME);
    qcow2_image_put64(image, QCOW2_AT_BACKING_OFFSET, CLUSTER - QCOW2_MAX_BACKING_NAME + 1);
    refuse(image, STRATA_ERROR_DAMAGED, "the backing file's name lies at 0xfc02");
}

static void
test_unknown_features_are_named(void)
{
    static const guint8 names[2 * QCOW2_FEATURE_ENTRY] = {
        [0] = 1, 40,  'w', 'r', 'o', 'n',  'g', ' ', 't', 'y', 'p', 'e', [QCOW2_FEATURE_ENTRY] = 0,
        40,      't', 'e', 'l', 'e', '\n', 'p', 'a', 't', 'h', 'y',
    };
    g_autoptr(Qcow2Image) image = plain_image();

    qcow2_image_put64(image, QCOW2_AT_INCOMPATIBLE, G_GUINT64_CONSTANT(1) << 40 | 1 << 5 | 1);
    refuse(image, STRATA_ERROR_UNSUPPORTED, "incompatible feature bits 5, 40");
    qcow2_image_put_extension(image, EXTENSIONS, QCOW2_EXTENSION_FEATURE_NAMES, names,
                              sizeof names);
    refuse(image, STRATA_ERROR_UNSUPPORTED, "5, 40 ('tele\\npathy')");
    /* A damaged table does not hide the real reason. */
    qcow2_image_put32(image, EXTENSIONS + 4, G_MAXUINT32);
    refuse(image, STRATA_ERROR_UNSUPPORTED, "incompatible feature bits 5, 40");
    qcow2_image_put32(image, EXTENSIONS + 4, QCOW2_FEATURE_ENTRY + 7);
    refuse(image, STRATA_ERROR_UNSUPPORTED, "incompatible feature bits 5, 40");
}

typedef struct {
    const char *label;
    guint at;
    guint bytes; /* 4 or 8 */
    guint64 value;
    StrataError code;
    const char *words;
} Refusal;

static const Refusal refusals[] = {
    { "magic", QCOW2_AT_MAGIC, 4, 0x51464900, STRATA_ERROR_DAMAGED, "begins with 0x51464900" },
    { "version-1", QCOW2_AT_VERSION, 4, 1, STRATA_ERROR_UNSUPPORTED, "version 1;" },
    { "version-4", QCOW2_AT_VERSION, 4, 4, STRATA_ERROR_UNSUPPORTED, "version 4;" },
    { "cluster-bits-8", QCOW2_AT_CLUSTER_BITS, 4, 8, STRATA_ERROR_DAMAGED, "cluster_bits is 8" },
    { "cluster-bits-22", QCOW2_AT_CLUSTER_BITS, 4, 22, STRATA_ERROR_DAMAGED, "cluster_bits is 22" },
    { "cluster-bits-max", QCOW2_AT_CLUSTER_BITS, 4, G_MAXUINT32, STRATA_ERROR_DAMAGED,
      "cluster_bits is 4294967295" },
    { "header-short", QCOW2_AT_HEADER_LENGTH, 4, 96, STRATA_ERROR_DAMAGED, "header_length is 96" },
    { "header-odd", QCOW2_AT_HEADER_LENGTH, 4, 108, STRATA_ERROR_DAMAGED, "header_length is 108" },
    { "header-long", QCOW2_AT_HEADER_LENGTH, 4, CLUSTER + 8, STRATA_ERROR_DAMAGED,
      "header_length is 65544" },
    { "data-raw-alone", QCOW2_AT_AUTOCLEAR, 8, QCOW2_AUTOCLEAR_DATA_RAW, STRATA_ERROR_DAMAGED,
      "autoclear bit 1" },
    { "compression-bit-alone", QCOW2_AT_INCOMPATIBLE, 8, QCOW2_INCOMPATIBLE_COMPRESSION,
      STRATA_ERROR_DAMAGED, "compression type 0 with incompatible feature bit 3 set" },
    { "compression-type-alone", QCOW2_AT_COMPRESSION_TYPE, 4, 1u << 24, STRATA_ERROR_DAMAGED,
      "compression type 1 with incompatible feature bit 3 clear" },
    { "compression-type-unknown", QCOW2_AT_COMPRESSION_TYPE, 4, 2u << 24, STRATA_ERROR_UNSUPPORTED,
      "compression type 2" },
    { "encrypted-luks-nowhere", QCOW2_AT_CRYPT_METHOD, 4, QCOW2_CRYPT_LUKS, STRATA_ERROR_DAMAGED,
      "no header extension says where the LUKS header lies" },
    { "encrypted-unknown", QCOW2_AT_CRYPT_METHOD, 4, 3, STRATA_ERROR_UNSUPPORTED, "method 3;" },
    { "refcount-order", QCOW2_AT_REFCOUNT_ORDER, 4, 7, STRATA_ERROR_DAMAGED,
      "refcount_order is 7" },
    { "l1-too-small", QCOW2_AT_L1_SIZE, 4, 0, STRATA_ERROR_DAMAGED, "0 entries" },
    { "l1-too-large", QCOW2_AT_L1_SIZE, 4, (4u << 20) + 1, STRATA_ERROR_DAMAGED,
      "4194305 entries" },
    { "l1-past-end", QCOW2_AT_L1_SIZE, 4, 8193, STRATA_ERROR_DAMAGED, "past the end of the file" },
    { "l1-unaligned", QCOW2_AT_L1_OFFSET, 8, CLUSTER + 512, STRATA_ERROR_DAMAGED,
      "offset 0x10200 is no multiple" },
    { "l1-far-away", QCOW2_AT_L1_OFFSET, 8, ~G_GUINT64_CONSTANT(0xffff), STRATA_ERROR_DAMAGED,
      "past the end of the file" },
    { "size-huge", QCOW2_AT_SIZE, 8, G_MAXUINT64, STRATA_ERROR_DAMAGED,
      "0xffffffffffffffff bytes needs 34359738368" },
    { "size-one-more", QCOW2_AT_SIZE, 8, (512u << 20) + 1, STRATA_ERROR_DAMAGED, "needs 2" },
    { "name-in-header", QCOW2_AT_BACKING_OFFSET, 8, 104, STRATA_ERROR_DAMAGED, "lies at 0x68" },
    { "name-past-cluster", QCOW2_AT_BACKING_OFFSET, 8, CLUSTER + 1, STRATA_ERROR_DAMAGED,
      "lies at 0x10001" },
    { "name-far-away", QCOW2_AT_BACKING_OFFSET, 8, G_MAXUINT64, STRATA_ERROR_DAMAGED,
      "lies at 0xffffffffffffffff" },
    { "extension-cut-off", QCOW2_AT_BACKING_OFFSET, 8, EXTENSIONS + 4, STRATA_ERROR_DAMAGED,
      "extension at offset 0x70 is cut off" },
};

static void
test_refusal(gconstpointer data)
{
    const Refusal *refusal = data;
    g_autoptr(Qcow2Image) image = plain_image();

    if (refusal->bytes == 8)
        qcow2_image_put64(image, refusal->at, refusal->value);
    else
        qcow2_image_put32(image, refusal->at, refusal->value);
    refuse(image, refusal->code, refusal->words);
}

static void
test_refuses_bad_extensions(void)
{
    g_autofree char *long_name = g_strnfill(4096, 'd');
    g_autoptr(Qcow2Image) image = plain_image();
    guint64 at;

    at = qcow2_image_put_extension(image, EXTENSIONS, QCOW2_EXTENSION_DATA_FILE, "a", 1);
    qcow2_image_put_extension(image, at, QCOW2_EXTENSION_DATA_FILE, "b", 1);
    refuse(image, STRATA_ERROR_DAMAGED, "the name of the data file stands twice");
    qcow2_image_put_extension(image, EXTENSIONS, QCOW2_EXTENSION_DATA_FILE, "a\0b", 3);
    refuse(image, STRATA_ERROR_DAMAGED, "NUL byte");
    qcow2_image_put_extension(image, EXTENSIONS, QCOW2_EXTENSION_DATA_FILE, long_name, 4096);
    refuse(image, STRATA_ERROR_DAMAGED, "has 4096 bytes");
    qcow2_image_put_extension(image, EXTENSIONS, QCOW2_EXTENSION_BACKING_FORMAT, long_name, 16);
    refuse(image, STRATA_ERROR_DAMAGED, "has 16 bytes");
    qcow2_image_put32(image, EXTENSIONS, 0x12345678);
    qcow2_image_put32(image, EXTENSIONS + 4, CLUSTER - EXTENSIONS - 8 + 1);
    refuse(image, STRATA_ERROR_DAMAGED, "past the end of the extension area at 0x10000");
}

/* An image whose extension says where the LUKS header lies, which is @extra_bytes of data too long.
 */
static Qcow2Image *
luks_image(guint32 method, guint64 offset, guint64 length, guint extra_bytes)
{
    Qcow2Image *image = plain_image();
    guint8 pointer[QCOW2_CRYPT_EXTENSION_LENGTH + 8] = { 0 };
    guint64 big_endian[] = { GUINT64_TO_BE(offset), GUINT64_TO_BE(length) };
    guint64 at;

    memcpy(pointer, big_endian, sizeof big_endian);
    qcow2_image_put32(image, QCOW2_AT_CRYPT_METHOD, method);
    at = qcow2_image_put_extension(image, EXTENSIONS, QCOW2_EXTENSION_CRYPT, pointer,
                                   QCOW2_CRYPT_EXTENSION_LENGTH + extra_bytes);
    qcow2_image_put_extension(image, at, QCOW2_EXTENSION_END, NULL, 0);
    return image;
}

static void
test_encrypted(void)
{
    g_autoptr(Qcow2Image) luks = luks_image(QCOW2_CRYPT_LUKS, CLUSTER, CLUSTER, 0);
    g_autoptr(Qcow2Header) luks_header = accept(luks);
    g_autoptr(Qcow2Image) aes = plain_image();
    g_autoptr(Qcow2Header) aes_header = NULL;

    g_assert_cmpuint(luks_header->crypt_method, ==, QCOW2_CRYPT_LUKS);
    g_assert_cmpuint(luks_header->luks_offset, ==, CLUSTER);
    g_assert_cmpuint(luks_header->luks_length, ==, CLUSTER);
    qcow2_image_put32(aes, QCOW2_AT_CRYPT_METHOD, QCOW2_CRYPT_AES);
    aes_header = accept(aes);
    g_assert_cmpuint(aes_header->crypt_method, ==, QCOW2_CRYPT_AES);
    g_assert_cmpuint(aes_header->luks_length, ==, 0);
}

static void
test_refuses_luks_pointers(void)
{
    const struct {
        guint32 method;
        guint64 offset, length;
        guint extra_bytes;
        const char *words;
    } cases[] = {
        { QCOW2_CRYPT_NONE, CLUSTER, 592, 0, "crypt_method is 0, not 2" },
        { QCOW2_CRYPT_AES, CLUSTER, 592, 0, "crypt_method is 1, not 2" },
        { QCOW2_CRYPT_LUKS, CLUSTER, 592, 8, "has 24 bytes" },
        { QCOW2_CRYPT_LUKS, CLUSTER + 512, 592, 0, "0x10200 is no multiple" },
        { QCOW2_CRYPT_LUKS, CLUSTER, 0, 0, "is empty or lies past the end" },
        { QCOW2_CRYPT_LUKS, CLUSTER, CLUSTER + 1, 0, "past the end of the file at 0x20000" },
        { QCOW2_CRYPT_LUKS, ~G_GUINT64_CONSTANT(0xffff), G_MAXUINT64, 0, "past the end" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Qcow2Image) image =
            luks_image(cases[i].method, cases[i].offset, cases[i].length, cases[i].extra_bytes);

        refuse(image, STRATA_ERROR_DAMAGED, cases[i].words);
    }
}

static void
test_refuses_endless_extensions(void)
{
    g_autoptr(Qcow2Image) image = plain_image();

    for (guint64 at = EXTENSIONS; at < CLUSTER; at += 8)
        qcow2_image_put32(image, at, 0x12345678);
    refuse(image, STRATA_ERROR_LIMIT, "more than 256 header extensions");
}

static void
test_refuses_truncated(void)
{
    g_autoptr(Qcow2Image) image = plain_image();

    g_byte_array_set_size(image->bytes, CLUSTER);
    refuse(image, STRATA_ERROR_DAMAGED, "past the end of the file at 0x10000");
    g_byte_array_set_size(image->bytes, 111);
    refuse(image, STRATA_ERROR_DAMAGED, "the file ends at 0x6f");
    g_byte_array_set_size(image->bytes, 71);
    refuse(image, STRATA_ERROR_DAMAGED, "71 bytes");
    g_byte_array_set_size(image->bytes, 0);
    refuse(image, STRATA_ERROR_DAMAGED, "0 bytes");
}

static void
test_refuses_small_clusters_with_extended_l2(void)
{
    g_autoptr(Qcow2Image) image = qcow2_image_new(3, 13, SIZE, QCOW2_INCOMPATIBLE_EXTENDED_L2, 0);

    refuse(image, STRATA_ERROR_DAMAGED, "must be at least 14");
}

/* The field is past the end of a header of 104 bytes, whatever stands there. */
static void
test_short_header_has_no_compression_type(void)
{
    g_autoptr(Qcow2Image) image = plain_image();
    g_autoptr(Qcow2Header) header = NULL;

    qcow2_image_put32(image, QCOW2_AT_HEADER_LENGTH, QCOW2_V3_MIN_HEADER_LENGTH);
    qcow2_image_put_extension(image, QCOW2_V3_MIN_HEADER_LENGTH, QCOW2_EXTENSION_BACKING_FORMAT,
                              "raw", 3);
    header = accept(image);
    g_assert_cmpuint(header->compression_type, ==, QCOW2_COMPRESSION_DEFLATE);
    g_assert_cmpstr(header->backing_format, ==, "raw");
}

static void
test_empty_image(void)
{
    g_autoptr(Qcow2Image) image = plain_image();
    g_autoptr(Qcow2Header) header = NULL;

    qcow2_image_put64(image, QCOW2_AT_SIZE, 0);
    qcow2_image_put32(image, QCOW2_AT_L1_SIZE, 0);
    header = accept(image);
    g_assert_cmpuint(header->size, ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qcow2-header/plain", test_plain);
    g_test_add_func("/qcow2-header/version-2", test_version_2);
    g_test_add_func("/qcow2-header/every-cluster-size", test_every_cluster_size);
    g_test_add_func("/qcow2-header/feature-bits", test_feature_bits);
    g_test_add_func("/qcow2-header/extensions", test_extensions);
    g_test_add_func("/qcow2-header/extensions-up-to-the-name", test_extensions_up_to_the_name);
    g_test_add_func("/qcow2-header/longest-backing-name", test_longest_backing_name);
    g_test_add_func("/qcow2-header/unknown-features-are-named", test_unknown_features_are_named);
    for (gsize i = 0; i < G_N_ELEMENTS(refusals); i++) {
        g_autofree char *path = g_strconcat("/qcow2-header/refuses/", refusals[i].label, NULL);

        g_test_add_data_func(path, &refusals[i], test_refusal);
    }
    g_test_add_func("/qcow2-header/refuses-bad-extensions", test_refuses_bad_extensions);
    g_test_add_func("/qcow2-header/encrypted", test_encrypted);
    g_test_add_func("/qcow2-header/refuses-luks-pointers", test_refuses_luks_pointers);
    g_test_add_func("/qcow2-header/refuses-endless-extensions", test_refuses_endless_extensions);
    g_test_add_func("/qcow2-header/refuses-truncated", test_refuses_truncated);
    g_test_add_func("/qcow2-header/refuses-small-clusters-with-extended-l2",
                    test_refuses_small_clusters_with_extended_l2);
    g_test_add_func("/qcow2-header/short-header-has-no-compression-type",
                    test_short_header_has_no_compression_type);
    g_test_add_func("/qcow2-header/empty-image", test_empty_image);
    return g_test_run();
}
