/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-nbd-cover.c - reads whose answer is whole, and those where bytes are missing or told twice.
 */
#include "nbd/cover.h"

static void
test_whole(void)
{
    g_auto(RemoteCover) cover = { 0 };

    g_assert_cmpstr(remote_cover_find_fault(&cover, 100, 50), ==,
                    "it does not tell all of the bytes");
    remote_cover_add(&cover, 120, 10);
    remote_cover_add(&cover, 140, 10);
    remote_cover_add(&cover, 100, 10);
    remote_cover_add(&cover, 125, 0); /* nothing is told, and nothing twice */
    remote_cover_add(&cover, 130, 10);
    g_assert_nonnull(remote_cover_find_fault(&cover, 100, 50));
    remote_cover_add(&cover, 110, 10);
    g_assert_null(remote_cover_find_fault(&cover, 100, 50));
    g_assert_nonnull(remote_cover_find_fault(&cover, 100, 51));
    g_assert_nonnull(remote_cover_find_fault(&cover, 99, 51));
    remote_cover_clear(&cover);
    g_assert_nonnull(remote_cover_find_fault(&cover, 100, 50));
}

/* The right number of bytes, and not the right bytes. */
static void
test_twice(void)
{
    static const guint64 begins[] = { 0, 99, 100, 105, 109 };

    for (guint i = 0; i < G_N_ELEMENTS(begins); i++) {
        g_auto(RemoteCover) cover = { 0 };

        remote_cover_add(&cover, 100, 10);
        remote_cover_add(&cover, begins[i], begins[i] ? 10 : 101);
        g_assert_cmpstr(remote_cover_find_fault(&cover, 100, 20), ==, "it tells some bytes twice");
    }
}

/* Eight chunks in many orders, the last of them missing for a while. */
static void
test_orders(void)
{
    for (guint seed = 0; seed < 2000; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        g_auto(RemoteCover) cover = { 0 };
        guint order[] = { 0, 1, 2, 3, 4, 5, 6, 7 };

        for (guint i = 7; i > 0; i--) {
            guint other = g_rand_int_range(rand, 0, i + 1), kept = order[i];

            order[i] = order[other];
            order[other] = kept;
        }
        for (guint i = 0; i < 7; i++)
            remote_cover_add(&cover, order[i] * 16, 16);
        g_assert_nonnull(remote_cover_find_fault(&cover, 0, 128));
        remote_cover_add(&cover, order[7] * 16, 16);
        g_assert_null(remote_cover_find_fault(&cover, 0, 128));
    }
}

/* Crumbs are refused before they fill the memory. */
static void
test_crumbs(void)
{
    g_auto(RemoteCover) cover = { 0 };

    for (guint i = 0; i < 100000; i++)
        remote_cover_add(&cover, 2 * i, 1);
    g_assert_cmpstr(remote_cover_find_fault(&cover, 0, 200000), ==, "it comes in too many pieces");
    g_assert_cmpuint(cover.pieces->len, <, 5000);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nbd/cover/whole", test_whole);
    g_test_add_func("/nbd/cover/twice", test_twice);
    g_test_add_func("/nbd/cover/orders", test_orders);
    g_test_add_func("/nbd/cover/crumbs", test_crumbs);
    return g_test_run();
}
