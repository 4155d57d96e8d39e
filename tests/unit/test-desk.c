/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-desk.c - threads that wait for clients: who is woken, and who has to watch when. */
#include "engine/desk.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define N_LISTENERS 2

/* An eventfd is as good as a listener: it can be read while clients are there. */
typedef struct {
    Desk desk;
    int fds[N_LISTENERS];
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer data)
{
    for (guint i = 0; i < N_LISTENERS; i++)
        fixture->fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    desk_init(&fixture->desk);
    desk_open(&fixture->desk, g_memdup2(fixture->fds, sizeof fixture->fds), N_LISTENERS);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    desk_close(&fixture->desk);
    desk_clear(&fixture->desk);
    for (guint i = 0; i < N_LISTENERS; i++)
        close(fixture->fds[i]);
}

static void
come(Fixture *fixture, guint listener)
{
    g_assert_cmpint(eventfd_write(fixture->fds[listener], 1), ==, 0);
}

static void
accept_client(Fixture *fixture, guint listener)
{
    eventfd_t value;

    g_assert_cmpint(eventfd_read(fixture->fds[listener], &value), ==, 0);
}

static void
enter_and_watch(Fixture *fixture)
{
    gboolean all_watched;

    g_assert_true(desk_enter(&fixture->desk, &all_watched));
    for (guint i = 0; !all_watched && i < N_LISTENERS; i++)
        desk_watch(&fixture->desk, i);
}

static void
assert_gets(Fixture *fixture, guint listener)
{
    guint got = G_MAXUINT;

    g_assert_true(desk_wait(&fixture->desk, G_MAXINT64 / 2, &got));
    g_assert_cmpuint(got, ==, listener);
}

static void
assert_gets_none(Fixture *fixture)
{
    guint got;

    g_assert_false(desk_wait(&fixture->desk, 0, &got));
}

static void
test_watched_while_somebody_waits(Fixture *fixture, gconstpointer data)
{
    gboolean all_watched = TRUE;

    g_assert_false(desk_watches(&fixture->desk, 0));
    g_assert_true(desk_enter(&fixture->desk, &all_watched));
    g_assert_false(all_watched);
    desk_watch(&fixture->desk, 0);
    g_assert_true(desk_watches(&fixture->desk, 0));
    g_assert_false(desk_watches(&fixture->desk, 1));
    g_assert_true(desk_enter(&fixture->desk, &all_watched));
    g_assert_false(all_watched);
    desk_watch(&fixture->desk, 1);
    g_assert_false(desk_leave(&fixture->desk, NULL));
    g_assert_true(desk_watches(&fixture->desk, 1));
    g_assert_true(desk_enter(&fixture->desk, &all_watched));
    g_assert_true(all_watched);
    desk_give_up(&fixture->desk, 1);
    g_assert_false(desk_watches(&fixture->desk, 1));
    g_assert_true(desk_watches(&fixture->desk, 0));
    g_assert_false(desk_leave(&fixture->desk, NULL));
    g_assert_true(desk_leave(&fixture->desk, NULL));
    g_assert_false(desk_watches(&fixture->desk, 0));
    g_assert_false(desk_was_short(&fixture->desk));
}

/* A client wakes one; those behind it wake another once the first has let it in. */
static void
test_one_is_woken(Fixture *fixture, gconstpointer data)
{
    const guint second = 1;

    enter_and_watch(fixture);
    enter_and_watch(fixture);
    assert_gets_none(fixture);
    come(fixture, 1);
    come(fixture, 1);
    assert_gets(fixture, 1);
    assert_gets_none(fixture);
    accept_client(fixture, 1);
    g_assert_false(desk_leave(&fixture->desk, &second));
    assert_gets(fixture, 1);
    accept_client(fixture, 1);
    assert_gets_none(fixture);
    g_assert_false(desk_was_short(&fixture->desk));
    g_assert_true(desk_leave(&fixture->desk, &second));
    g_assert_true(desk_was_short(&fixture->desk));
    g_assert_false(desk_was_short(&fixture->desk));
}

static void
test_next_after_one_turned_away(Fixture *fixture, gconstpointer data)
{
    enter_and_watch(fixture);
    come(fixture, 0);
    come(fixture, 0);
    assert_gets(fixture, 0);
    accept_client(fixture, 0);
    assert_gets_none(fixture);
    desk_arm(&fixture->desk, 0);
    assert_gets(fixture, 0);
    g_assert_true(desk_leave(&fixture->desk, NULL));
}

/* One that came while nobody waited here, and was let in by the owner of the desk or not. */
static void
test_watched_anew(Fixture *fixture, gconstpointer data)
{
    enter_and_watch(fixture);
    come(fixture, 0);
    assert_gets(fixture, 0);
    desk_give_up(&fixture->desk, 0);
    assert_gets_none(fixture);
    desk_watch(&fixture->desk, 0);
    assert_gets(fixture, 0);
    accept_client(fixture, 0);
    g_assert_true(desk_leave(&fixture->desk, NULL));
    come(fixture, 1);
    accept_client(fixture, 1);
    enter_and_watch(fixture);
    assert_gets_none(fixture);
    come(fixture, 1);
    assert_gets(fixture, 1);
    g_assert_true(desk_leave(&fixture->desk, NULL));
}

static gpointer
wait_and_leave(gpointer data)
{
    Fixture *fixture = data;

    assert_gets_none(fixture);
    desk_leave(&fixture->desk, NULL);
    return NULL;
}

static gpointer
wait_for_long(gpointer data)
{
    Fixture *fixture = data;
    guint got;

    g_assert_false(desk_wait(&fixture->desk, G_MAXINT64 / 2, &got));
    desk_leave(&fixture->desk, NULL);
    return NULL;
}

/* All go home, whether they wait by then or not. */
static void
test_close(Fixture *fixture, gconstpointer data)
{
    GThread *threads[DESK_MAX_WAITING];
    gboolean all_watched;

    for (guint i = 0; i < DESK_MAX_WAITING; i++) {
        enter_and_watch(fixture);
        threads[i] = g_thread_new("wait", i == 0 ? wait_and_leave : wait_for_long, fixture);
    }
    desk_close(&fixture->desk);
    g_assert_cmpuint(fixture->desk.n_waiting, ==, 0);
    g_assert_false(desk_enter(&fixture->desk, &all_watched));
    for (guint i = 0; i < DESK_MAX_WAITING; i++)
        g_thread_join(threads[i]);
}

static void
test_no_more_than_may(Fixture *fixture, gconstpointer data)
{
    gboolean all_watched;

    for (guint i = 0; i < DESK_MAX_WAITING; i++)
        enter_and_watch(fixture);
    g_assert_false(desk_enter(&fixture->desk, &all_watched));
    g_assert_false(desk_leave(&fixture->desk, NULL));
    enter_and_watch(fixture);
    for (guint i = 1; i < DESK_MAX_WAITING; i++)
        g_assert_false(desk_leave(&fixture->desk, NULL));
    g_assert_true(desk_leave(&fixture->desk, NULL));
}

/* A socket that was handed over has no listener. */
static void
test_no_listeners(void)
{
    Desk desk;
    gboolean all_watched;

    desk_init(&desk);
    g_assert_false(desk_enter(&desk, &all_watched));
    desk_open(&desk, NULL, 0);
    g_assert_false(desk_enter(&desk, &all_watched));
    desk_close(&desk);
    desk_clear(&desk);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add("/desk/" name, Fixture, NULL, set_up, func, tear_down)
    ADD("watched-while-somebody-waits", test_watched_while_somebody_waits);
    ADD("one-is-woken", test_one_is_woken);
    ADD("next-after-one-turned-away", test_next_after_one_turned_away);
    ADD("watched-anew", test_watched_anew);
    ADD("close", test_close);
    ADD("no-more-than-may", test_no_more_than_may);
#undef ADD
    g_test_add_func("/desk/no-listeners", test_no_listeners);
    return g_test_run();
}
