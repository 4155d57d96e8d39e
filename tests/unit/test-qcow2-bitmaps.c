/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-qcow2-bitmaps.c - persistent bitmaps of qcow2 images: the directory, what it may not say,
 * and the bits against a model that asks for one after the other. */
#include <strata/error.h>
#include <string.h>

#include "bitmap.h"
#include "qcow2-image-tables.h"
#include "qcow2/format.h"

#define CLUSTER_BITS 9
#define CLUSTER      (1u << CLUSTER_BITS)
#define PER_ENTRY    (CLUSTER * 8u * 512) /* guest bytes of a table entry at granularity 2^9 */
#define SIZE         (2 * PER_ENTRY + 1000)
#define EXTENSIONS   QCOW2_KNOWN_HEADER_LENGTH

static const ImageBitmap two_bitmaps[] = {
    { "first", 9, QCOW2_BITMAP_AUTO, 0, "01c" },
    { "zweite \xc3\xbc", 10, 0, 0, "1c" },
};

static Qcow2Image *
image_with(const ImageBitmap *bitmaps, gsize n, guint64 *out_directory)
{
    Qcow2Image *image = qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);
    guint64 directory = qcow2_image_put_bitmaps(image, EXTENSIONS, bitmaps, n);

    if (out_directory != NULL)
        *out_directory = directory;
    return image;
}

static StrataGraph *
open_image(const Qcow2Image *image)
{
    g_autoptr(GError) error = NULL;
    StrataGraph *graph = qcow2_image_open(image, NULL, NULL, &error);

    g_assert_no_error(error);
    return graph;
}

/* The names of all bitmaps, with a comma between and a '!' behind one that is damaged. */
static char *
list_names(StrataGraph *graph)
{
    GPtrArray *bitmaps = strata_graph_get_top(graph)->bitmaps;
    GString *names = g_string_new(NULL);

    for (guint i = 0; bitmaps != NULL && i < bitmaps->len; i++) {
        StrataBitmap *bitmap = bitmaps->pdata[i];
        gboolean is_damaged = strata_bitmap_get_damage(bitmap) != NULL;

        g_assert_false(is_damaged && strata_bitmap_is_consistent(bitmap));
        g_string_append_printf(names, "%s%s%s", i > 0 ? "," : "", strata_bitmap_get_name(bitmap),
                               is_damaged ? "!" : "");
    }
    return g_string_free(names, FALSE);
}

/* @words: (nullable): what the description says of damage; NULL: that there is none. */
static void
assert_bitmaps(const Qcow2Image *image, const char *names, const char *words)
{
    g_autoptr(StrataGraph) graph = open_image(image);
    g_autofree char *listed = list_names(graph);
    g_autoptr(GVariant) description = strata_node_describe(strata_graph_get_top(graph));
    const char *damage = NULL;
    guint n = 0;

    g_assert_cmpstr(listed, ==, names);
    g_assert_true(g_variant_lookup(description, "bitmaps", "u", &n));
    g_assert_cmpuint(n, ==,
                     strata_graph_get_top(graph)->bitmaps != NULL
                         ? strata_graph_get_top(graph)->bitmaps->len
                         : 0);
    g_variant_lookup(description, "bitmaps-damaged", "&s", &damage);
    if (words == NULL)
        g_assert_cmpstr(damage, ==, NULL);
    else if (damage == NULL || strstr(damage, words) == NULL)
        g_error("'%s' is not in '%s'", words, damage);
}

/* -- The directory -- */

static void
test_directory(void)
{
    g_autoptr(Qcow2Image) image = image_with(two_bitmaps, 2, NULL);
    g_autoptr(StrataGraph) graph = open_image(image);
    StrataNode *top = strata_graph_get_top(graph);
    StrataBitmap *first = strata_node_find_bitmap(top, "first");
    StrataBitmap *second = strata_node_find_bitmap(top, "zweite \xc3\xbc");

    assert_bitmaps(image, "first,zweite \xc3\xbc", NULL);
    g_assert_true(strata_bitmap_get_node(first) == top);
    g_assert_cmpuint(strata_bitmap_get_granularity(first), ==, 512);
    g_assert_true(strata_bitmap_is_enabled(first) && strata_bitmap_is_consistent(first));
    g_assert_cmpuint(strata_bitmap_get_granularity(second), ==, 1024);
    g_assert_false(strata_bitmap_is_enabled(second));
    g_assert_true(strata_bitmap_is_consistent(second));
}

static void
test_none(void)
{
    g_autoptr(Qcow2Image) image = qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);

    assert_bitmaps(image, "", NULL);
}

/* Its table may be too short, or nowhere: the disk may have grown since. */
static void
test_in_use(void)
{
    const ImageBitmap bitmap = { "b", 9, QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO, 0, "0" };
    guint64 directory;
    g_autoptr(Qcow2Image) image = image_with(&bitmap, 1, &directory);
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GError) error = NULL;
    StrataBitmapRun run;
    StrataNode *top;

    qcow2_image_put64(image, directory + QCOW2_BITMAP_AT_TABLE_OFFSET, 12345);
    assert_bitmaps(image, "b", NULL);
    graph = open_image(image);
    top = strata_graph_get_top(graph);
    g_assert_false(strata_bitmap_is_consistent(top->bitmaps->pdata[0]));
    g_assert_true(strata_bitmap_is_enabled(top->bitmaps->pdata[0]));
    g_assert_cmpuint(strata_bitmap_map(top->bitmaps->pdata[0], top, 0, 1, &run, 1, &error), ==, 0);
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
}

static void
test_extra_data(void)
{
    const ImageBitmap bitmaps[] = {
        { "known", 9, 0, 0, "000" },
        { "unknown", 9, 0, 13, "000" },
        { "compatible", 9, QCOW2_BITMAP_EXTRA_COMPATIBLE, 5, "000" },
    };
    g_autoptr(Qcow2Image) image = image_with(bitmaps, 3, NULL);

    assert_bitmaps(image, "known,unknown!,compatible", "bitmap 1 has extra data");
}

/* Autoclear bit 0 is the word of whoever wrote last; without it the extension is stale. */
static void
test_stale(void)
{
    g_autoptr(Qcow2Image) image = image_with(two_bitmaps, 2, NULL);

    qcow2_image_put64(image, QCOW2_AT_AUTOCLEAR, 0);
    assert_bitmaps(image, "", "a program that does not know bitmaps");
}

static void
test_stale_in_version_2(void)
{
    g_autoptr(Qcow2Image) image = qcow2_image_new(2, CLUSTER_BITS, SIZE, 0, 0);

    qcow2_image_put_bitmaps(image, EXTENSIONS, two_bitmaps, 2);
    memset(image->bytes->data + QCOW2_V2_HEADER_LENGTH, 0, EXTENSIONS - QCOW2_V2_HEADER_LENGTH);
    qcow2_image_put32(image, QCOW2_V2_HEADER_LENGTH, 0x12345678);
    qcow2_image_put32(image, QCOW2_V2_HEADER_LENGTH + 4, EXTENSIONS - QCOW2_V2_HEADER_LENGTH - 8);
    assert_bitmaps(image, "", "a program that does not know bitmaps");
}

static void
test_extension_twice_or_not_at_all(void)
{
    g_autoptr(Qcow2Image) image =
        qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, QCOW2_AUTOCLEAR_BITMAPS);
    guint8 zeros[QCOW2_BITMAPS_LENGTH] = { 0 };
    guint64 at = EXTENSIONS;

    assert_bitmaps(image, "", "and not where");
    at = qcow2_image_put_extension(image, at, QCOW2_EXTENSION_BITMAPS, zeros, sizeof zeros);
    qcow2_image_put_bitmaps(image, at, two_bitmaps, 2);
    assert_bitmaps(image, "", "stands twice");
}

static void
test_extension_of_wrong_length(void)
{
    g_autoptr(Qcow2Image) image = image_with(two_bitmaps, 2, NULL);

    qcow2_image_put32(image, EXTENSIONS + 4, 16);
    assert_bitmaps(image, "", "wrong length");
}

/* A number in the header's extension (@at from EXTENSIONS) or in the directory. */
typedef struct {
    const char *label;
    gboolean in_directory;
    guint at;
    guint width;
    guint64 value;
    const char *names; /* that are left */
    const char *words;
} Damage;

#define DATA          QCOW2_EXTENSION_HEADER
#define ALL           "first,zweite \xc3\xbc"
#define FIRST_DAMAGED "first!,zweite \xc3\xbc"

static const Damage damages[] = {
    { "no-bitmaps", FALSE, DATA, 4, 0, "", "0 bitmaps" },
    { "too-many-bitmaps", FALSE, DATA, 4, 65536, "", "more than 65535" },
    { "more-than-there-are", FALSE, DATA, 4, 3, "", "directory is damaged" },
    { "fewer-than-there-are", FALSE, DATA, 4, 1, "", "directory is damaged" },
    { "directory-too-long", FALSE, DATA + 8, 8, 1ull << 26, "", "64 MiB" },
    { "directory-past-the-file", FALSE, DATA + 8, 8, 60000, "", "past the end" },
    { "directory-unaligned", FALSE, DATA + 16, 8, 520, "", "cluster size" },
    { "directory-far-away", FALSE, DATA + 16, 8, G_MAXUINT64 - 511, "", "past the end" },
    { "directory-cut-off", FALSE, DATA + 8, 8, 64, "", "directory is damaged" },
    { "entry-too-long", TRUE, QCOW2_BITMAP_AT_EXTRA_SIZE, 4, G_MAXUINT32, "",
      "directory is damaged" },
    { "reserved-flags", TRUE, QCOW2_BITMAP_AT_FLAGS, 4, 8, FIRST_DAMAGED, "flags" },
    { "unknown-type", TRUE, QCOW2_BITMAP_AT_TYPE, 1, 2, FIRST_DAMAGED, "not of type 1" },
    { "granularity-too-small", TRUE, QCOW2_BITMAP_AT_GRANULARITY, 1, 8, FIRST_DAMAGED,
      "granularity" },
    { "granularity-too-large", TRUE, QCOW2_BITMAP_AT_GRANULARITY, 1, 32, FIRST_DAMAGED,
      "granularity" },
    { "table-unaligned", TRUE, QCOW2_BITMAP_AT_TABLE_OFFSET, 8, 1000, FIRST_DAMAGED,
      "cluster's beginning" },
    { "table-past-the-file", TRUE, QCOW2_BITMAP_AT_TABLE_OFFSET, 8, 1ull << 40, FIRST_DAMAGED,
      "outside the file" },
    { "table-too-short", TRUE, QCOW2_BITMAP_AT_TABLE_SIZE, 4, 2, FIRST_DAMAGED,
      "too short for the disk" },
    { "table-longer-than-needed", TRUE, QCOW2_BITMAP_AT_TABLE_SIZE, 4, 10, ALL, NULL },
    { "table-too-long", TRUE, QCOW2_BITMAP_AT_TABLE_SIZE, 4, G_MAXUINT32, FIRST_DAMAGED,
      "outside the file" },
    { "name-is-not-utf-8", TRUE, QCOW2_BITMAP_ENTRY, 1, 0xff, "zweite \xc3\xbc", "not UTF-8" },
    { "name-has-a-nul", TRUE, QCOW2_BITMAP_ENTRY + 2, 1, 0, "fi!,zweite \xc3\xbc", "with a NUL" },
};

static void
test_damage(gconstpointer data)
{
    const Damage *damage = data;
    guint64 directory;
    g_autoptr(Qcow2Image) image = image_with(two_bitmaps, 2, &directory);
    guint64 at = (damage->in_directory ? directory : EXTENSIONS) + damage->at;

    for (guint i = 0; i < damage->width; i++)
        image->bytes->data[at + i] = damage->value >> (damage->width - 1 - i) * 8;
    assert_bitmaps(image, damage->names, damage->words);
}

/* The room that the name leaves is the padding's. */
static void
test_name_of_no_length(void)
{
    const ImageBitmap bitmap = { "", 9, 0, 0, "000" };
    g_autoptr(Qcow2Image) image = image_with(&bitmap, 1, NULL);

    assert_bitmaps(image, "", "a name that is empty");
}

static void
test_names_of_1023_and_1024_bytes(void)
{
    g_autofree char *longest = g_strnfill(1023, 'n');
    g_autofree char *too_long = g_strnfill(1024, 'n');
    const ImageBitmap bitmaps[] = { { too_long, 9, 0, 0, "000" }, { longest, 9, 0, 0, "000" } };
    g_autoptr(Qcow2Image) image = image_with(bitmaps, 2, NULL);
    g_autofree char *names = NULL;

    names = g_strconcat(too_long, "!,", longest, NULL);
    assert_bitmaps(image, names, "bitmap 0 has a name");
}

static void
test_many_faults(void)
{
    ImageBitmap bitmaps[12];
    g_autoptr(Qcow2Image) image = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(bitmaps); i++)
        bitmaps[i] = (ImageBitmap){ "", 9, 0, 0, "000" };
    image = image_with(bitmaps, G_N_ELEMENTS(bitmaps), NULL);
    assert_bitmaps(
        image, "",
        "bitmap 7 has a name that is empty or longer than 1023 bytes; and 4 more faults");
}

static void
test_a_name_twice(void)
{
    const ImageBitmap bitmaps[] = { { "a", 9, 0, 0, "000" },
                                    { "b", 9, 0, 0, "000" },
                                    { "a", 9, 0, 0, "111" } };
    g_autoptr(Qcow2Image) image = image_with(bitmaps, 3, NULL);

    assert_bitmaps(image, "a!,b", "bitmap 2 has the name of one before it");
}

/* -- What stands below -- */

static gboolean
is_unknown(const Qcow2Image *image)
{
    g_autoptr(StrataGraph) graph = open_image(image);

    return strata_graph_get_top(graph)->bitmaps_unknown;
}

/* Where a name is not known it may be any, and hide any below. */
static void
test_unknown_names(void)
{
    g_autoptr(Qcow2Image) without = qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);
    g_autoptr(Qcow2Image) nowhere =
        qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, QCOW2_AUTOCLEAR_BITMAPS);
    g_autoptr(Qcow2Image) image = image_with(two_bitmaps, 2, NULL);

    g_assert_false(is_unknown(without));
    g_assert_true(is_unknown(nowhere));
    g_assert_false(is_unknown(image));
    qcow2_image_put64(image, QCOW2_AT_AUTOCLEAR, 0);
    g_assert_true(is_unknown(image));
    qcow2_image_put64(image, QCOW2_AT_AUTOCLEAR, QCOW2_AUTOCLEAR_BITMAPS);
    qcow2_image_put32(image, EXTENSIONS + DATA, 3); /* bitmaps, of which there are 2 */
    g_assert_true(is_unknown(image));
    assert_bitmaps(image, "", "none of a node below is looked for from here");
}

/* The reason is in the words of whoever is refused. */
static void
test_damaged_one_is_refused(void)
{
    const ImageBitmap bitmaps[] = { { "a", 9, 8, 0, "000" },
                                    { "twice", 9, 0, 0, "000" },
                                    { "twice", 9, 0, 0, "111" } };
    static const char *const words[] = { "bitmap 'a' has flags that are reserved",
                                         "bitmap 'twice' has a name that stands more than once" };
    g_autoptr(Qcow2Image) image = image_with(bitmaps, 3, NULL);
    g_autoptr(StrataGraph) graph = open_image(image);
    StrataNode *top = strata_graph_get_top(graph);

    g_assert_cmpuint(top->bitmaps->len, ==, 2);
    for (guint i = 0; i < 2; i++) {
        g_autoptr(GError) error = NULL;
        StrataBitmapRun run;

        g_assert_cmpuint(strata_bitmap_map(top->bitmaps->pdata[i], top, 0, 1, &run, 1, &error), ==,
                         0);
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
        g_assert_nonnull(strstr(error->message, words[i]));
    }
}

/* -- The bits -- */

/* The runs of @bitmap over a range as text: "#" and "." for each multiple of @step. */
static void
assert_run(StrataGraph *graph, const char *name, guint64 offset, guint64 length, gboolean dirty)
{
    StrataNode *top = strata_graph_get_top(graph);
    g_autoptr(GError) error = NULL;
    StrataBitmapRun runs[2];

    g_assert_cmpuint(strata_bitmap_map(strata_node_find_bitmap(top, name), top, offset,
                                       SIZE - offset, runs, 2, &error),
                     >=, 1);
    g_assert_no_error(error);
    g_assert_cmphex(runs[0].offset, ==, offset);
    g_assert_cmphex(runs[0].length, ==, length);
    g_assert_cmpint(runs[0].is_dirty, ==, dirty);
}

static guint8 *
bits_of(Qcow2Image *image, guint64 directory, guint bitmap, guint entry)
{
    guint64 entry_at = qcow2_image_bitmap_at(image, directory, bitmap);

    return image->bytes->data +
           qcow2_image_get64(image, qcow2_image_bitmap_table_at(image, entry_at, entry));
}

/* Entries without a cluster, and the lowest bit of a byte first. The last bit stands for less than
 * the granularity. */
static void
test_bits(void)
{
    guint64 directory;
    g_autoptr(Qcow2Image) image = image_with(two_bitmaps, 2, &directory);
    g_autoptr(StrataGraph) graph = NULL;

    bits_of(image, directory, 0, 2)[0] = 0x02;
    graph = open_image(image);
    assert_run(graph, "first", 0, PER_ENTRY, FALSE);
    assert_run(graph, "first", 100, PER_ENTRY - 100, FALSE);
    assert_run(graph, "first", PER_ENTRY, PER_ENTRY, TRUE);
    assert_run(graph, "first", 2 * PER_ENTRY, 512, FALSE);
    assert_run(graph, "first", 2 * PER_ENTRY + 511, 1, FALSE);
    assert_run(graph, "first", 2 * PER_ENTRY + 512, 488, TRUE);
    assert_run(graph, "zweite \xc3\xbc", 0, 2 * PER_ENTRY, TRUE);
    assert_run(graph, "zweite \xc3\xbc", 2 * PER_ENTRY, 1000, FALSE);
}

static void
test_damaged_table_entries(void)
{
    static const struct {
        guint64 entry;
        const char *words;
    } cases[] = {
        { 2, "reserved bits" },
        { 1ull << 63, "reserved bits" },
        { CLUSTER | 1, "reserved bits" },
        { 3 * CLUSTER / 2, "reserved bits" }, /* bit 8 is no offset's */
        { 1ull << 40, "past the end of the file" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint64 directory;
        g_autoptr(Qcow2Image) image = image_with(two_bitmaps, 2, &directory);
        g_autoptr(StrataGraph) graph = NULL;
        g_autoptr(GError) error = NULL;
        StrataBitmapRun runs[2];
        StrataNode *top;

        qcow2_image_put64(image, qcow2_image_bitmap_table_at(image, directory, 1), cases[i].entry);
        graph = open_image(image);
        top = strata_graph_get_top(graph);
        assert_run(graph, "first", 0, PER_ENTRY, FALSE);
        g_assert_cmpuint(
            strata_bitmap_map(top->bitmaps->pdata[0], top, PER_ENTRY, 1, runs, 2, &error), ==, 0);
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
        if (strstr(error->message, cases[i].words) == NULL)
            g_error("'%s' is not in '%s'", cases[i].words, error->message);
        assert_run(graph, "first", 2 * PER_ENTRY, 1000, FALSE);
    }
}

/* In clusters larger than 512 bytes an offset can stand within one. */
static void
test_unaligned_cluster(void)
{
    const ImageBitmap bitmap = { "b", 16, 0, 0, "c" };
    g_autoptr(Qcow2Image) image = qcow2_image_new(3, 12, SIZE, 0, 0);
    guint64 directory = qcow2_image_put_bitmaps(image, EXTENSIONS, &bitmap, 1);
    guint64 table_at = qcow2_image_bitmap_table_at(image, directory, 0);
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GError) error = NULL;
    StrataBitmapRun run;
    StrataNode *top;

    qcow2_image_put64(image, table_at, qcow2_image_get64(image, table_at) + 512);
    graph = open_image(image);
    top = strata_graph_get_top(graph);
    g_assert_cmpuint(strata_bitmap_map(top->bitmaps->pdata[0], top, 0, 1, &run, 1, &error), ==, 0);
    g_assert_nonnull(strstr(error->message, "no multiple of the cluster size"));
}

/* 2 MiB clusters are read in slices of 64 KiB. */
static void
test_large_clusters(void)
{
    const ImageBitmap bitmap = { "b", 9, 0, 0, "c" };
    const guint64 size = G_GUINT64_CONSTANT(8) << 30;
    g_autoptr(Qcow2Image) image = qcow2_image_new(3, 21, size, 0, 0);
    guint64 directory = qcow2_image_put_bitmaps(image, EXTENSIONS, &bitmap, 1);
    const guint64 bit = 65536 * 8 * 3 + 17;
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GError) error = NULL;
    StrataBitmapRun runs[4];
    StrataNode *top;

    bits_of(image, directory, 0, 0)[bit / 8] = 1u << bit % 8;
    graph = open_image(image);
    top = strata_graph_get_top(graph);
    g_assert_cmpuint(strata_bitmap_map(top->bitmaps->pdata[0], top, 0, size, runs, 4, &error), ==,
                     3);
    g_assert_cmphex(runs[1].offset, ==, bit * 512);
    g_assert_cmphex(runs[1].length, ==, 512);
    g_assert_true(runs[1].is_dirty);
    g_assert_cmphex(runs[2].offset + runs[2].length, ==, size);
}

/* -- Against a model -- */

static gboolean
model_bit(const Qcow2Image *image, guint64 entry_at, guint64 bit)
{
    guint64 per_entry = 8ull << image->cluster_bits;
    guint64 entry = qcow2_image_get64(
        image, qcow2_image_bitmap_table_at(image, entry_at, (guint)(bit / per_entry)));

    if (entry < 2)
        return (gboolean)entry;
    return image->bytes->data[entry + bit % per_entry / 8] >> bit % 8 & 1;
}

/* Long runs and short ones, so that words of all zeros, all ones and neither are met. */
static void
fill_bits(GRand *random, guint8 *bits)
{
    for (guint at = 0; at < CLUSTER;) {
        guint n = g_rand_int_range(random, 1, 40);
        guint kind = g_rand_int_range(random, 0, 3);

        n = MIN(n, CLUSTER - at);
        for (; n > 0; n--, at++)
            bits[at] = kind < 2 ? kind * 0xffu : (guint)g_rand_int_range(random, 0, 256);
    }
}

static Qcow2Image *
random_image(GRand *random, guint granularity_bits, guint64 *out_size, guint64 *out_entry_at)
{
    guint64 size = g_rand_int_range(random, 1, 6 * CLUSTER * 8) * (1ull << granularity_bits) -
                   g_rand_int_range(random, 0, 512);
    ImageBitmap bitmap = { "b", granularity_bits, 0, 0, "ccccccc" };
    char letters[8] = "";
    Qcow2Image *image = qcow2_image_new(3, CLUSTER_BITS, size, 0, 0);

    for (guint i = 0; i < 7; i++)
        letters[i] = "01c"[g_rand_int_range(random, 0, 3)];
    bitmap.table = letters;
    *out_entry_at = qcow2_image_put_bitmaps(image, EXTENSIONS, &bitmap, 1);
    for (guint i = 0; i < 7; i++)
        if (letters[i] == 'c')
            fill_bits(random, bits_of(image, *out_entry_at, 0, i));
    *out_size = size;
    return image;
}

static void
check_runs(const Qcow2Image *image, guint64 entry_at, guint granularity_bits, StrataRange range,
           const StrataBitmapRun *runs, gsize n)
{
    guint64 at = range.offset;

    for (gsize i = 0; i < n; i++) {
        guint64 end = at + runs[i].length;

        g_assert_cmphex(runs[i].offset, ==, at);
        g_assert_cmphex(runs[i].length, >, 0);
        g_assert_cmphex(end, <=, range.offset + range.length);
        if (i > 0)
            g_assert_cmpint(runs[i].is_dirty, !=, runs[i - 1].is_dirty);
        for (guint64 bit = at >> granularity_bits; bit <= (end - 1) >> granularity_bits; bit++)
            g_assert_cmpint(model_bit(image, entry_at, bit), ==, runs[i].is_dirty);
        at = end;
    }
}

static void
test_random(void)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(1);

    for (guint round = 0; round < 40; round++) {
        guint granularity_bits = g_rand_int_range(random, 9, 18);
        guint64 size, entry_at;
        g_autoptr(Qcow2Image) image = random_image(random, granularity_bits, &size, &entry_at);
        g_autoptr(StrataGraph) graph = open_image(image);
        StrataNode *top = strata_graph_get_top(graph);

        for (guint i = 0; i < 40; i++) {
            StrataRange range = { .offset = g_rand_double_range(random, 0, size) };
            gsize max_runs = g_rand_int_range(random, 1, 50);
            g_autoptr(GError) error = NULL;
            StrataBitmapRun runs[50];
            gsize n;

            range.length = 1 + g_rand_double_range(random, 0, size - range.offset);
            range.length = MIN(range.length, size - range.offset);
            n = strata_bitmap_map(top->bitmaps->pdata[0], top, range.offset, range.length, runs,
                                  max_runs, &error);
            g_assert_no_error(error);
            g_assert_cmpuint(n, >=, 1);
            g_assert_cmpuint(n, <=, max_runs);
            check_runs(image, entry_at, granularity_bits, range, runs, n);
            if (n < max_runs)
                g_assert_cmphex(runs[n - 1].offset + runs[n - 1].length, ==,
                                range.offset + range.length);
        }
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qcow2-bitmaps/directory", test_directory);
    g_test_add_func("/qcow2-bitmaps/none", test_none);
    g_test_add_func("/qcow2-bitmaps/in-use", test_in_use);
    g_test_add_func("/qcow2-bitmaps/extra-data", test_extra_data);
    g_test_add_func("/qcow2-bitmaps/stale", test_stale);
    g_test_add_func("/qcow2-bitmaps/stale-in-version-2", test_stale_in_version_2);
    g_test_add_func("/qcow2-bitmaps/extension-twice-or-not-at-all",
                    test_extension_twice_or_not_at_all);
    g_test_add_func("/qcow2-bitmaps/extension-of-wrong-length", test_extension_of_wrong_length);
    for (gsize i = 0; i < G_N_ELEMENTS(damages); i++) {
        g_autofree char *path = g_strconcat("/qcow2-bitmaps/damage/", damages[i].label, NULL);

        g_test_add_data_func(path, &damages[i], test_damage);
    }
    g_test_add_func("/qcow2-bitmaps/name-of-no-length", test_name_of_no_length);
    g_test_add_func("/qcow2-bitmaps/names-of-1023-and-1024-bytes",
                    test_names_of_1023_and_1024_bytes);
    g_test_add_func("/qcow2-bitmaps/many-faults", test_many_faults);
    g_test_add_func("/qcow2-bitmaps/a-name-twice", test_a_name_twice);
    g_test_add_func("/qcow2-bitmaps/unknown-names", test_unknown_names);
    g_test_add_func("/qcow2-bitmaps/damaged-one-is-refused", test_damaged_one_is_refused);
    g_test_add_func("/qcow2-bitmaps/bits", test_bits);
    g_test_add_func("/qcow2-bitmaps/damaged-table-entries", test_damaged_table_entries);
    g_test_add_func("/qcow2-bitmaps/unaligned-cluster", test_unaligned_cluster);
    g_test_add_func("/qcow2-bitmaps/large-clusters", test_large_clusters);
    g_test_add_func("/qcow2-bitmaps/random", test_random);
    return g_test_run();
}
