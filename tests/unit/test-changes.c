/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-changes.c - files that change while a graph over them is open. */
#include "changes.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include "bitmap.h"
#include "error.h"
#include "node.h"
#include "qcow2-image.h"
#include "qcow2/bitmaps.h"
#include "qcow2/compare.h"
#include "qcow2/format.h"
#include "temp-dir.h"

#define CLUSTER      512 /* the smallest: an L2 table is for 32 KiB of the disk */
#define PER_TABLE    (64 * CLUSTER)
#define DISK         (4 * PER_TABLE)
#define L1_OFFSET_AT 40

static void
expect_warning(const char *pattern)
{
    g_test_expect_message("strata", G_LOG_LEVEL_WARNING, pattern);
}

/* Writes the image over the file, which keeps its inode, and makes it look old: writing to it later
 * then gives it another time for sure. */
static void
put_image(TempDir *dir, const char *name, const Qcow2Image *image)
{
    const char *path = temp_dir_path(dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pwrite(fd, image->bytes->data, image->bytes->len, 0), ==, image->bytes->len);
    close(fd);
}

static void
make_old(TempDir *dir, const char *name, time_t second)
{
    const struct utimbuf times = { second, second };

    g_assert_cmpint(utime(temp_dir_path(dir, name), &times), ==, 0);
}

/* Looks until the files have been still long enough for their stamps to be believed. */
static void
settle(StrataGraph *graph)
{
    gint64 deadline = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;
    guint generation;

    do {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_usleep(1000);
        generation = changes_begin(graph->changes);
        changes_look(graph->changes);
    } while (changes_intervened(graph->changes, generation));
}

/* The flags of the byte at @offset, or G_MAXUINT with @error. */
static guint
flags_at(StrataGraph *graph, guint64 offset, GError **error)
{
    g_autoptr(StrataWalk) walk = strata_walk_new(strata_graph_get_top(graph));
    gsize n;
    const StrataRun *runs = strata_walk_resolve(walk, offset, 1, &n, error);

    return runs ? runs[0].flags | (runs[0].claimant ? 1u << 31 : 0) : G_MAXUINT;
}

#define CLAIMED_ZERO (STRATA_RUN_ZERO | 1u << 31)

static void
assert_flags(StrataGraph *graph, guint64 offset, guint flags)
{
    g_autoptr(GError) error = NULL;

    g_assert_cmphex(flags_at(graph, offset, &error), ==, flags);
    g_assert_no_error(error);
}

static void
assert_fails(StrataGraph *graph, guint64 offset, int code, const char *words)
{
    g_autoptr(GError) error = NULL;

    g_assert_cmphex(flags_at(graph, offset, &error), ==, G_MAXUINT);
    g_assert_error(error, STRATA_ERROR, code);
    if (!strstr(error->message, words))
        g_error("'%s' is not in the message: %s", words, error->message);
}

static void
assert_all_absent(StrataGraph *graph)
{
    g_autoptr(StrataWalk) walk = strata_walk_new(strata_graph_get_top(graph));
    gsize n;
    const StrataRun *runs = strata_walk_resolve(walk, 0, DISK, &n, NULL);

    g_assert_nonnull(runs);
    g_assert_cmpuint(n, ==, 1);
    g_assert_null(runs[0].claimant);
}

/* An image whose clusters 0 and PER_TABLE, which two tables tell of, are zero clusters. */
static Qcow2Image *
make_image(void)
{
    Qcow2Image *image = qcow2_image_new(3, 9, DISK, 0, 0);

    qcow2_image_set_entry(image, 0, QCOW2_ENTRY_ZERO, 0);
    qcow2_image_set_entry(image, PER_TABLE, QCOW2_ENTRY_ZERO, 0);
    return image;
}

static StrataGraph *
open_image(TempDir *dir, const char *name)
{
    return open_format("json:{\"driver\":\"qcow2\",\"file\":{\"filename\":\"%s\"}}",
                       temp_dir_path(dir, name));
}

/* A walk that is asked on from where it stopped tells no hole where data has been written. */
static void
test_a_hole_is_told_as_it_is(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    const char *path = temp_dir_path(dir, "a");
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataWalk) walk = NULL;
    gsize n;

    g_assert_cmpint(pwrite(fd, "a", 1, 0), ==, 1);
    g_assert_cmpint(ftruncate(fd, 1 << 20), ==, 0);
    graph = open_format("json:{\"driver\":\"raw\",\"file\":{\"filename\":\"%s\"}}", path);
    settle(graph);
    walk = strata_walk_new(strata_graph_get_top(graph));
    for (guint64 at = 1 << 16; at < 1 << 20; at += 1 << 16) {
        const StrataRun *runs;

        g_assert_nonnull(strata_walk_resolve(walk, 0, 1 << 20, &n, NULL));
        g_assert_cmpint(pwrite(fd, "b", 1, (off_t)at), ==, 1);
        runs = strata_walk_resolve(walk, at, 1, &n, NULL);
        g_assert_nonnull(runs);
        g_assert_cmphex(runs[0].flags, ==, 0);
    }
    close(fd);
}

static void
test_quiet(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = make_image();
    g_autoptr(StrataGraph) graph = NULL;
    guint generation;

    put_image(dir, "a", image);
    graph = open_image(dir, "a");
    settle(graph);
    generation = changes_begin(graph->changes);
    assert_flags(graph, 0, CLAIMED_ZERO); /* reads the file, and so changes its atime */
    changes_look(graph->changes);
    g_assert_false(changes_intervened(graph->changes, generation));
}

/* A new name or new rights change ctime and nothing else: what was remembered is dropped, and all
 * goes on. */
static void
test_attributes(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = make_image();
    g_autoptr(StrataGraph) graph = NULL;
    guint generation;

    put_image(dir, "a", image);
    graph = open_image(dir, "a");
    settle(graph);
    generation = changes_begin(graph->changes);
    g_assert_cmpint(chmod(temp_dir_path(dir, "a"), 0644), ==, 0);
    g_test_expect_message("strata", G_LOG_LEVEL_MESSAGE, "*/a changed*its attributes at 20*");
    changes_look(graph->changes);
    g_test_assert_expected_messages();
    g_assert_true(changes_intervened(graph->changes, generation));
    assert_flags(graph, 0, CLAIMED_ZERO);
}

/* The table is in the cache; what it says after the change is what the walk says. */
static void
test_cached_table_changes(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = make_image();
    g_autoptr(StrataGraph) graph = NULL;

    put_image(dir, "a", image);
    make_old(dir, "a", 1);
    graph = open_image(dir, "a");
    assert_flags(graph, 0, CLAIMED_ZERO);
    qcow2_image_set_entry(image, 0, 0, 0);
    put_image(dir, "a", image);
    expect_warning("*/a changed while it is open: its content at 20*dropped");
    changes_look(graph->changes);
    g_test_assert_expected_messages();
    assert_flags(graph, 0, STRATA_RUN_ZERO);
}

/* One line for a burst. */
static void
test_log_is_limited(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = make_image();
    g_autoptr(StrataGraph) graph = NULL;

    put_image(dir, "a", image);
    graph = open_image(dir, "a");
    expect_warning("*/a changed while it is open*");
    for (guint i = 1; i < 20; i++) {
        guint generation = changes_begin(graph->changes);

        make_old(dir, "a", i);
        changes_look(graph->changes);
        g_assert_true(changes_intervened(graph->changes, generation));
    }
    g_test_assert_expected_messages();
}

/* The table of the first cluster is in the cache, that of the second is not, and both change before
 * anybody looks. Reading the second one notices it: an answer of the old first and the new second
 * table would be of no state of the image. */
static void
test_tables_do_not_mix(void)
{
    for (guint i = 0; i < 20; i++) {
        g_autoptr(TempDir) dir = temp_dir_new();
        g_autoptr(Qcow2Image) image = make_image();
        g_autoptr(StrataGraph) graph = NULL;

        put_image(dir, "a", image);
        make_old(dir, "a", 1);
        graph = open_image(dir, "a");
        changes_begin(graph->changes);
        assert_flags(graph, 0, CLAIMED_ZERO);
        qcow2_image_set_entry(image, 0, 0, 0);
        qcow2_image_set_entry(image, PER_TABLE, 0, 0);
        put_image(dir, "a", image);
        expect_warning("*/a changed while it is open*");
        assert_all_absent(graph);
        g_test_assert_expected_messages();
    }
}

/* A header that contradicts what was opened: whoever reaches that image is told, and a layer above
 * it that supplies the range does not mind. */
static void
test_header_changes(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) base = make_image();
    g_autoptr(Qcow2Image) overlay = qcow2_image_new(3, 9, DISK, 0, 0);
    g_autoptr(StrataGraph) graph = NULL;
    guint64 l1_offset = base->l1_offset + CLUSTER;

    qcow2_image_set_entry(overlay, 0, QCOW2_ENTRY_ZERO, 0);
    put_image(dir, "overlay", overlay);
    put_image(dir, "base", base);
    make_old(dir, "base", 1);
    graph = open_format("json:{\"driver\":\"qcow2\",\"file\":{\"filename\":\"%s\"},"
                        "\"backing\":{\"driver\":\"qcow2\",\"file\":{\"filename\":\"%s\"}}}",
                        temp_dir_path(dir, "overlay"), temp_dir_path(dir, "base"));
    settle(graph);
    assert_flags(graph, PER_TABLE, CLAIMED_ZERO);
    qcow2_image_put64(base, L1_OFFSET_AT, l1_offset);
    put_image(dir, "base", base);
    expect_warning("*/base changed while it is open*");
    changes_look(graph->changes);
    g_test_assert_expected_messages();
    assert_flags(graph, 0, CLAIMED_ZERO);
    expect_warning("*the offset of its L1 table was 0x* and is 0x*; open it again");
    assert_fails(graph, PER_TABLE, STRATA_ERROR_CHANGED, "the image was changed while it was open");
    g_test_assert_expected_messages();
    assert_fails(graph, 2 * PER_TABLE, STRATA_ERROR_CHANGED, "/base");
    /* It stays so: what was read in between may be wrong. */
    qcow2_image_put64(base, L1_OFFSET_AT, base->l1_offset);
    put_image(dir, "base", base);
    changes_look(graph->changes);
    assert_fails(graph, PER_TABLE, STRATA_ERROR_CHANGED, "open it again");
}

/* A header that is wrong for a moment, as while somebody writes it, is an error for that long. */
static void
test_header_is_torn(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = make_image();
    g_autoptr(StrataGraph) graph = NULL;

    put_image(dir, "a", image);
    make_old(dir, "a", 1);
    graph = open_image(dir, "a");
    settle(graph);
    qcow2_image_put32(image, QCOW2_AT_MAGIC, 0);
    put_image(dir, "a", image);
    expect_warning("*/a changed while it is open*");
    changes_look(graph->changes);
    expect_warning("*not a qcow2 image*");
    assert_fails(graph, 0, STRATA_ERROR_DAMAGED, "not a qcow2 image");
    g_test_assert_expected_messages();
    qcow2_image_put32(image, QCOW2_AT_MAGIC, QCOW2_MAGIC);
    put_image(dir, "a", image);
    changes_look(graph->changes);
    assert_flags(graph, 0, CLAIMED_ZERO);
}

/* -- A driver that is asked whether its node holds, and does not answer at once -- */

static struct {
    GMutex lock;   /* guards all of it */
    GCond changed; /* anything */
    guint n_asked;
    guint n_failures;    /* how many of the next questions fail */
    gboolean is_blocked; /* does not answer while it is set */
} asked;

static gboolean
fake_still_holds(StrataNode *node, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&asked.lock);
    gint64 deadline = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;

    asked.n_asked++;
    g_cond_broadcast(&asked.changed);
    while (asked.is_blocked && g_cond_wait_until(&asked.changed, &asked.lock, deadline))
        ;
    if (asked.n_failures == 0)
        return TRUE;
    asked.n_failures--;
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_REMOTE, "the server is away");
    return FALSE;
}

/* The node becomes one of a driver that answers so. */
static void
fake_driver(StrataNode *node)
{
    static StrataDriver driver; /* lives as long as any graph */

    driver = *node->driver;
    driver.still_holds = fake_still_holds;
    node->driver = &driver;
    asked.n_asked = asked.n_failures = 0;
    asked.is_blocked = FALSE;
}

/* A header that cannot be read is asked for again, though no file of ours changes any more. */
static void
test_storage_is_away(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = make_image();
    g_autoptr(StrataGraph) graph = NULL;
    gint64 deadline = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;

    put_image(dir, "a", image);
    graph = open_image(dir, "a");
    settle(graph);
    fake_driver(strata_graph_get_top(graph));
    asked.n_failures = 2;
    make_old(dir, "a", 1);
    expect_warning("*/a changed while it is open*");
    expect_warning("the server is away");
    changes_look(graph->changes);
    settle(graph);
    assert_fails(graph, 0, STRATA_ERROR_REMOTE, "the server is away");
    g_test_assert_expected_messages();
    assert_fails(graph, 0, STRATA_ERROR_REMOTE, "the server is away");
    while (flags_at(graph, 0, NULL) == G_MAXUINT) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_usleep(1000);
    }
    assert_flags(graph, 0, CLAIMED_ZERO);
    g_assert_cmpuint(asked.n_asked, ==, 3);
}

static gpointer
resolve_first(gpointer graph)
{
    assert_flags(graph, 0, CLAIMED_ZERO);
    return NULL;
}

/* Whoever needs nothing of a node does not wait until its header has been read again. */
static void
test_only_readers_of_a_node_wait(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = make_image();
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(StrataWalk) walk = NULL;
    GThread *threads[2];
    gsize n;

    put_image(dir, "overlay", image);
    put_image(dir, "base", image);
    graph = open_format("json:{\"driver\":\"qcow2\",\"file\":{\"filename\":\"%s\"},"
                        "\"backing\":{\"driver\":\"qcow2\",\"node-name\":\"base\","
                        "\"file\":{\"filename\":\"%s\"}}}",
                        temp_dir_path(dir, "overlay"), temp_dir_path(dir, "base"));
    settle(graph);
    fake_driver(strata_graph_get_top(graph));
    asked.is_blocked = TRUE;
    make_old(dir, "overlay", 1);
    expect_warning("*/overlay changed while it is open*");
    changes_look(graph->changes);
    g_test_assert_expected_messages();
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("resolve", resolve_first, graph);
    g_mutex_lock(&asked.lock);
    while (asked.n_asked == 0)
        g_cond_wait(&asked.changed, &asked.lock);
    g_assert_true(asked.is_blocked);
    g_mutex_unlock(&asked.lock);

    walk = strata_walk_new(strata_graph_find_node(graph, "base"));
    g_assert_nonnull(strata_walk_resolve(walk, 0, DISK, &n, NULL));
    changes_look(graph->changes); /* nor does who looks */

    g_mutex_lock(&asked.lock);
    g_assert_cmpuint(asked.n_asked, ==, 1);
    asked.is_blocked = FALSE;
    g_cond_broadcast(&asked.changed);
    g_mutex_unlock(&asked.lock);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
}

static struct {
    GMutex lock;   /* guards all of it */
    GCond changed; /* anything */
    gboolean is_logging;
    gboolean may_end;
} slow_log;

static void
log_slowly(const char *domain, GLogLevelFlags level, const char *message, gpointer data)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&slow_log.lock);
    gint64 deadline = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;

    slow_log.is_logging = TRUE;
    g_cond_broadcast(&slow_log.changed);
    while (!slow_log.may_end && g_cond_wait_until(&slow_log.changed, &slow_log.lock, deadline))
        ;
    g_assert_true(slow_log.may_end);
}

static gpointer
look_once(gpointer graph)
{
    changes_look(((StrataGraph *)graph)->changes);
    return NULL;
}

/* A reader of the log that is slow keeps nobody from noticing the change that is told there. */
static void
test_slow_log(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = make_image();
    g_autoptr(StrataGraph) graph = NULL;
    GLogLevelFlags fatal = g_log_set_fatal_mask("strata", G_LOG_FATAL_MASK);
    GLogLevelFlags always = g_log_set_always_fatal(G_LOG_FATAL_MASK);
    guint handler = g_log_set_handler("strata", G_LOG_LEVEL_MASK, log_slowly, NULL);
    GThread *thread;

    put_image(dir, "a", image);
    make_old(dir, "a", 1);
    graph = open_image(dir, "a");
    settle(graph);
    assert_flags(graph, 0, CLAIMED_ZERO); /* its table is in the cache, the other is not */
    qcow2_image_set_entry(image, 0, 0, 0);
    qcow2_image_set_entry(image, PER_TABLE, 0, 0);
    put_image(dir, "a", image);
    thread = g_thread_new("look", look_once, graph);
    g_mutex_lock(&slow_log.lock);
    while (!slow_log.is_logging)
        g_cond_wait(&slow_log.changed, &slow_log.lock);
    g_mutex_unlock(&slow_log.lock);
    assert_all_absent(graph);
    changes_look(graph->changes);
    g_mutex_lock(&slow_log.lock);
    slow_log.may_end = TRUE;
    g_cond_broadcast(&slow_log.changed);
    g_mutex_unlock(&slow_log.lock);
    g_thread_join(thread);
    g_log_remove_handler("strata", handler);
    g_log_set_always_fatal(always);
    g_log_set_fatal_mask("strata", fatal);
}

static void
add_bitmaps(StrataNode *node, gboolean from_behind)
{
    for (guint i = 0; i < QCOW2_MAX_BITMAPS; i++) {
        guint n = from_behind ? QCOW2_MAX_BITMAPS - 1 - i : i;
        g_autofree char *name = g_strdup_printf("%0100u", n);
        StrataBitmap *bitmap = bitmap_add(node, name);
        Qcow2BitmapPlace *place = g_new0(Qcow2BitmapPlace, 1);

        place->table_offset = n;
        bitmap->data = place;
        bitmap->free_data = g_free;
    }
}

/* As many bitmaps as an image may have, in another order, are compared in less than a second or
 * two: two billion comparisons of names would take much longer. */
static void
test_many_bitmaps(void)
{
    StrataNode before = { .name = (char *)"before" }, now = { .name = (char *)"now" };
    gint64 began;

    add_bitmaps(&before, FALSE);
    add_bitmaps(&now, TRUE);
    ((StrataBitmap *)now.bitmaps->pdata[0])->granularity = 512;
    began = g_get_monotonic_time();
    qcow2_compare_bitmaps(&before, now.bitmaps);
    g_assert_cmpint(g_get_monotonic_time() - began, <, 5 * G_USEC_PER_SEC);
    for (guint i = 0; i < before.bitmaps->len; i++) {
        const StrataBitmap *bitmap = before.bitmaps->pdata[i];

        if (i + 1 < before.bitmaps->len)
            g_assert_no_error(bitmap->fault);
        else
            g_assert_error(bitmap->fault, STRATA_ERROR, STRATA_ERROR_CHANGED);
    }
    g_ptr_array_unref(before.bitmaps);
    g_ptr_array_unref(now.bitmaps);
}

/* What a running guest does: the file grows, and its header says nothing else. */
static void
test_file_grows(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = make_image();
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GError) error = NULL;

    put_image(dir, "a", image);
    graph = open_image(dir, "a");
    settle(graph);
    qcow2_image_set_entry(image, 3 * PER_TABLE, QCOW2_ENTRY_ZERO, 0); /* makes a table */
    put_image(dir, "a", image);
    expect_warning("*its size from * to * bytes*what was added is not read until*");
    changes_look(graph->changes);
    g_test_assert_expected_messages();
    assert_flags(graph, 0, CLAIMED_ZERO);
    g_assert_cmphex(flags_at(graph, 3 * PER_TABLE, &error), ==, G_MAXUINT);
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
}

typedef struct {
    StrataGraph *graph;
    gint ended; /* atomic */
} Shared;

static gpointer
resolve_all_the_time(gpointer data)
{
    Shared *shared = data;
    g_autoptr(StrataWalk) walk = strata_walk_new(strata_graph_get_top(shared->graph));

    while (!g_atomic_int_get(&shared->ended)) {
        g_autoptr(GError) error = NULL;
        gsize n;

        g_assert_nonnull(strata_walk_resolve(walk, 0, DISK, &n, &error));
        g_assert_no_error(error);
    }
    return NULL;
}

static void
test_threads(void)
{
    g_autoptr(TempDir) dir = temp_dir_new();
    g_autoptr(Qcow2Image) image = make_image();
    g_autoptr(StrataGraph) graph = NULL;
    GThread *threads[3];
    Shared shared = { 0 };

    put_image(dir, "a", image);
    graph = open_image(dir, "a");
    shared.graph = graph;
    expect_warning("*/a changed while it is open*");
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("resolve", resolve_all_the_time, &shared);
    for (guint i = 1; i < 300; i++) {
        make_old(dir, "a", i);
        changes_look(graph->changes);
    }
    g_atomic_int_set(&shared.ended, TRUE);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_test_assert_expected_messages();
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/changes/a-hole-is-told-as-it-is", test_a_hole_is_told_as_it_is);
    g_test_add_func("/changes/quiet", test_quiet);
    g_test_add_func("/changes/attributes", test_attributes);
    g_test_add_func("/changes/cached-table-changes", test_cached_table_changes);
    g_test_add_func("/changes/log-is-limited", test_log_is_limited);
    g_test_add_func("/changes/tables-do-not-mix", test_tables_do_not_mix);
    g_test_add_func("/changes/header-changes", test_header_changes);
    g_test_add_func("/changes/header-is-torn", test_header_is_torn);
    g_test_add_func("/changes/storage-is-away", test_storage_is_away);
    g_test_add_func("/changes/only-readers-of-a-node-wait", test_only_readers_of_a_node_wait);
    g_test_add_func("/changes/slow-log", test_slow_log);
    g_test_add_func("/changes/many-bitmaps", test_many_bitmaps);
    g_test_add_func("/changes/file-grows", test_file_grows);
    g_test_add_func("/changes/threads", test_threads);
    return g_test_run();
}
