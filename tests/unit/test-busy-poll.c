/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-busy-poll.c - that it ends when something comes, when its time is over and when a processor
 * is wanted, and is left out where it was in vain. */
#include "engine/busy-poll.h"

#define LONG (60 * G_USEC_PER_SEC) /* no test lasts so long */

typedef struct {
    guint n_looks;
    guint comes_at;        /* the look that finds something; 0: none */
    Processors *filled_up; /* (nullable): all are busy from the first look on */
} Client;

static gboolean
look(gpointer data)
{
    Client *client = data;

    client->n_looks++;
    if (client->filled_up != NULL)
        client->filled_up->n_busy = client->filled_up->n;
    return client->n_looks == client->comes_at;
}

static guint
count_looks(BusyPoll *poll, const Processors *processors, guint usec, guint comes_at)
{
    Client client = { .comes_at = comes_at };

    g_assert_true(busy_poll(poll, processors, usec, look, &client) ==
                  (comes_at != 0 && client.n_looks == comes_at));
    return client.n_looks;
}

static void
test_end(void)
{
    const Processors two = { .n = 2, .n_busy = 1 };
    BusyPoll poll = { 0 };

    g_assert_cmpuint(count_looks(&poll, &two, LONG, 1), ==, 1);
    g_assert_cmpuint(count_looks(&poll, &two, LONG, 1000), ==, 1000);
    g_assert_cmpuint(count_looks(&poll, &two, 1, 0), >, 0);
}

static void
test_switched_off(void)
{
    const Processors two = { .n = 2, .n_busy = 1 };
    BusyPoll poll = { 0 };

    g_assert_cmpuint(count_looks(&poll, &two, 0, 0), ==, 0);
    g_assert_cmpuint(poll.to_skip, ==, 0);
}

/* The worker itself counts as busy: a single processor is never to spare. */
static void
test_processors(void)
{
    Processors processors = { .n = 2 };
    Client client = { .filled_up = &processors };
    BusyPoll poll = { 0 };

    busy_poll_enter(&poll, &processors);
    g_assert_cmpuint(count_looks(&poll, &processors, LONG, 1), ==, 1);
    processors_enter(&processors);
    g_assert_cmpuint(count_looks(&poll, &processors, LONG, 0), ==, 0);
    processors_leave(&processors);
    g_assert_false(busy_poll(&poll, &processors, LONG, look, &client));
    g_assert_cmpuint(client.n_looks, ==, 1);
    processors = (Processors){ .n = 1, .n_busy = 1 };
    g_assert_cmpuint(count_looks(&poll, &processors, LONG, 0), ==, 0);
    g_assert_cmpuint(poll.to_skip, ==, 0); /* none of that was in vain */
}

/* Each that has begun since the last time may want a processor again; this one itself is busy. */
static void
test_others(void)
{
    Processors processors = { .n = 3 };
    BusyPoll poll = { 0 };

    for (guint n_others = 0; n_others < 4; n_others++) {
        guint expected = n_others < 2 ? 1 : 0;

        busy_poll_enter(&poll, &processors);
        for (guint i = 0; i < n_others; i++) {
            processors_enter(&processors);
            processors_leave(&processors);
        }
        g_assert_cmpuint(count_looks(&poll, &processors, LONG, 1), ==, expected);
        g_assert_cmpuint(count_looks(&poll, &processors, LONG, 1), ==, 1);
        processors_leave(&processors);
    }
}

/* After one in vain, the number of waits until there is a poll again. */
static guint
count_skipped(BusyPoll *poll, const Processors *processors)
{
    guint n = 0;

    while (count_looks(poll, processors, LONG, 1) == 0)
        n++;
    return n;
}

static void
test_in_vain(void)
{
    static const guint skipped[] = { 1, 3, 7, 15, 31, BUSY_POLL_MOST_SKIPPED };
    const Processors two = { .n = 2, .n_busy = 1 };
    BusyPoll poll = { 0 };

    for (guint i = 0; i < G_N_ELEMENTS(skipped); i++) {
        g_assert_cmpuint(count_looks(&poll, &two, 1, 0), >, 0);
        g_assert_cmpuint(poll.to_skip, ==, skipped[i]);
        for (guint k = 0; k < skipped[i]; k++)
            g_assert_cmpuint(count_looks(&poll, &two, LONG, 1), ==, 0);
    }
    g_assert_cmpuint(count_looks(&poll, &two, 1, 0), >, 0);
    g_assert_cmpuint(count_skipped(&poll, &two), ==, BUSY_POLL_MOST_SKIPPED);
    for (guint i = 0; i < 6; i++) /* each that is not in vain halves it */
        g_assert_cmpuint(count_looks(&poll, &two, LONG, 1), ==, 1);
    g_assert_cmpuint(count_looks(&poll, &two, 1, 0), >, 0);
    g_assert_cmpuint(count_skipped(&poll, &two), ==, 1);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/busy-poll/end", test_end);
    g_test_add_func("/busy-poll/switched-off", test_switched_off);
    g_test_add_func("/busy-poll/processors", test_processors);
    g_test_add_func("/busy-poll/others", test_others);
    g_test_add_func("/busy-poll/in-vain", test_in_vain);
    return g_test_run();
}
