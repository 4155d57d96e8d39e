/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-tool-parts.c - the pure parts of the strata tool: sizes, joining extents, skipping damage.
 */
#include <damage.h>
#include <extent.h>
#include <size.h>

static void
test_sizes_are_parsed(void)
{
    static const struct {
        const char *text;
        guint64 size;
    } good[] = {
        { "0", 0 },
        { "4096", 4096 },
        { "0x1000", 4096 },
        { "64k", 65536 },
        { "64K", 65536 },
        { "10M", 10 << 20 },
        { "1b", 1 },
        { "0x10k", 16384 },
        { "15E", (guint64)15 << 60 },
        { "2T", 1LL << 41 },
        { "18446744073709551615", G_MAXUINT64 },
    };

    for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GError) error = NULL;
        guint64 size = 42;

        g_assert_true(size_parse(good[i].text, &size, &error));
        g_assert_no_error(error);
        g_assert_cmpuint(size, ==, good[i].size);
    }
}

static void
test_other_words_are_refused(void)
{
    static const char *const bad[] = { "",
                                       "k",
                                       "-1",
                                       "+1",
                                       " 1",
                                       "1.5G",
                                       "1kk",
                                       "1 k",
                                       "0x",
                                       "0x-1",
                                       "16E",
                                       "1x",
                                       "18446744073709551616" };

    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        guint64 size;

        g_assert_false(size_parse(bad[i], &size, &error));
        g_assert_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE);
    }
}

static void
test_sizes_are_readable(void)
{
    static const struct {
        guint64 size;
        const char *text;
    } cases[] = {
        { 0, "0 bytes" },          { 1, "1 byte" },        { 1023, "1023 bytes" },
        { 1024, "1 KiB" },         { 1536, "1.5 KiB" },    { 10 << 20, "10 MiB" },
        { 1048575, "1023.9 KiB" }, { 1LL << 40, "1 TiB" }, { G_MAXUINT64, "15.9 EiB" },
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = size_to_human(cases[i].size);

        g_assert_cmpstr(text, ==, cases[i].text);
    }
}

/* An ExtentSink that writes down what it gets. */
static gboolean
keep(const Extent *extent, gpointer data)
{
    g_string_append_printf(data, "%" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT ":%d/%d ",
                           extent->offset, extent->length, (int)extent->content,
                           (int)extent->layer);
    return TRUE;
}

static char *
merge(const Extent *extents, guint n_extents, gboolean by_leaf)
{
    GString *seen = g_string_new(NULL);
    ExtentMerger merger = { .by_leaf = by_leaf, .sink = keep, .data = seen };

    for (guint i = 0; i < n_extents; i++)
        g_assert_true(extent_merger_add(&extents[i], &merger));
    g_assert_true(extent_merger_flush(&merger));
    return g_string_free(seen, FALSE);
}

static void
test_alike_neighbours_join(void)
{
    StrataNode *leaf = (StrataNode *)(guintptr)8; /* only compared */
    const Extent extents[] = {
        { .offset = 0, .length = 10, .content = CONTENT_DATA, .layer = 1, .leaf = leaf },
        { .offset = 10,
          .length = 10,
          .content = CONTENT_DATA,
          .layer = 1,
          .leaf = leaf,
          .leaf_offset = 10 },
        { .offset = 20,
          .length = 10,
          .content = CONTENT_DATA,
          .layer = 1,
          .leaf = leaf,
          .leaf_offset = 50 },
        { .offset = 30,
          .length = 5,
          .content = CONTENT_DATA,
          .layer = 2,
          .leaf = leaf,
          .leaf_offset = 60 },
        { .offset = 35, .length = 5, .content = CONTENT_ERROR, .message = "a" },
        { .offset = 40, .length = 5, .content = CONTENT_ERROR, .message = "b" },
        { .offset = 45, .length = 5, .content = CONTENT_ZERO },
        { .offset = 50, .length = 5, .content = CONTENT_ZERO },
    };
    g_autofree char *plain = merge(extents, G_N_ELEMENTS(extents), FALSE);
    g_autofree char *by_leaf = merge(extents, G_N_ELEMENTS(extents), TRUE);

    g_assert_cmpstr(plain, ==, "0+30:1/1 30+5:1/2 35+5:3/0 40+5:3/0 45+10:2/0 ");
    g_assert_cmpstr(by_leaf, ==, "0+20:1/1 20+10:1/1 30+5:1/2 35+5:3/0 40+5:3/0 45+10:2/0 ");
}

/* Damage from .begin to .end, of which asking is counted. */
typedef struct {
    guint64 begin;
    guint64 end;
    guint n_probes;
} Damage;

static gboolean
probe(guint64 offset, gpointer data)
{
    Damage *damage = data;

    damage->n_probes++;
    return offset < damage->begin || offset >= damage->end;
}

static void
test_end_of_damage_is_exact(void)
{
    for (guint64 length = 1; length < 3000; length += 7) {
        Damage damage = { 100, 100 + length, 0 };
        DamageSearch search = { 512, 1000, G_MAXINT64 };

        g_assert_cmpuint(damage_find_end(&search, 100, 5000, probe, &damage), ==, 100 + length);
    }
}

static void
test_damage_to_the_end(void)
{
    Damage damage = { 0, G_MAXUINT64, 0 };
    DamageSearch search = { 512, 1000, G_MAXINT64 };

    g_assert_cmpuint(damage_find_end(&search, 0, 1, probe, &damage), ==, 1);
    g_assert_cmpuint(damage_find_end(&search, 7, 4096, probe, &damage), ==, 4096);
}

static void
test_huge_damage_is_cheap(void)
{
    Damage damage = { 0, 1LL << 62, 0 };
    DamageSearch search = { 512, 1000, G_MAXINT64 };

    g_assert_cmpuint(damage_find_end(&search, 0, G_MAXINT64, probe, &damage), ==, 1LL << 62);
    g_assert_cmpuint(damage.n_probes, <, 1200);
    g_assert_cmpuint(search.fine_steps, ==, 0);
}

static gboolean
slow_probe(guint64 offset, gpointer data)
{
    g_usleep(1000);
    return probe(offset, data);
}

/* A server that is silent must not make a map take days. */
static void
test_slow_damage_ends_the_search(void)
{
    Damage damage = { 0, 1LL << 40, 0 };
    DamageSearch search = { 512, 1000, 1 };

    g_assert_cmpuint(damage_find_end(&search, 0, 1LL << 41, slow_probe, &damage), ==, 1LL << 41);
    g_assert_cmpuint(damage.n_probes, ==, 1);
    g_assert_cmpuint(damage_find_end(&search, 0, 1LL << 41, slow_probe, &damage), ==, 1LL << 41);
    g_assert_cmpuint(damage.n_probes, ==, 1);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tool/sizes-are-parsed", test_sizes_are_parsed);
    g_test_add_func("/tool/other-words-are-refused", test_other_words_are_refused);
    g_test_add_func("/tool/sizes-are-readable", test_sizes_are_readable);
    g_test_add_func("/tool/alike-neighbours-join", test_alike_neighbours_join);
    g_test_add_func("/tool/end-of-damage-is-exact", test_end_of_damage_is_exact);
    g_test_add_func("/tool/damage-to-the-end", test_damage_to_the_end);
    g_test_add_func("/tool/huge-damage-is-cheap", test_huge_damage_is_cheap);
    g_test_add_func("/tool/slow-damage-ends-the-search", test_slow_damage_ends_the_search);
    return g_test_run();
}
