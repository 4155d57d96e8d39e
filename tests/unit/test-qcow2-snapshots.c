/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-qcow2-snapshots.c - the snapshot table of qcow2 images, a disk as it was, and a graph opened
 * once more at a snapshot. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "qcow2-image-tables.h"
#include "qcow2/format.h"
#include "spec.h"
#include "temp-dir.h"

#define CLUSTER_BITS 12
#define CLUSTER      (1u << CLUSTER_BITS)
#define SIZE         (1u << 20)

static const ImageSnapshot two_snapshots[] = {
    { "1", "before", SIZE / 2, 0, 16 },
    { "7", "after \xc3\xa4", SIZE, 5000000000, 24 },
};

/* Guest cluster 0 holds @byte from now on, in a new cluster of the file. */
static void
write_first_cluster(Qcow2Image *image, guint8 byte)
{
    guint64 host = qcow2_image_append(image, CLUSTER);

    memset(image->bytes->data + host, byte, CLUSTER);
    qcow2_image_set_entry(image, 0, host | QCOW2_ENTRY_COPIED, 0);
}

/* 'a' in the first cluster at both snapshots, 'z' today. */
static Qcow2Image *
image_with_two(guint64 *out_table)
{
    Qcow2Image *image = qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);
    guint64 table;

    write_first_cluster(image, 'a');
    table = qcow2_image_put_snapshots(image, two_snapshots, 2);
    write_first_cluster(image, 'z');
    if (out_table != NULL)
        *out_table = table;
    return image;
}

static const char *
put_image(TempDir *dir, const char *name, const Qcow2Image *image)
{
    const char *path = temp_dir_path(dir, name);

    g_assert_true(
        g_file_set_contents(path, (const char *)image->bytes->data, image->bytes->len, NULL));
    return path;
}

/* An empty raw file of 1 MiB that is told from others by its first byte. */
static const char *
put_raw(TempDir *dir, const char *name, guint8 byte)
{
    const char *path = temp_dir_put_hole(dir, name, SIZE);

    temp_dir_fill(dir, name, 0, SIZE, byte);
    return path;
}

static guint8
read_byte(StrataGraph *graph, guint64 offset)
{
    g_autoptr(StrataWalk) walk = strata_walk_new(strata_graph_get_top(graph));
    g_autoptr(GError) error = NULL;
    guint8 byte = 0;

    strata_walk_read(walk, offset, 1, &byte, &error);
    g_assert_no_error(error);
    return byte;
}

/* -- The table -- */

static void
test_table(void)
{
    g_autoptr(Qcow2Image) image = image_with_two(NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(StrataGraph) graph = qcow2_image_open(image, NULL, NULL, &error);
    const StrataSnapshot *snapshots;
    gsize n;

    g_assert_no_error(error);
    snapshots = strata_node_get_snapshots(strata_graph_get_top(graph), &n);
    g_assert_cmpuint(n, ==, 2);
    g_assert_cmpstr(snapshots[0].id, ==, "1");
    g_assert_cmpstr(snapshots[0].name, ==, "before");
    g_assert_cmpuint(snapshots[0].disk_size, ==, SIZE / 2);
    g_assert_cmpuint(snapshots[0].vm_state_size, ==, 0);
    g_assert_cmpint(snapshots[0].date_sec, ==, 1000000000);
    g_assert_cmpuint(snapshots[0].vm_clock_nsec, ==, 12345678901);
    g_assert_cmpstr(snapshots[1].id, ==, "7");
    g_assert_cmpstr(snapshots[1].name, ==, "after \xc3\xa4");
    g_assert_cmpuint(snapshots[1].vm_state_size, ==, 5000000000);
    g_assert_cmpuint(read_byte(graph, 0), ==, 'z');
    g_assert_cmpuint(strata_node_get_size(strata_graph_get_top(graph)), ==, SIZE);
}

/* What the extra data does not reach is told by older fields, or by the image. */
static void
test_extra_data_of_every_length(void)
{
    for (guint32 extra = 0; extra <= QCOW2_MAX_SNAPSHOT_EXTRA; extra += extra < 32 ? 1 : 124) {
        const ImageSnapshot snapshot = { "1", "s", 4096, 6000000000, extra };
        g_autoptr(Qcow2Image) image = qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);
        g_autoptr(StrataGraph) graph = NULL;
        const StrataSnapshot *found;

        qcow2_image_put_snapshots(image, &snapshot, 1);
        graph = qcow2_image_open(image, NULL, NULL, NULL);
        found = strata_node_find_snapshot(strata_graph_get_top(graph), "s");
        g_assert_nonnull(found);
        g_assert_cmpuint(found->vm_state_size, ==,
                         extra >= 8 ? 6000000000 : 6000000000 % (1ull << 32));
        g_assert_cmpuint(found->disk_size, ==, extra >= 16 ? 4096 : SIZE);
    }
}

/* An ID goes before a name, and of equal names the first is meant. */
static void
test_find(void)
{
    const ImageSnapshot snapshots[] = { { "1", "2", SIZE, 0, 16 },
                                        { "2", "same", SIZE, 0, 16 },
                                        { "3", "same", SIZE, 0, 16 } };
    g_autoptr(Qcow2Image) image = qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);
    g_autoptr(StrataGraph) graph = NULL;
    StrataNode *top;

    qcow2_image_put_snapshots(image, snapshots, 3);
    graph = qcow2_image_open(image, NULL, NULL, NULL);
    top = strata_graph_get_top(graph);
    g_assert_cmpstr(strata_node_find_snapshot(top, "2")->id, ==, "2");
    g_assert_cmpstr(strata_node_find_snapshot(top, "same")->id, ==, "2");
    g_assert_null(strata_node_find_snapshot(top, "nothing"));
}

/* A number in the header or in the table's first entry. */
typedef struct {
    const char *label;
    gboolean in_table;
    guint at;
    guint width;
    guint64 value;
    StrataError code; /* of opening a snapshot */
    const char *words;
} Damage;

static const Damage damages[] = {
    { "table-unaligned", FALSE, QCOW2_AT_SNAPSHOTS_OFFSET, 8, 512, STRATA_ERROR_DAMAGED,
      "no multiple of the cluster" },
    { "table-past-the-file", FALSE, QCOW2_AT_SNAPSHOTS_OFFSET, 8, 1ull << 40, STRATA_ERROR_DAMAGED,
      "past the end of the file" },
    { "table-at-the-end-of-numbers", FALSE, QCOW2_AT_SNAPSHOTS_OFFSET, 8, G_MAXUINT64 - 4095,
      STRATA_ERROR_DAMAGED, "past the end of the file" },
    { "too-many", FALSE, QCOW2_AT_N_SNAPSHOTS, 4, 65537, STRATA_ERROR_LIMIT, "at most 65536" },
    { "more-than-there-are", FALSE, QCOW2_AT_N_SNAPSHOTS, 4, 65536, STRATA_ERROR_LIMIT, "entry " },
    { "too-much-extra-data", TRUE, QCOW2_SNAPSHOT_AT_EXTRA_SIZE, 4, 1025, STRATA_ERROR_LIMIT,
      "at most 1024" },
    { "id-past-the-file", TRUE, QCOW2_SNAPSHOT_AT_ID_SIZE, 2, 65535, STRATA_ERROR_DAMAGED,
      "past the end of the file" },
    { "name-past-the-file", TRUE, QCOW2_SNAPSHOT_AT_NAME_SIZE, 2, 65535, STRATA_ERROR_DAMAGED,
      "past the end of the file" },
};

static void
put_damage(Qcow2Image *image, guint64 table, const Damage *damage)
{
    guint64 at = (damage->in_table ? table : 0) + damage->at;

    for (guint i = 0; i < damage->width; i++)
        image->bytes->data[at + i] = damage->value >> (damage->width - 1 - i) * 8;
}

static void
assert_has_words(const char *text, const char *words)
{
    if (text == NULL || strstr(text, words) == NULL)
        g_error("'%s' is not in '%s'", words, text);
}

/* The disk of today is there all the same; a snapshot is not. */
static void
test_damage(gconstpointer data)
{
    const Damage *damage = data;
    g_autoptr(TempDir) dir = temp_dir_new();
    guint64 table;
    g_autoptr(Qcow2Image) image = image_with_two(&table);
    const char *path;
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GVariant) description = NULL;
    g_autofree char *spec = NULL;
    const char *reason = NULL;
    guint n = 99;

    put_damage(image, table, damage);
    path = put_image(dir, "i.qcow2", image);
    graph = open_format("json:{\"driver\":\"qcow2\",\"file\":{\"filename\":\"%s\"}}", path);
    g_assert_cmpuint(read_byte(graph, 0), ==, 'z');
    description = strata_node_describe(strata_graph_get_top(graph));
    g_assert_true(g_variant_lookup(description, "snapshots", "u", &n) && n == 0);
    g_variant_lookup(description, "snapshots-damaged", "&s", &reason);
    assert_has_words(reason, damage->words);
    spec = g_strdup_printf(
        "json:{\"driver\":\"qcow2\",\"snapshot\":\"1\",\"file\":{\"filename\":\"%s\"}}", path);
    assert_open_fails(spec, NULL, damage->code, damage->words);
}

/* Many entries that are long: the table as a whole has a limit of its own, 64 MiB. */
static void
test_table_too_long(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);
    guint8 entry[QCOW2_SNAPSHOT_ENTRY] = { 0 };
    const guint64 stride = 128 * 1024 + 40 - 2;
    guint64 table = image->bytes->len;
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GVariant) description = NULL;
    const char *reason = NULL;
    const char *path;

    qcow2_image_put32(image, QCOW2_AT_N_SNAPSHOTS, 600);
    qcow2_image_put64(image, QCOW2_AT_SNAPSHOTS_OFFSET, table);
    path = put_image(dir, "i.qcow2", image);
    g_assert_cmpint(truncate(path, (off_t)(table + 601 * 131112)), ==, 0);
    memset(entry + QCOW2_SNAPSHOT_AT_ID_SIZE, 0xff, 4);
    for (guint i = 0; i < 600; i++)
        temp_dir_put_bytes(dir, "i.qcow2", table + i * ((stride + 7) / 8 * 8), (char *)entry,
                           sizeof entry);
    graph = open_format("json:{\"driver\":\"qcow2\",\"file\":{\"filename\":\"%s\"}}", path);
    description = strata_node_describe(strata_graph_get_top(graph));
    g_variant_lookup(description, "snapshots-damaged", "&s", &reason);
    assert_has_words(reason, "more than 67108864 bytes");
}

/* -- The disk of one of them -- */

static StrataGraph *
open_at(const char *path, const char *snapshot)
{
    return open_format(
        "json:{\"driver\":\"qcow2\",\"snapshot\":\"%s\",\"file\":{\"filename\":\"%s\"}}", snapshot,
        path);
}

static void
test_disk_at_a_snapshot(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = image_with_two(NULL);
    const char *path = put_image(dir, "i.qcow2", image);
    g_autoptr(StrataGraph) first = open_at(path, "1");
    g_autoptr(StrataGraph) second = open_at(path, "after \xc3\xa4");

    g_assert_cmpuint(read_byte(first, 0), ==, 'a');
    g_assert_cmpuint(strata_node_get_size(strata_graph_get_top(first)), ==, SIZE / 2);
    g_assert_cmpuint(read_byte(second, 0), ==, 'a');
    g_assert_cmpuint(strata_node_get_size(strata_graph_get_top(second)), ==, SIZE);
    g_assert_nonnull(strata_node_find_snapshot(strata_graph_get_top(second), "before"));
}

/* What a guest has written since a backup is of today, and not of the snapshot. */
static void
test_no_bitmaps_at_a_snapshot(void)
{
    const ImageBitmap bitmap = { "b", 16, 0, 0, "1" };
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = image_with_two(NULL);
    g_autoptr(StrataGraph) today = NULL, then = NULL;
    const char *path;

    qcow2_image_put_bitmaps(image, QCOW2_KNOWN_HEADER_LENGTH, &bitmap, 1);
    path = put_image(dir, "i.qcow2", image);
    today = open_format("json:{\"driver\":\"qcow2\",\"file\":{\"filename\":\"%s\"}}", path);
    then = open_at(path, "before");
    g_assert_nonnull(strata_node_find_bitmap(strata_graph_get_top(today), "b"));
    g_assert_null(strata_node_find_bitmap(strata_graph_get_top(then), "b"));
}

static void
test_l1_of_a_snapshot(void)
{
    static const struct {
        guint at, width;
        guint64 value;
        const char *words;
    } cases[] = {
        { QCOW2_SNAPSHOT_AT_L1_OFFSET, 8, 512,
          "cluster size 0x1000; it stands in the entry of snapshot '1'" },
        { QCOW2_SNAPSHOT_AT_L1_OFFSET, 8, 1ull << 40, "past the end of the file" },
        { QCOW2_SNAPSHOT_AT_L1_SIZE, 4, 0, "L1 table has 0 entries in the entry of snapshot '1'" },
        { QCOW2_SNAPSHOT_AT_L1_SIZE, 4, 1u << 30, "at most 4194304" },
        { QCOW2_SNAPSHOT_AT_DISK_SIZE, 8, 1ull << 60, "needs " },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Damage damage = { "", TRUE, cases[i].at, cases[i].width, cases[i].value, 0, NULL };
        g_autoptr(TempDir) dir = temp_dir_new();
        guint64 table;
        g_autoptr(Qcow2Image) image = image_with_two(&table);
        g_autofree char *spec = NULL;
        g_autoptr(StrataGraph) other = NULL;
        const char *path;

        put_damage(image, table, &damage);
        path = put_image(dir, "i.qcow2", image);
        spec = g_strdup_printf(
            "json:{\"driver\":\"qcow2\",\"snapshot\":\"1\",\"file\":{\"filename\":\"%s\"}}", path);
        assert_open_fails(spec, NULL, STRATA_ERROR_DAMAGED, cases[i].words);
        other = open_at(path, "7");
        g_assert_cmpuint(read_byte(other, 0), ==, 'a');
    }
}

static void
test_not_found_lists_what_there_is(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    ImageSnapshot many[12];
    char ids[12][3];
    g_autoptr(Qcow2Image) image = qcow2_image_new(3, CLUSTER_BITS, SIZE, 0, 0);
    g_autofree char *long_name = g_strnfill(60000, 'x');
    g_autofree char *spec = NULL;

    for (guint i = 0; i < 12; i++) {
        g_snprintf(ids[i], sizeof ids[i], "%u", i);
        many[i] = (ImageSnapshot){ ids[i], i == 1 ? "bell\a" : long_name, SIZE, 0, 16 };
    }
    qcow2_image_put_snapshots(image, many, 12);
    spec = g_strdup_printf("json:{\"driver\":\"qcow2\",\"snapshot\":\"no\\u0007\","
                           "\"file\":{\"filename\":\"%s\"}}",
                           put_image(dir, "i.qcow2", image));
    assert_open_fails(spec, NULL, STRATA_ERROR_NOT_FOUND, "the ID or name 'no\\x07'");
    assert_open_fails(spec, NULL, STRATA_ERROR_NOT_FOUND, "1 ('bell\\x07'), 2 ('xxxx");
    assert_open_fails(spec, NULL, STRATA_ERROR_NOT_FOUND, "xxxx') and 2 more");
}

static void
test_no_snapshots(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autofree char *spec = g_strdup_printf(
        "json:{\"driver\":\"qcow2\",\"snapshot\":\"1\",\"file\":{\"filename\":\"%s\"}}",
        temp_dir_put_qcow2(dir, "i.qcow2", NULL, NULL));

    assert_open_fails(spec, NULL, STRATA_ERROR_NOT_FOUND, "the image has no snapshots");
}

/* The data file holds the disk of today only, and its offsets are the guest's. */
static void
test_data_file(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image =
        qcow2_image_new(3, CLUSTER_BITS, SIZE, QCOW2_INCOMPATIBLE_DATA_FILE, 0);
    const char *data = put_raw(dir, "data", 'd');
    g_autoptr(StrataGraph) graph = NULL;
    g_autofree char *spec = NULL;
    const char *path;
    gsize n;

    qcow2_image_put_snapshots(image, two_snapshots, 2);
    path = put_image(dir, "i.qcow2", image);
    graph = open_format("json:{\"driver\":\"qcow2\",\"file\":{\"filename\":\"%s\"},"
                        "\"data-file\":{\"filename\":\"%s\"}}",
                        path, data);
    g_assert_null(strata_node_get_snapshots(strata_graph_get_top(graph), &n));
    spec = g_strdup_printf("json:{\"driver\":\"qcow2\",\"snapshot\":\"1\","
                           "\"file\":{\"filename\":\"%s\"},\"data-file\":{\"filename\":\"%s\"}}",
                           path, data);
    assert_open_fails(spec, NULL, STRATA_ERROR_UNSUPPORTED, "external data file");
}

static void
test_number_is_no_snapshot(void)
{
    assert_open_fails("json:{\"driver\":\"qcow2\",\"snapshot\":1,\"file\":{\"filename\":\"x\"}}",
                      NULL, STRATA_ERROR_SPEC, "\"snapshot\" is 1, expected a string");
    assert_open_fails("json:{\"driver\":\"raw\",\"snapshot\":\"1\",\"file\":{\"filename\":\"x\"}}",
                      NULL, STRATA_ERROR_SPEC, "driver \"raw\" has no key \"snapshot\"");
}

/* -- A graph opened once more -- */

static char *
list_node_names(StrataGraph *graph)
{
    GString *names = g_string_new(NULL);

    for (guint i = 0; i < strata_graph_get_n_nodes(graph); i++)
        g_string_append_printf(names, "%s%s", i > 0 ? " " : "",
                               strata_node_get_name(strata_graph_get_node(graph, i)));
    return g_string_free(names, FALSE);
}

/* An image with two snapshots whose header names @backing, a raw file. */
static const char *
put_overlay(TempDir *dir, const char *name, const char *backing)
{
    g_autoptr(Qcow2Image) image = image_with_two(NULL);

    qcow2_image_put_extension(image, QCOW2_KNOWN_HEADER_LENGTH, QCOW2_EXTENSION_BACKING_FORMAT,
                              "raw", 3);
    qcow2_image_put64(image, QCOW2_AT_BACKING_OFFSET, 1024);
    qcow2_image_put32(image, QCOW2_AT_BACKING_SIZE, strlen(backing));
    qcow2_image_put_text(image, 1024, backing);
    return put_image(dir, name, image);
}

static StrataGraph *
reopen(StrataNode *node, const char *snapshot)
{
    g_autoptr(GError) error = NULL;
    StrataGraph *graph = strata_node_open_snapshot(node, snapshot, &error);

    g_assert_no_error(error);
    return graph;
}

static void
assert_reopen_fails(StrataNode *node, const char *snapshot, StrataError code, const char *words)
{
    g_autoptr(GError) error = NULL;
    guint n_before = count_descriptors();

    g_assert_null(strata_node_open_snapshot(node, snapshot, &error));
    g_assert_error(error, STRATA_ERROR, (gint)code);
    assert_has_words(error->message, words);
    g_assert_cmpuint(count_descriptors(), ==, n_before);
}

/* Two nodes want one name, one has a name of the user's, and the window above is left out. */
static void
test_reopen_keeps_names(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *base = put_raw(dir, "1base.raw", 'b');
    const char *path = put_overlay(dir, "1base.qcow2", "1base.raw");
    g_autoptr(StrataGraph) graph =
        open_format("json:{\"driver\":\"raw\",\"offset\":512,\"file\":{\"driver\":\"qcow2\","
                    "\"node-name\":\"mine\",\"file\":{\"filename\":\"%s\"},\"backing\":"
                    "{\"driver\":\"raw\",\"file\":{\"driver\":\"raw\",\"file\":"
                    "{\"filename\":\"%s\"}}}}}",
                    path, base);
    StrataNode *mine = strata_graph_find_node(graph, "mine");
    g_autoptr(StrataGraph) then = reopen(mine, "before");
    g_autofree char *names = list_node_names(then);
    g_autofree char *all_names = list_node_names(graph);

    g_assert_cmpstr(names, ==, strchr(all_names, ' ') + 1);
    g_assert_cmpuint(read_byte(then, 0), ==, 'a');
    g_assert_cmpuint(read_byte(then, CLUSTER), ==, 'b');
    g_assert_cmpuint(strata_node_get_size(strata_graph_get_top(then)), ==, SIZE / 2);
}

/* "backing": null stays so, and so does a backing file of the user's in place of the header's. */
static void
test_reopen_keeps_children(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *other = put_raw(dir, "other.raw", 'o');
    const char *path = put_overlay(dir, "i.qcow2", "base.raw");
    g_autoptr(StrataGraph) alone = open_format(
        "json:{\"driver\":\"qcow2\",\"file\":{\"filename\":\"%s\"},\"backing\":null}", path);
    g_autoptr(StrataGraph) over_other =
        open_format("json:{\"driver\":\"qcow2\",\"file\":{\"filename\":\"%s\"},\"backing\":"
                    "{\"driver\":\"raw\",\"file\":{\"filename\":\"%s\"}}}",
                    path, other);
    g_autoptr(StrataGraph) alone_then = reopen(strata_graph_get_top(alone), "1");
    g_autoptr(StrataGraph) other_then = reopen(strata_graph_get_top(over_other), "1");

    g_assert_cmpuint(read_byte(alone_then, CLUSTER), ==, 0);
    g_assert_cmpuint(read_byte(other_then, CLUSTER), ==, 'o');
}

/* A format that was recognised is not recognised again, a name that no spec could give is kept (a
 * user's begins with a letter), and a snapshot leads to another one. */
static void
test_reopen_what_headers_name(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataGraph) then = NULL, again = NULL;
    StrataNode *base;

    put_raw(dir, "1base.raw", 'b');
    graph = open_format("%s", put_overlay(dir, "2.qcow2", "1base.raw"));
    then = reopen(strata_graph_get_top(graph), "1");
    again = reopen(strata_graph_get_top(then), "7");
    base = strata_graph_find_node(again, "1base.raw");
    g_assert_true(base && spec_is_from_header(base->spec));
    g_assert_cmpuint(read_byte(again, CLUSTER), ==, 'b');
    g_assert_cmpuint(strata_node_get_size(strata_graph_get_top(again)), ==, SIZE);
}

/* The same files as before: a backing file that a header names only now is another graph's. */
static void
test_reopen_follows_no_new_names(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = image_with_two(NULL);
    g_autoptr(StrataGraph) graph = open_format("%s", put_image(dir, "i.qcow2", image));
    g_autoptr(StrataGraph) then = NULL;
    g_autofree char *header = NULL;

    put_raw(dir, "base.raw", 'b');
    put_overlay(dir, "other.qcow2", "base.raw");
    g_assert_true(g_file_get_contents(temp_dir_path(dir, "other.qcow2"), &header, NULL, NULL));
    temp_dir_put_bytes(dir, "i.qcow2", 0, header, CLUSTER);
    then = reopen(strata_graph_get_top(graph), "1");
    g_assert_cmpuint(strata_graph_get_n_nodes(then), ==, 2);
    g_assert_cmpuint(read_byte(then, CLUSTER), ==, 0);
}

/* What is reopened are the files that are open, whatever their names lead to by now. */
static void
test_reopen_keeps_files(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(TempDir) outside = temp_dir_new();
    const char *secret = put_raw(outside, "secret.raw", 's');
    const char *base = put_raw(dir, "base.raw", 'b');
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataGraph) then = NULL, later = NULL;
    StrataNode *middle;

    g_assert_cmpint(g_mkdir(temp_dir_path(dir, "sub"), 0700), ==, 0);
    put_overlay(dir, "sub/middle.qcow2", "../base.raw");
    graph = open_format("%s", temp_dir_put_qcow2(dir, "top.qcow2", "sub/middle.qcow2", "qcow2"));
    middle = strata_graph_find_node(graph, "middle.qcow2");
    then = reopen(middle, "before");
    g_assert_cmpuint(read_byte(then, CLUSTER), ==, 'b');
    g_assert_cmpint(g_remove(base), ==, 0);
    g_assert_cmpint(symlink(secret, base), ==, 0);
    later = reopen(middle, "before");
    g_assert_cmpuint(read_byte(later, CLUSTER), ==, 'b');
}

static void
test_reopen_refuses(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(StrataGraph) graph = NULL;
    StrataNode *top;

    put_raw(dir, "base.raw", 'b');
    graph = open_format("%s", put_overlay(dir, "i.qcow2", "base.raw"));
    top = strata_graph_get_top(graph);
    assert_reopen_fails(top, "nothing", STRATA_ERROR_NOT_FOUND, "1 ('before')");
    assert_reopen_fails(strata_node_get_child(top, STRATA_ROLE_BACKING), "1",
                        STRATA_ERROR_NOT_FOUND,
                        "images of format qcow2 have them, this is \"raw\"");
}

static void
add_table_tests(void)
{
    g_test_add_func("/qcow2-snapshots/table", test_table);
    g_test_add_func("/qcow2-snapshots/extra-data-of-every-length", test_extra_data_of_every_length);
    g_test_add_func("/qcow2-snapshots/find", test_find);
    for (gsize i = 0; i < G_N_ELEMENTS(damages); i++) {
        g_autofree char *path = g_strconcat("/qcow2-snapshots/damage/", damages[i].label, NULL);

        g_test_add_data_func(path, &damages[i], test_damage);
    }
    g_test_add_func("/qcow2-snapshots/table-too-long", test_table_too_long);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_table_tests();
    g_test_add_func("/qcow2-snapshots/disk-at-a-snapshot", test_disk_at_a_snapshot);
    g_test_add_func("/qcow2-snapshots/no-bitmaps-at-a-snapshot", test_no_bitmaps_at_a_snapshot);
    g_test_add_func("/qcow2-snapshots/l1-of-a-snapshot", test_l1_of_a_snapshot);
    g_test_add_func("/qcow2-snapshots/not-found-lists-what-there-is",
                    test_not_found_lists_what_there_is);
    g_test_add_func("/qcow2-snapshots/no-snapshots", test_no_snapshots);
    g_test_add_func("/qcow2-snapshots/data-file", test_data_file);
    g_test_add_func("/qcow2-snapshots/number-is-no-snapshot", test_number_is_no_snapshot);
    g_test_add_func("/qcow2-snapshots/reopen-keeps-names", test_reopen_keeps_names);
    g_test_add_func("/qcow2-snapshots/reopen-keeps-children", test_reopen_keeps_children);
    g_test_add_func("/qcow2-snapshots/reopen-what-headers-name", test_reopen_what_headers_name);
    g_test_add_func("/qcow2-snapshots/reopen-follows-no-new-names",
                    test_reopen_follows_no_new_names);
    g_test_add_func("/qcow2-snapshots/reopen-keeps-files", test_reopen_keeps_files);
    g_test_add_func("/qcow2-snapshots/reopen-refuses", test_reopen_refuses);
    return g_test_run();
}
