/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-turnstile.c - that turns go round between peers and connections, and that those who stop,
 * and those who do not come back, keep nobody waiting. */
#include "engine/turnstile.h"

#include <string.h>

/* Somebody who waits in a thread of its own, notes its turn, and ends it. */
typedef struct {
    TurnTaker *taker;
    GString *order; /* (nullable): there is one place, so one at a time notes its turn */
    char letter;
    gboolean was_given;
    GThread *thread;
} Waiter;

static gboolean
is_set(gpointer data)
{
    return g_atomic_int_get((gint *)data);
}

static gpointer
take_turn(gpointer data)
{
    Waiter *waiter = data;
    Turn turn;

    waiter->was_given = turn_begin(&turn, waiter->taker);
    if (waiter->was_given && waiter->order != NULL)
        g_string_append_c(waiter->order, waiter->letter);
    turn_end(&turn);
    return NULL;
}

static guint
count_waiting(TurnTaker *taker)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&taker->turnstile->lock);

    return taker->waiting.length;
}

/* Returns when it waits. */
static void
start(Waiter *waiter, TurnTaker *taker, char letter, GString *order)
{
    guint before = count_waiting(taker);

    *waiter = (Waiter){ .taker = taker, .order = order, .letter = letter };
    waiter->thread = g_thread_new("waiter", take_turn, waiter);
    while (count_waiting(taker) == before)
        g_usleep(100);
}

/* As if the turn had been given so long ago. Those who wait look at it. */
static void
make_old(Turn *turn, gint64 usec)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&turn->taker->turnstile->lock);

    turn->since = g_get_monotonic_time() - usec;
}

/* However long this machine takes for what follows, the turn is within its slice, and nobody counts
 * it out. */
static void
keep_new(Turn *turn)
{
    make_old(turn, -G_TIME_SPAN_HOUR);
}

/* Has the only place for as long as it likes. */
static void
hold(Turnstile *turnstile, Turn *turn, TurnTaker *taker)
{
    turnstile_init(turnstile, 1);
    g_assert_true(turn_begin(turn, taker));
    keep_new(turn);
}

static void
give_up(Turnstile *turnstile, Turn *turn, Waiter *waiters, guint n)
{
    turn_end(turn);
    for (guint i = 0; i < n; i++)
        g_thread_join(waiters[i].thread);
    g_assert_cmpuint(turnstile->n_inside, ==, 0);
    g_assert_null(turnstile->guard);
    g_assert_cmpuint(g_hash_table_size(turnstile->names), ==, 0);
    turnstile_clear(turnstile);
}

/* The order is that of the turns that are given, which is told by those who have them: a place that
 * is held until the waiter has noted its letter. */
static void
test_round(void)
{
    gint unwanted = FALSE;
    Turnstile turnstile;
    TurnTaker holder, a, b, c;
    Waiter waiters[8];
    g_autoptr(GString) order = g_string_new(NULL);
    Turn turn;

    turn_taker_init(&holder, &turnstile, "here", is_set, &unwanted);
    turn_taker_init(&a, &turnstile, "one", is_set, &unwanted);
    turn_taker_init(&b, &turnstile, "one", is_set, &unwanted);
    turn_taker_init(&c, &turnstile, "two", is_set, &unwanted);
    hold(&turnstile, &turn, &holder);
    for (guint i = 0; i < 4; i++)
        start(&waiters[i], &a, 'a', order);
    start(&waiters[4], &b, 'b', order);
    start(&waiters[5], &b, 'b', order);
    start(&waiters[6], &c, 'c', order);
    start(&waiters[7], &c, 'c', order);
    give_up(&turnstile, &turn, waiters, 8);
    /* Peers in turn; of one peer, its connections in turn. */
    g_assert_cmpstr(order->str, ==, "acbcabaa");
    turn_taker_clear(&holder);
    turn_taker_clear(&a);
    turn_taker_clear(&b);
    turn_taker_clear(&c);
}

/* Nobody waits where there is room, and a slice that is over goes on if nobody waits. */
static void
test_uncontended(void)
{
    gint unwanted = TRUE; /* which counts only for those who wait */
    Turnstile turnstile;
    TurnTaker taker;
    Turn one, two, none;

    turnstile_init(&turnstile, 2);
    turn_taker_init(&taker, &turnstile, "here", is_set, &unwanted);
    g_assert_true(turn_begin(&one, &taker));
    g_assert_true(turn_begin(&two, &taker));
    g_assert_false(turn_begin(&none, &taker));
    turn_end(&none);
    make_old(&one, TURNSTILE_SLICE_USEC);
    g_assert_true(turn_continue(&one, &taker));
    turn_end(&one);
    turn_end(&one);
    turn_end(&two);
    g_assert_true(turn_begin(&none, NULL));
    g_assert_true(turn_continue(&none, NULL));
    turn_end(&none);
    g_assert_cmpuint(turnstile.n_inside, ==, 0);
    turn_taker_clear(&taker);
    turnstile_clear(&turnstile);
}

/* Work that lasts gives way after a slice, and comes back. */
static void
test_slices(void)
{
    gint unwanted = FALSE;
    Turnstile turnstile;
    TurnTaker taker, other;
    Waiter waiter;
    g_autoptr(GString) order = g_string_new(NULL);
    Turn turn;

    turn_taker_init(&taker, &turnstile, "here", is_set, &unwanted);
    turn_taker_init(&other, &turnstile, "here", is_set, &unwanted);
    hold(&turnstile, &turn, &taker);
    start(&waiter, &other, 'o', order);
    g_assert_true(turn_continue(&turn, &taker)); /* the slice is not over */
    make_old(&turn, TURNSTILE_SLICE_USEC);
    g_assert_true(turn_continue(&turn, &taker));
    g_assert_cmpstr(order->str, ==, "o");
    give_up(&turnstile, &turn, &waiter, 1);
    turn_taker_clear(&taker);
    turn_taker_clear(&other);
}

/* Who does not want to wait is told, and then waits in his place or goes on; nobody has two. */
static void
test_tries(void)
{
    gint unwanted = FALSE;
    Turnstile turnstile;
    TurnTaker taker, other;
    Turn held, turn = { 0 };

    turn_taker_init(&taker, &turnstile, "here", is_set, &unwanted);
    turn_taker_init(&other, &turnstile, "there", is_set, &unwanted);
    hold(&turnstile, &held, &other); /* the only place */
    g_assert_false(turn_try(&turn, &taker));
    g_assert_cmpuint(turnstile.n_inside, ==, 1);
    turn_end(&held);
    g_assert_true(turn_try(&turn, &taker));
    keep_new(&turn);
    g_assert_true(turn_try(&turn, &taker));
    g_assert_cmpuint(turnstile.n_inside, ==, 1);
    make_old(&turn, TURNSTILE_SLICE_USEC);
    g_assert_false(turn_try(&turn, &taker)); /* he has it still, but for too long */
    g_assert_cmpuint(turnstile.n_inside, ==, 1);
    g_assert_true(turn_continue(&turn, &taker));
    keep_new(&turn);
    g_assert_true(turn_try(&turn, &taker));
    turn_end(&turn);
    g_assert_cmpuint(turnstile.n_inside, ==, 0);
    turn_taker_clear(&taker);
    turn_taker_clear(&other);
    turnstile_clear(&turnstile);
}

/* A connection that stops waits no longer, and the others do. */
static void
test_stop(void)
{
    gint unwanted = FALSE, stopped = FALSE;
    Turnstile turnstile;
    TurnTaker taker, stopping;
    Waiter waiters[3];
    g_autoptr(GString) order = g_string_new(NULL);
    Turn turn;

    turn_taker_init(&taker, &turnstile, "here", is_set, &unwanted);
    turn_taker_init(&stopping, &turnstile, "there", is_set, &stopped);
    hold(&turnstile, &turn, &taker);
    start(&waiters[0], &stopping, 's', order);
    start(&waiters[1], &stopping, 's', order);
    start(&waiters[2], &taker, 't', order);
    g_atomic_int_set(&stopped, TRUE);
    turn_taker_wake(&stopping);
    while (count_waiting(&stopping) > 0)
        g_usleep(100);
    g_assert_cmpuint(count_waiting(&taker) + (guint)order->len, ==, 1);
    give_up(&turnstile, &turn, waiters, 3);
    g_assert_false(waiters[0].was_given);
    g_assert_false(waiters[1].was_given);
    g_assert_cmpstr(order->str, ==, "t");
    turn_taker_clear(&taker);
    turn_taker_clear(&stopping);
}

/* Who does not come back is counted out, once, and waits for a place when it does. */
static void
test_stuck(void)
{
    gint unwanted = FALSE;
    Turnstile turnstile;
    TurnTaker stuck, taker;
    Waiter waiters[2];
    g_autoptr(GString) order = g_string_new(NULL);
    Turn turn;

    turn_taker_init(&stuck, &turnstile, "here", is_set, &unwanted);
    turn_taker_init(&taker, &turnstile, "here", is_set, &unwanted);
    hold(&turnstile, &turn, &stuck);
    start(&waiters[0], &taker, 'x', order);
    start(&waiters[1], &taker, 'y', order);
    make_old(&turn, TURNSTILE_STUCK_USEC);
    g_thread_join(waiters[0].thread);
    g_thread_join(waiters[1].thread);
    g_assert_cmpstr(order->str, ==, "xy");
    g_assert_true(turn.is_out);
    g_assert_cmpuint(turnstile.n_inside, ==, 0);
    g_assert_true(turn_continue(&turn, &stuck));
    g_assert_false(turn.is_out);
    g_assert_cmpuint(turnstile.n_inside, ==, 1);
    give_up(&turnstile, &turn, NULL, 0);
    turn_taker_clear(&stuck);
    turn_taker_clear(&taker);
}

/* The same where another place is in use all the time, so that no guard waits for long. */
static void
test_stuck_beside_others(void)
{
    gint unwanted = FALSE;
    Turnstile turnstile;
    TurnTaker stuck, taker;
    Waiter waiters[2];
    Turn lost, turn;

    turnstile_init(&turnstile, 2);
    turn_taker_init(&stuck, &turnstile, "here", is_set, &unwanted);
    turn_taker_init(&taker, &turnstile, "here", is_set, &unwanted);
    g_assert_true(turn_begin(&lost, &stuck));
    g_assert_true(turn_begin(&turn, &taker));
    keep_new(&lost);
    keep_new(&turn);
    start(&waiters[0], &taker, 'x', NULL);
    start(&waiters[1], &taker, 'y', NULL);
    make_old(&lost, TURNSTILE_STUCK_USEC);
    turn_end(&turn);
    g_thread_join(waiters[0].thread);
    g_thread_join(waiters[1].thread);
    g_assert_true(lost.is_out);
    give_up(&turnstile, &lost, NULL, 0);
    turn_taker_clear(&stuck);
    turn_taker_clear(&taker);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/turnstile/uncontended", test_uncontended);
    g_test_add_func("/turnstile/round", test_round);
    g_test_add_func("/turnstile/slices", test_slices);
    g_test_add_func("/turnstile/tries", test_tries);
    g_test_add_func("/turnstile/stop", test_stop);
    g_test_add_func("/turnstile/stuck", test_stuck);
    g_test_add_func("/turnstile/stuck-beside-others", test_stuck_beside_others);
    return g_test_run();
}
