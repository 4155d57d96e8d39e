/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-nbd-status.c - what the block status replies of servers mean, honest ones and others. */
#include "nbd/status.h"

#include <string.h>

#define ADD(status, index, ...)                                           \
    do {                                                                  \
        const guint32 entries[] = { __VA_ARGS__ };                        \
        remote_status_add(status, index, entries, G_N_ELEMENTS(entries)); \
    } while (0)

/* "10:1,2 20:1,3": how the contexts of a reply lie side by side. */
static char *
read_all(const RemoteStatus *status, guint n_contexts)
{
    RemoteCursor cursor = { .status = status, .n_contexts = n_contexts };
    GString *text = g_string_new(NULL);
    guint32 values[REMOTE_MAX_CONTEXTS];
    guint64 length;

    while ((length = remote_cursor_peek(&cursor, values)) > 0) {
        g_string_append_printf(text, "%s%" G_GUINT64_FORMAT ":", text->len ? " " : "", length);
        for (guint i = 0; i < n_contexts; i++)
            g_string_append_printf(text, "%s%u", i ? "," : "", values[i]);
        remote_cursor_advance(&cursor, length);
    }
    return g_string_free(text, FALSE);
}

static void
assert_reads(const RemoteStatus *status, guint n_contexts, const char *expected)
{
    g_autofree char *text = read_all(status, n_contexts);

    g_assert_cmpstr(text, ==, expected);
}

static void
test_side_by_side(void)
{
    g_auto(RemoteStatus) status = { 0 };

    remote_status_init(&status);
    ADD(&status, 0, 10, 3, 5, 3, 25, 0);
    ADD(&status, 1, 20, 1, 40, 2);
    g_assert_null(status.wrong);
    assert_reads(&status, 1, "15:3 25:0");
    assert_reads(&status, 2, "15:3,1 5:0,1 20:0,2");
    remote_status_reset(&status);
    assert_reads(&status, 2, "");
}

static void
test_extents_beyond_32_bits(void)
{
    g_auto(RemoteStatus) status = { 0 };

    remote_status_init(&status);
    ADD(&status, 0, G_MAXUINT32, 0, G_MAXUINT32, 0, 1, 3);
    assert_reads(&status, 1, "8589934590:0 1:3");
}

static void
test_context_that_says_nothing(void)
{
    g_auto(RemoteStatus) status = { 0 };

    remote_status_init(&status);
    ADD(&status, 0, 10, 3);
    assert_reads(&status, 2, "");
    g_assert_null(status.wrong);
}

static void
test_broken_replies(void)
{
    g_auto(RemoteStatus) status = { 0 };

    remote_status_init(&status);
    ADD(&status, 0, 10, 3, 0, 3);
    g_assert_cmpstr(status.wrong, ==, "it has an extent of no length");
    remote_status_reset(&status);
    g_assert_null(status.wrong);
    ADD(&status, 0, 10, 3, 10);
    g_assert_null(status.wrong);
    ADD(&status, 0, 10, 3);
    g_assert_cmpstr(status.wrong, ==, "it speaks twice of one context");
}

/* A server may send millions of extents: what is kept of them is bounded. */
static void
test_long_reply(void)
{
    const guint n_extents = 3 * REMOTE_MAX_EXTENTS;
    g_autofree guint32 *entries = g_new(guint32, 2 * n_extents);
    g_auto(RemoteStatus) status = { 0 };

    for (guint i = 0; i < n_extents; i++) {
        entries[2 * i] = 512;
        entries[2 * i + 1] = i;
    }
    remote_status_init(&status);
    remote_status_add(&status, 0, entries, 2 * n_extents);
    g_assert_null(status.wrong);
    g_assert_cmpuint(status.extents[0]->len, ==, REMOTE_MAX_EXTENTS);
}

typedef struct {
    const char *contexts; /* a letter for each: a(llocation), d(epth), j(oint) */
    guint32 values[2];
    const char *expected; /* "KIND depth layer flags", or what is wrong */
} MeaningCase;

static const MeaningCase meanings[] = {
    /* A server that only holds bytes. */
    { "a", { 0 }, "own 0 0 0" },
    { "a", { 3 }, "zero 0 0 0" },
    { "a", { 2 }, "zero 0 0 0" },
    /* A hole without zeros may hold anything. */
    { "a", { 1 }, "own 0 0 0" },
    { "a", { 0xffff0000 }, "own 0 0 0" },
    /* One that tells depth. */
    { "ad", { 0, 1 }, "own 0 0 0" },
    { "ad", { 0, 3 }, "own 2 0 0" },
    { "ad", { 3, 2 }, "zero 1 0 0" },
    { "ad", { 3, 0 }, "absent 0 0 0" },
    { "ad", { 0, 65536 }, "own 65535 0 0" },
    { "ad", { 0, 65537 }, "it tells a depth above 65536" },
    { "ad", { 3, G_MAXUINT32 }, "it tells a depth above 65536" },
    /* Claimed by nobody, and not known to be zeros: never lost. */
    { "ad", { 0, 0 }, "own 0 0 0" },
    { "ad", { 1, 0 }, "own 0 0 0" },
    { "d", { 0 }, "own 0 0 0" },
    { "d", { 2 }, "own 1 0 0" },
    /* One that tells layers: there are two. */
    { "dj", { 1, 0x104 }, "own 0 1 0" },
    { "dj", { 2, 0x204 }, "own 1 2 0" },
    { "dj", { 2, 0x207 }, "zero 1 2 0" },
    { "dj", { 0, 3 }, "absent 0 0 0" },
    { "dj", { 1, 0x10c }, "own 0 1 2" },
    { "dj", { 1, 0x114 }, "own 0 1 4" },
    { "dj", { 2, 0x227 }, "zero 1 2 8" },
    { "dj", { 0, 0x104 }, "it claims a range without a depth, or the reverse" },
    { "dj", { 1, 3 }, "it claims a range without a depth, or the reverse" },
    { "dj", { 0, 0 }, "nobody claims a range that is not zeros" },
    { "dj", { 1, 4 }, "a layer claims a range that it did not list" },
    { "dj", { 1, 0x304 }, "a layer claims a range that it did not list" },
    { "dj", { 1, 0xffffff04 }, "a layer claims a range that it did not list" },
};

static gint
index_of(const char *contexts, char letter)
{
    const char *found = strchr(contexts, letter);

    return found ? found - contexts : -1;
}

static void
test_meanings(void)
{
    static const char *const kinds[] = { "data", "own", "zero", "forward", "absent" };

    for (gsize i = 0; i < G_N_ELEMENTS(meanings); i++) {
        const MeaningCase *c = &meanings[i];
        const RemoteMeaning meaning = {
            .allocation = index_of(c->contexts, 'a'),
            .depth = index_of(c->contexts, 'd'),
            .joint = index_of(c->contexts, 'j'),
            .n_layers = 2,
        };
        StrataAnswer answer;
        const char *wrong = remote_meaning_answer(&meaning, c->values, &answer);
        g_autofree char *text = wrong ? g_strdup(wrong)
                                      : g_strdup_printf("%s %u %u %u", kinds[answer.kind],
                                                        answer.depth, answer.layer, answer.flags);

        g_test_message("%s %u %u", c->contexts, c->values[0], c->values[1]);
        g_assert_cmpstr(text, ==, c->expected);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nbd-status/side-by-side", test_side_by_side);
    g_test_add_func("/nbd-status/beyond-32-bits", test_extents_beyond_32_bits);
    g_test_add_func("/nbd-status/says-nothing", test_context_that_says_nothing);
    g_test_add_func("/nbd-status/broken", test_broken_replies);
    g_test_add_func("/nbd-status/long", test_long_reply);
    g_test_add_func("/nbd-status/meanings", test_meanings);
    return g_test_run();
}
