/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-qcow2-map.c - answers through L1 and L2, against what the test itself put into the image.
 *
 * The oracle is a list with one element for each unit (a subcluster, or a cluster), written while
 * the image is made and never read back from its tables. */
#include <strata/resolve.h>
#include <string.h>

#include "error.h"
#include "node.h"
#include "qcow2-image.h"
#include "qcow2/format.h"
#include "qcow2/locate.h"
#include "table-map.h"

#define COPIED     QCOW2_ENTRY_COPIED
#define ZERO       QCOW2_ENTRY_ZERO
#define COMPRESSED QCOW2_ENTRY_COMPRESSED

static StrataAnswer *
map_all(StrataGraph *graph, const StrataRange *ranges, gsize n_ranges, gsize *out_n)
{
    g_autoptr(GError) error = NULL;
    StrataNode *node = strata_graph_get_top(graph);
    StrataAnswer *answers = g_new(StrataAnswer, 1000);

    *out_n = table_map(node, ranges, n_ranges, answers, 1000, &error);
    g_assert_no_error(error);
    return answers;
}

static void
expect_damage(StrataGraph *graph, guint64 offset, guint64 length, const char *words)
{
    g_autoptr(GError) error = NULL;
    StrataNode *node = strata_graph_get_top(graph);
    StrataRange range = { offset, length };
    StrataAnswer answer;

    g_assert_cmpuint(table_map(node, &range, 1, &answer, 1, &error), ==, 0);
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
    if (strstr(error->message, words) == NULL)
        g_error("'%s' is not in '%s'", words, error->message);
}

static void
expect_answer(const StrataAnswer *answer, StrataAnswerKind kind, StrataRole role,
              guint64 child_offset, guint64 length)
{
    g_assert_cmpuint(answer->kind, ==, kind);
    g_assert_cmpuint(answer->role, ==, role);
    g_assert_cmphex(answer->child_offset, ==, child_offset);
    g_assert_cmphex(answer->length, ==, length);
}

/* -- Random images against the oracle -- */

typedef struct {
    guint8 kind; /* StrataAnswerKind */
    gboolean damaged;
    guint64 host;
    guint n_sectors; /* of a compressed cluster, that of host included */
} Unit;

typedef struct {
    const char *label;
    guint version;
    guint cluster_bits;
    guint64 incompatible;
    gboolean with_backing;
    guint64 size;
} Shape;

typedef struct {
    const Shape *shape;
    GRand *random;
    Qcow2Image *image;
    guint unit_bits;
    GArray *units; /* Unit */
    StrataGraph *graph;
} Trial;

static guint8
absent_kind(const Shape *shape)
{
    return shape->with_backing ? STRATA_ANSWER_FORWARD : STRATA_ANSWER_ABSENT;
}

static gboolean
is_external(const Shape *shape)
{
    return (shape->incompatible & QCOW2_INCOMPATIBLE_DATA_FILE) != 0;
}

static gboolean
is_extended(const Shape *shape)
{
    return (shape->incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2) != 0;
}

static void
note_units(Trial *trial, guint64 guest, guint64 n, Unit unit)
{
    for (guint64 i = 0; i < n; i++) {
        Unit *noted = &g_array_index(trial->units, Unit, (guest >> trial->unit_bits) + i);

        *noted = unit;
        if (unit.kind == STRATA_ANSWER_DATA)
            noted->host = unit.host + (i << trial->unit_bits);
    }
}

/* Mostly the cluster after the one before, so that there are runs; sometimes any other. */
static guint64
choose_host(Trial *trial, guint64 guest, guint64 previous)
{
    guint64 cluster = G_GUINT64_CONSTANT(1) << trial->shape->cluster_bits;

    if (is_external(trial->shape))
        return guest;
    if (previous != 0 && g_rand_int_range(trial->random, 0, 4) != 0)
        return previous + cluster;
    return cluster * (guint64)g_rand_int_range(trial->random, 1, 1 << 30);
}

/* A cluster with subclusters: three in four images of the bitmap are all of one kind. */
static void
put_extended(Trial *trial, guint64 guest, guint64 host)
{
    guint32 allocated = 0, zero = 0;
    Unit unit = { .host = host };

    switch (g_rand_int_range(trial->random, 0, 4)) {
    case 0:
        allocated = g_rand_int(trial->random) & g_rand_int(trial->random);
        zero = g_rand_int(trial->random) & ~allocated;
        break;
    case 1:
        zero = G_MAXUINT32;
        break;
    case 2:
        allocated = G_MAXUINT32;
        break;
    }
    if (host == 0 && !(is_external(trial->shape) && guest == 0))
        allocated = 0;
    qcow2_image_set_entry(trial->image, guest, host | COPIED, (guint64)zero << 32 | allocated);
    for (guint i = 0; i < 32; i++) {
        guint64 into = (guint64)i << trial->unit_bits;

        unit.kind = allocated >> i & 1 ? STRATA_ANSWER_DATA
                    : zero >> i & 1    ? STRATA_ANSWER_ZERO
                                       : absent_kind(trial->shape);
        unit.host = host + into;
        note_units(trial, guest + into, 1, unit);
    }
}

static void
put_standard(Trial *trial, guint64 guest, guint64 host)
{
    gboolean external = is_external(trial->shape);
    gboolean zero = trial->shape->version >= 3 && g_rand_int_range(trial->random, 0, 3) == 0;
    Unit unit = { .kind = zero ? STRATA_ANSWER_ZERO : STRATA_ANSWER_DATA, .host = host };
    /* Bits that are reserved, and that QEMU does not look at either. */
    guint64 reserved = g_rand_boolean(trial->random) ? G_GUINT64_CONSTANT(0x2a000000000000fe) : 0;
    guint64 copied = external || g_rand_boolean(trial->random) ? COPIED : 0;

    if (is_extended(trial->shape)) {
        put_extended(trial, guest, host);
        return;
    }
    qcow2_image_set_entry(trial->image, guest, host | copied | reserved | (zero ? ZERO : 0), 0);
    note_units(trial, guest, 1, unit);
}

static void
put_zero(Trial *trial, guint64 guest)
{
    if (trial->shape->version < 3)
        return;
    qcow2_image_set_entry(trial->image, guest, ZERO, (guint64)G_MAXUINT32 << 32);
    note_units(trial, guest, is_extended(trial->shape) ? 32 : 1,
               (Unit){ .kind = STRATA_ANSWER_ZERO });
}

/* At any byte, within the image or not. The bitmap and bit 63 are reserved, and QEMU does not look
 * at them. */
static void
put_compressed(Trial *trial, guint64 guest)
{
    guint sector_bits = trial->shape->cluster_bits - 8;
    Unit unit = {
        .kind = STRATA_ANSWER_OWN,
        .damaged = is_external(trial->shape),
        .host = g_rand_int_range(trial->random, 0, 1 << 21),
        .n_sectors = 1 + g_rand_int_range(trial->random, 0, 1 << sector_bits),
    };
    guint64 entry = COMPRESSED | (guint64)(unit.n_sectors - 1) << (62 - sector_bits) | unit.host;

    if (g_rand_boolean(trial->random))
        entry |= COPIED;
    qcow2_image_set_entry(trial->image, guest, entry, g_rand_int(trial->random));
    note_units(trial, guest, is_extended(trial->shape) ? 32 : 1, unit);
}

/* An offset that is no multiple of the cluster is damage for that cluster and for no other. */
static void
put_damage(Trial *trial, guint64 guest)
{
    Unit unit = { .damaged = TRUE };

    if (trial->shape->cluster_bits == 9) /* every offset is a multiple */
        return;
    qcow2_image_set_entry(trial->image, guest, 0x200, 0);
    note_units(trial, guest, is_extended(trial->shape) ? 32 : 1, unit);
}

static void
fill(Trial *trial)
{
    guint64 cluster = G_GUINT64_CONSTANT(1) << trial->shape->cluster_bits;
    guint64 host = 0;
    guint state = 0;

    for (guint64 guest = 0; guest < trial->shape->size; guest += cluster) {
        if (g_rand_int_range(trial->random, 0, 3) == 0) /* states come in runs */
            state = g_rand_int_range(trial->random, 0, 20);
        if (state < 10)
            continue; /* also leaves L2 tables out */
        if (state < 16)
            put_standard(trial, guest, host = choose_host(trial, guest, host));
        else if (state < 18)
            put_zero(trial, guest);
        else if (state < 19)
            put_compressed(trial, guest);
        else
            put_damage(trial, guest);
    }
}

static void
trial_open(Trial *trial)
{
    const Shape *shape = trial->shape;
    static const guint8 nothing[1];
    g_autoptr(GError) error = NULL;

    trial->image =
        qcow2_image_new(shape->version, shape->cluster_bits, shape->size, shape->incompatible, 0);
    trial->unit_bits = shape->cluster_bits - (is_extended(shape) ? 5 : 0);
    trial->units = g_array_new(FALSE, TRUE, sizeof(Unit));
    g_array_set_size(trial->units, (shape->size >> trial->unit_bits) + 33);
    note_units(trial, 0, trial->units->len, (Unit){ .kind = absent_kind(shape) });
    fill(trial);
    trial->graph =
        qcow2_image_open(trial->image, is_external(shape) ? mem_leaf_new("data", nothing, 1) : NULL,
                         shape->with_backing ? mem_leaf_new("backing", nothing, 1) : NULL, &error);
    g_assert_no_error(error);
}

static void
trial_close(Trial *trial)
{
    strata_graph_unref(trial->graph);
    g_array_unref(trial->units);
    qcow2_image_free(trial->image);
}

/* What the oracle says of the unit at @guest. */
static const Unit *
oracle(const Trial *trial, guint64 guest)
{
    return &g_array_index(trial->units, Unit, guest >> trial->unit_bits);
}

static void
check_answer(const Trial *trial, guint64 guest, const StrataAnswer *answer)
{
    guint64 unit_size = G_GUINT64_CONSTANT(1) << trial->unit_bits;
    guint64 end = guest + answer->length;

    for (guint64 at = guest; at < end; at = (at / unit_size + 1) * unit_size) {
        const Unit *unit = oracle(trial, at);
        guint64 child = answer->child_offset + (at - guest);

        g_assert_false(unit->damaged);
        g_assert_cmpuint(answer->kind, ==, unit->kind);
        g_assert_cmpuint(answer->flags, ==,
                         unit->kind == STRATA_ANSWER_OWN ? STRATA_RUN_COMPRESSED : 0);
        if (unit->kind == STRATA_ANSWER_DATA)
            g_assert_cmphex(child, ==, unit->host + at % unit_size);
        else if (unit->kind == STRATA_ANSWER_FORWARD)
            g_assert_cmphex(child, ==, at);
        else
            g_assert_cmphex(answer->child_offset, ==, 0);
    }
}

/* qcow2_locate() for the first byte of an answer, DATA or OWN. */
static void
check_locate(const Trial *trial, guint64 guest, const StrataAnswer *answer)
{
    g_autoptr(GError) error = NULL;
    StrataNode *node = strata_graph_get_top(trial->graph);
    const Unit *unit = oracle(trial, guest);
    guint64 storage_size = trial->image->bytes->len;
    Qcow2Place place;
    gboolean found = qcow2_locate(node, guest, answer->length, &place, &error);

    if (unit->n_sectors > 0 && unit->host >= storage_size) {
        g_assert_false(found);
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
        g_assert_nonnull(strstr(error->message, "past the end of the file"));
        return;
    }
    g_assert_no_error(error);
    g_assert_true(found);
    g_assert_cmpint(place.compressed, ==, unit->n_sectors > 0);
    if (unit->n_sectors > 0) {
        guint64 end = unit->host / 512 * 512 + (guint64)unit->n_sectors * 512;

        g_assert_cmphex(place.host, ==, unit->host);
        g_assert_cmphex(place.host + place.length, ==, MIN(end, storage_size));
    } else {
        g_assert_cmphex(place.host, ==, answer->child_offset);
        g_assert_cmpuint(place.length, >, 0);
        g_assert_cmpuint(place.length, <=, answer->length);
    }
}

/* Ranges that do not overlap, within the image, in no order: cuts of it, shuffled. */
static gsize
choose_ranges(const Trial *trial, StrataRange *ranges, gsize max)
{
    gsize n = 0;
    guint64 at = (guint64)g_rand_double_range(trial->random, 0, trial->shape->size);

    while (n < max && at < trial->shape->size) {
        guint64 left = trial->shape->size - at;
        guint bits = g_rand_int_range(trial->random, 1, trial->shape->cluster_bits + 8);
        guint64 length = 1 + (guint64)g_rand_double_range(trial->random, 0, 1u << bits);

        ranges[n++] = (StrataRange){ at, MIN(left, length) };
        at += MIN(left, length);
        if (g_rand_boolean(trial->random))
            at += g_rand_int_range(trial->random, 0, 100000);
    }
    for (gsize i = n; i > 1; i--) {
        gsize other = g_rand_int_range(trial->random, 0, i);
        StrataRange swapped = ranges[i - 1];

        ranges[i - 1] = ranges[other];
        ranges[other] = swapped;
    }
    return n;
}

/* Walks the answers over the ranges. @out_stopped_at: the first byte that got none, or
 * G_MAXUINT64. */
static void
check_answers(const Trial *trial, const StrataRange *ranges, gsize n_ranges,
              const StrataAnswer *answers, gsize n, guint64 *out_stopped_at)
{
    guint64 done = 0;
    gsize r = 0;

    for (gsize i = 0; i < n; i++) {
        g_assert_cmpuint(r, <, n_ranges);
        g_assert_cmpuint(answers[i].length, >, 0);
        g_assert_cmpuint(answers[i].length, <=, ranges[r].length - done);
        check_answer(trial, ranges[r].offset + done, &answers[i]);
        if (answers[i].kind == STRATA_ANSWER_DATA || answers[i].kind == STRATA_ANSWER_OWN)
            check_locate(trial, ranges[r].offset + done, &answers[i]);
        done += answers[i].length;
        if (done == ranges[r].length) {
            r++;
            done = 0;
        }
    }
    *out_stopped_at = r < n_ranges ? ranges[r].offset + done : G_MAXUINT64;
}

static void
check_once(const Trial *trial)
{
    g_autoptr(GError) error = NULL;
    StrataNode *node = strata_graph_get_top(trial->graph);
    StrataRange ranges[8];
    StrataAnswer answers[64];
    gsize max = g_rand_boolean(trial->random) ? g_rand_int_range(trial->random, 1, 4) : 64;
    gsize n_ranges = choose_ranges(trial, ranges, G_N_ELEMENTS(ranges));
    gsize n;
    guint64 stopped_at;

    if (n_ranges == 0)
        return;
    n = table_map(node, ranges, n_ranges, answers, max, &error);
    g_assert_cmpuint(n, <=, max);
    check_answers(trial, ranges, n_ranges, answers, n, &stopped_at);
    g_assert_true((n == 0) == (error != NULL));
    if (n == 0)
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
    if (stopped_at != G_MAXUINT64 && n < max) /* not for want of room, so for damage */
        g_assert_true(oracle(trial, stopped_at)->damaged);
}

static void
test_random_images(gconstpointer data)
{
    guint32 seed = g_test_rand_int();
    Trial trial = { .shape = data, .random = g_rand_new_with_seed(seed) };

    g_test_message("seed %u", seed);
    for (int i = 0; i < 8; i++) {
        trial_open(&trial);
        for (int j = 0; j < 500; j++)
            check_once(&trial);
        trial_close(&trial);
    }
    g_rand_free(trial.random);
}

static const Shape shapes[] = {
    { "v2-512", 2, 9, 0, TRUE, (1u << 20) + 77 },
    { "v3-512", 3, 9, 0, FALSE, (1u << 20) + 511 },
    { "v3-4k", 3, 12, 0, TRUE, (16u << 20) - 1 },
    { "v3-64k", 3, 16, 0, TRUE, (64u << 20) + 12345 },
    { "v2-64k", 2, 16, 0, FALSE, 1536u << 20 },
    { "v3-2m", 3, 21, 0, TRUE, G_GUINT64_CONSTANT(40) << 30 },
    { "data-file", 3, 16, QCOW2_INCOMPATIBLE_DATA_FILE, TRUE, (32u << 20) + 5 },
    { "data-file-512", 3, 9, QCOW2_INCOMPATIBLE_DATA_FILE, FALSE, 1u << 20 },
    { "extended-16k", 3, 14, QCOW2_INCOMPATIBLE_EXTENDED_L2, TRUE, (24u << 20) + 513 },
    { "extended-64k", 3, 16, QCOW2_INCOMPATIBLE_EXTENDED_L2, FALSE, (300u << 20) + 1 },
    { "extended-2m", 3, 21, QCOW2_INCOMPATIBLE_EXTENDED_L2, TRUE, G_GUINT64_CONSTANT(9) << 30 },
    { "extended-data-file", 3, 14, QCOW2_INCOMPATIBLE_EXTENDED_L2 | QCOW2_INCOMPATIBLE_DATA_FILE,
      FALSE, 8u << 20 },
};

/* -- By hand -- */

static Qcow2Image *
plain_image(guint64 size)
{
    return qcow2_image_new(3, 16, size, 0, 0);
}

static StrataGraph *
open_plain(const Qcow2Image *image)
{
    g_autoptr(GError) error = NULL;
    StrataGraph *graph = qcow2_image_open(image, NULL, NULL, &error);

    g_assert_no_error(error);
    return graph;
}

/* Zeros and absent L2 tables go on over the borders of tables and of slices of the L1 table. */
static void
test_merges_across_tables(void)
{
    const guint64 per_table = G_GUINT64_CONSTANT(512) << 20, size = 9000 * per_table;
    g_autoptr(Qcow2Image) image = plain_image(size);
    g_autoptr(StrataGraph) graph = NULL;
    g_autofree StrataAnswer *answers = NULL;
    StrataRange all = { 0, size };
    gsize n;

    for (guint64 at = per_table - (1 << 20); at < per_table + (1 << 20); at += 1 << 16)
        qcow2_image_set_entry(image, at, ZERO, 0);
    qcow2_image_set_entry(image, size - (1 << 16), 0x50000, 0);
    graph = open_plain(image);
    answers = map_all(graph, &all, 1, &n);
    g_assert_cmpuint(n, ==, 4);
    expect_answer(&answers[0], STRATA_ANSWER_ABSENT, 0, 0, per_table - (1 << 20));
    expect_answer(&answers[1], STRATA_ANSWER_ZERO, 0, 0, 2 << 20);
    expect_answer(&answers[2], STRATA_ANSWER_ABSENT, 0, 0,
                  size - per_table - (1 << 20) - (1 << 16));
    expect_answer(&answers[3], STRATA_ANSWER_DATA, STRATA_ROLE_FILE, 0x50000, 1 << 16);
}

static void
test_merges_contiguous_data_only(void)
{
    g_autoptr(Qcow2Image) image = plain_image(1 << 20);
    g_autoptr(StrataGraph) graph = NULL;
    g_autofree StrataAnswer *answers = NULL;
    StrataRange range = { 0x8000, 0x50000 };
    gsize n;

    qcow2_image_set_entry(image, 0x00000, 0x100000 | COPIED, 0);
    qcow2_image_set_entry(image, 0x10000, 0x110000, 0);
    qcow2_image_set_entry(image, 0x20000, 0x130000 | COPIED, 0);
    qcow2_image_set_entry(image, 0x30000, 0x140000 | COPIED, 0);
    qcow2_image_set_entry(image, 0x40000, 0x140000, 0); /* the same once more */
    graph = open_plain(image);
    answers = map_all(graph, &range, 1, &n);
    g_assert_cmpuint(n, ==, 4);
    expect_answer(&answers[0], STRATA_ANSWER_DATA, STRATA_ROLE_FILE, 0x108000, 0x18000);
    expect_answer(&answers[1], STRATA_ANSWER_DATA, STRATA_ROLE_FILE, 0x130000, 0x20000);
    expect_answer(&answers[2], STRATA_ANSWER_DATA, STRATA_ROLE_FILE, 0x140000, 0x10000);
    expect_answer(&answers[3], STRATA_ANSWER_ABSENT, 0, 0, 0x8000);
}

/* An answer lies in one range, even where the next range goes on with the same. */
static void
test_never_merges_ranges(void)
{
    g_autoptr(Qcow2Image) image = plain_image(1 << 20);
    g_autoptr(StrataGraph) graph = open_plain(image);
    g_autofree StrataAnswer *answers = NULL;
    StrataRange ranges[] = { { 100, 50 }, { 150, 1 }, { 0, 100 } };
    gsize n;

    answers = map_all(graph, ranges, 3, &n);
    g_assert_cmpuint(n, ==, 3);
    g_assert_cmpuint(answers[0].length, ==, 50);
    g_assert_cmpuint(answers[1].length, ==, 1);
    g_assert_cmpuint(answers[2].length, ==, 100);
}

/* "Standard Cluster Descriptor": in a data file bit 63 makes 0 a host offset. */
static void
test_data_file_offset_zero(void)
{
    static const guint8 nothing[1];
    g_autoptr(Qcow2Image) image = qcow2_image_new(3, 16, 5 << 16, QCOW2_INCOMPATIBLE_DATA_FILE, 0);
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree StrataAnswer *answers = NULL;
    StrataRange range = { 0, 5 << 16 }; /* the last cluster of it is damaged */
    gsize n;

    qcow2_image_set_entry(image, 0, COPIED, 0);
    qcow2_image_set_entry(image, 1 << 16, COPIED | 1 << 16, 0);
    qcow2_image_set_entry(image, 2 << 16, COPIED | ZERO, 0); /* no offset, and none is needed */
    qcow2_image_set_entry(image, 4 << 16, COPIED, 0);        /* not the guest's offset */
    graph = qcow2_image_open(image, mem_leaf_new("data", nothing, 1), NULL, &error);
    g_assert_no_error(error);
    answers = map_all(graph, &range, 1, &n);
    g_assert_cmpuint(n, ==, 3);
    expect_answer(&answers[0], STRATA_ANSWER_DATA, STRATA_ROLE_DATA_FILE, 0, 2 << 16);
    expect_answer(&answers[1], STRATA_ANSWER_ZERO, 0, 0, 1 << 16);
    expect_answer(&answers[2], STRATA_ANSWER_ABSENT, 0, 0, 1 << 16);
    expect_damage(graph, 4 << 16, 1, "is not the guest's offset");
}

typedef struct {
    const char *label;
    guint version;
    guint64 incompatible;
    guint64 entry;
    guint64 bitmap;
    const char *words;
} Damage;

static const Damage damages[] = {
    { "unaligned", 3, 0, 0x10200, 0, "0x0000000000010200 at file offset 0x20008) is damaged" },
    { "unaligned-zero", 3, 0, 0x10200 | ZERO, 0, "no multiple of the cluster size" },
    { "zero-in-v2", 2, 0, ZERO, 0, "version 2 image" },
    { "prealloc-zero-in-v2", 2, 0, 0x10000 | ZERO, 0, "version 2 image" },
    { "data-file-moved", 3, QCOW2_INCOMPATIBLE_DATA_FILE, 0x20000 | COPIED, 0,
      "is not the guest's offset" },
    { "data-file-zero-moved", 3, QCOW2_INCOMPATIBLE_DATA_FILE, 0x20000 | ZERO, 0,
      "is not the guest's offset" },
    { "data-file-compressed", 3, QCOW2_INCOMPATIBLE_DATA_FILE, COMPRESSED, 0, "compressed" },
    { "both", 3, QCOW2_INCOMPATIBLE_EXTENDED_L2, 0x50000, G_GUINT64_CONSTANT(0x100000001),
      "both allocated and zero" },
    { "no-host", 3, QCOW2_INCOMPATIBLE_EXTENDED_L2, 0, 1u << 31, "no host offset" },
    { "unaligned-absent", 3, QCOW2_INCOMPATIBLE_EXTENDED_L2, 0x10200, 0, "no multiple" },
};

/* The cluster next to the damage, on either side, goes on working. */
static void
test_damage(gconstpointer data)
{
    static const guint8 nothing[1];
    const Damage *damage = data;
    g_autoptr(Qcow2Image) image =
        qcow2_image_new(damage->version, 16, 4 << 16, damage->incompatible, 0);
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree StrataAnswer *answers = NULL;
    StrataRange ranges[] = { { 2 << 16, 2 << 16 }, { 0, 3 << 16 } };
    gboolean external = (damage->incompatible & QCOW2_INCOMPATIBLE_DATA_FILE) != 0;
    gsize n;

    qcow2_image_set_entry(image, 1 << 16, damage->entry, damage->bitmap);
    graph =
        qcow2_image_open(image, external ? mem_leaf_new("data", nothing, 1) : NULL, NULL, &error);
    g_assert_no_error(error);
    answers = map_all(graph, ranges, 2, &n);
    g_assert_cmpuint(n, ==, 2);
    expect_answer(&answers[0], STRATA_ANSWER_ABSENT, 0, 0, 2 << 16);
    expect_answer(&answers[1], STRATA_ANSWER_ABSENT, 0, 0, 1 << 16);
    expect_damage(graph, 1 << 16, 1 << 16, damage->words);
    expect_damage(graph, (2 << 16) - 1, 2, "guest offset 0x10000");
}

static void
test_damaged_l1_entry(void)
{
    const guint64 per_table = 512 << 20;
    g_autoptr(Qcow2Image) image = plain_image(4 * per_table);
    g_autoptr(StrataGraph) graph = NULL;
    g_autofree StrataAnswer *answers = NULL;
    StrataRange last = { 3 * per_table, per_table };
    gsize n;

    qcow2_image_put64(image, qcow2_image_l1_at(image, 0), 0x10200);
    qcow2_image_put64(image, qcow2_image_l1_at(image, per_table), COPIED | 0x70000);
    qcow2_image_put64(image, qcow2_image_l1_at(image, 2 * per_table), QCOW2_ENTRY_OFFSET << 7);
    qcow2_image_put64(image, qcow2_image_l1_at(image, 3 * per_table),
                      ~(QCOW2_ENTRY_OFFSET | COPIED)); /* reserved bits only: no table */
    graph = open_plain(image);
    expect_damage(graph, 5, 1, "lie at 0x10200, which is no multiple");
    expect_damage(graph, per_table, per_table, "lies at 0x70000, past the end of the file");
    expect_damage(graph, 2 * per_table, 1, "past the end of the file");
    answers = map_all(graph, &last, 1, &n);
    g_assert_cmpuint(n, ==, 1);
    expect_answer(&answers[0], STRATA_ANSWER_ABSENT, 0, 0, per_table);
}

/* A table that the file's end cuts off is damage where it is cut off. */
static void
test_truncated_l2_table(void)
{
    const guint64 per_slice = G_GUINT64_CONSTANT(8192) << 21;
    g_autoptr(Qcow2Image) image = qcow2_image_new(3, 21, 32 * per_slice, 0, 0);
    g_autoptr(StrataGraph) graph = NULL;
    g_autofree StrataAnswer *answers = NULL;
    StrataRange range = { 0, 32 * per_slice };
    gsize n;

    qcow2_image_set_entry(image, 0, 0, 0);
    g_byte_array_set_size(image->bytes, image->bytes->len - (2 << 20) + (100 << 10));
    graph = open_plain(image);
    answers = map_all(graph, &range, 1, &n);
    g_assert_cmpuint(n, ==, 1);
    expect_answer(&answers[0], STRATA_ANSWER_ABSENT, 0, 0, per_slice);
    expect_damage(graph, per_slice, 1, "past the end of the file");
}

static void
open_whole_table(StrataNode *node)
{
    g_auto(StrataSlice) slice = { 0 };

    g_assert_true(node->driver->seek_slice(node, &slice, 0, node->size, NULL));
    g_assert_cmpuint(slice.table->size, ==, 65536);
}

/* Who asks about a few clusters opens a part of the table, unless all of it is there; it tells the
 * same, and ends where the next part begins. */
static void
test_parts_of_tables(void)
{
    const guint64 cluster = 1 << 16, span = 512 * cluster;
    g_autoptr(Qcow2Image) image = plain_image(16 * span);
    g_autoptr(StrataGraph) graph = NULL;
    StrataNode *node;

    for (guint i = 0; i < 16; i++)
        qcow2_image_set_entry(image, i * span, (0x100000 + i * cluster) | COPIED, 0);
    graph = open_plain(image);
    node = strata_graph_get_top(graph);
    for (guint whole = 0; whole < 2; whole++) {
        for (guint i = 0; i < 16; i++) {
            g_auto(StrataSlice) slice = { 0 };
            StrataRange range = { i * span, 2 * cluster };
            StrataAnswer answers[4];

            g_assert_true(
                node->driver->seek_slice(node, &slice, i * span + 5, i * span + 10, NULL));
            g_assert_cmphex(slice.begin, ==, whole ? 0 : i * span);
            g_assert_cmphex(slice.end, ==, whole ? 16 * span : (i + 1) * span);
            g_assert_cmpuint(slice.table->size, ==, whole ? 65536 : 4096);
            g_assert_cmpuint(table_map(node, &range, 1, answers, 4, NULL), ==, 2);
            expect_answer(&answers[0], STRATA_ANSWER_DATA, STRATA_ROLE_FILE, 0x100000 + i * cluster,
                          cluster);
            expect_answer(&answers[1], STRATA_ANSWER_ABSENT, 0, 0, cluster);
        }
        table_cache_clear(graph->tables);
        open_whole_table(node);
    }
}

/* The driver reads what it called OWN; that this is no longer so is told. */
static void
test_reads_only_what_it_delivers(void)
{
    g_autoptr(Qcow2Image) image = plain_image(1 << 20);
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GError) error = NULL;
    StrataNode *node;
    guint8 byte;

    qcow2_image_set_entry(image, 0x30000, 0x50000 | COPIED, 0);
    graph = open_plain(image);
    node = strata_graph_get_top(graph);
    g_assert_false(node->driver->read(node, 0x30005, 1, &byte, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
    g_assert_nonnull(strstr(error->message, "guest offset 0x30005 was compressed a moment ago"));
}

/* What map() would not call DATA or OWN: a file that changed since it was asked. */
static void
test_locates_only_what_is_there(void)
{
    g_autoptr(Qcow2Image) image = plain_image(1 << 20);
    g_autoptr(StrataGraph) graph = NULL;
    const guint64 guests[] = { 0x10000, 0x20000, 0x30000 };

    qcow2_image_set_entry(image, guests[0], ZERO, 0);
    qcow2_image_set_entry(image, guests[1], 0x50000 | ZERO, 0); /* where zeros are preallocated */
    graph = open_plain(image);
    for (gsize i = 0; i < G_N_ELEMENTS(guests); i++) {
        g_autoptr(GError) error = NULL;
        StrataNode *node = strata_graph_get_top(graph);
        Qcow2Place place;

        g_assert_false(qcow2_locate(node, guests[i] + 5, 1, &place, &error));
        g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
        g_assert_nonnull(strstr(error->message, "is being written to"));
    }
}

static void
test_data_file_must_be_there(void)
{
    static const guint8 nothing[1];
    g_autoptr(Qcow2Image) with = qcow2_image_new(3, 16, 1, QCOW2_INCOMPATIBLE_DATA_FILE, 0);
    g_autoptr(Qcow2Image) without = plain_image(1);
    g_autoptr(GError) missing = NULL;
    g_autoptr(GError) unasked = NULL;

    g_assert_null(qcow2_image_open(with, NULL, NULL, &missing));
    g_assert_error(missing, STRATA_ERROR, STRATA_ERROR_SPEC);
    g_assert_nonnull(strstr(missing->message, "name it with 'data-file'"));
    g_assert_null(qcow2_image_open(without, mem_leaf_new("data", nothing, 1), NULL, &unasked));
    g_assert_error(unasked, STRATA_ERROR, STRATA_ERROR_SPEC);
    g_assert_nonnull(strstr(unasked->message, "leave 'data-file' out"));
}

static void
add_data_test(const char *group, const char *label, gconstpointer data, GTestDataFunc func)
{
    g_autofree char *path = g_strconcat("/qcow2-map/", group, "/", label, NULL);

    g_test_add_data_func(path, data, func);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(shapes); i++)
        add_data_test("random", shapes[i].label, &shapes[i], test_random_images);
    for (gsize i = 0; i < G_N_ELEMENTS(damages); i++)
        add_data_test("damage", damages[i].label, &damages[i], test_damage);
    g_test_add_func("/qcow2-map/merges-across-tables", test_merges_across_tables);
    g_test_add_func("/qcow2-map/merges-contiguous-data-only", test_merges_contiguous_data_only);
    g_test_add_func("/qcow2-map/never-merges-ranges", test_never_merges_ranges);
    g_test_add_func("/qcow2-map/data-file-offset-zero", test_data_file_offset_zero);
    g_test_add_func("/qcow2-map/damaged-l1-entry", test_damaged_l1_entry);
    g_test_add_func("/qcow2-map/truncated-l2-table", test_truncated_l2_table);
    g_test_add_func("/qcow2-map/parts-of-tables", test_parts_of_tables);
    g_test_add_func("/qcow2-map/reads-only-what-it-delivers", test_reads_only_what_it_delivers);
    g_test_add_func("/qcow2-map/locates-only-what-is-there", test_locates_only_what_is_there);
    g_test_add_func("/qcow2-map/data-file-must-be-there", test_data_file_must_be_there);
    return g_test_run();
}
