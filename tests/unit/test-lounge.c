/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-lounge.c - clients that wait without a thread: who is seen on, when, and once. */
#include "engine/lounge.h"

#include <sys/socket.h>
#include <unistd.h>

#define N_CLIENTS 100

typedef struct {
    Guest guest;
    int other_end;
    guint n_seen;
} Client;

typedef struct {
    Lounge lounge;
    Client clients[N_CLIENTS];
    guint n_room; /* how many more can be seen to */
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer data)
{
    int fds[2];

    lounge_init(&fixture->lounge);
    fixture->n_room = G_MAXUINT;
    for (guint i = 0; i < N_CLIENTS; i++) {
        Client *client = &fixture->clients[i];

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
        client->guest = (Guest){ .fd = fds[0], .client = client };
        client->other_end = fds[1];
    }
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    lounge_clear(&fixture->lounge);
    for (guint i = 0; i < N_CLIENTS; i++) {
        close(fixture->clients[i].guest.fd);
        if (fixture->clients[i].other_end >= 0)
            close(fixture->clients[i].other_end);
    }
}

static void
enter(Fixture *fixture, guint i)
{
    g_assert_true(lounge_enter(&fixture->lounge, &fixture->clients[i].guest));
}

static void
ask(Fixture *fixture, guint i)
{
    g_assert_cmpint(write(fixture->clients[i].other_end, "?", 1), ==, 1);
}

static gboolean
see_on(gpointer data, gpointer fixture_data)
{
    Fixture *fixture = fixture_data;
    Client *client = data;

    if (fixture->n_room == 0)
        return FALSE;
    fixture->n_room--;
    client->n_seen++;
    return TRUE;
}

static gboolean
look(Fixture *fixture)
{
    return lounge_look(&fixture->lounge, 0, see_on, fixture);
}

static void
assert_seen(Fixture *fixture, guint i, guint n_times)
{
    g_assert_cmpuint(fixture->clients[i].n_seen, ==, n_times);
}

static guint
count_seen(Fixture *fixture)
{
    guint n_seen = 0;

    for (guint i = 0; i < N_CLIENTS; i++)
        n_seen += fixture->clients[i].n_seen;
    return n_seen;
}

static void
test_who_asks_is_seen_on_once(Fixture *fixture, gconstpointer data)
{
    enter(fixture, 0);
    enter(fixture, 1);
    g_assert_true(look(fixture));
    g_assert_cmpuint(count_seen(fixture), ==, 0);
    ask(fixture, 1);
    g_assert_true(look(fixture));
    g_assert_true(look(fixture));
    assert_seen(fixture, 0, 0);
    assert_seen(fixture, 1, 1);
    /* What has come already counts. */
    enter(fixture, 1);
    g_assert_true(look(fixture));
    assert_seen(fixture, 1, 2);
    g_assert_false(lounge_is_empty(&fixture->lounge));
}

static void
test_who_leaves_is_seen_on(Fixture *fixture, gconstpointer data)
{
    enter(fixture, 0);
    enter(fixture, 1);
    close(fixture->clients[0].other_end);
    fixture->clients[0].other_end = -1;
    shutdown(fixture->clients[1].guest.fd, SHUT_RD);
    g_assert_true(look(fixture));
    assert_seen(fixture, 0, 1);
    assert_seen(fixture, 1, 1);
    g_assert_true(lounge_is_empty(&fixture->lounge));
}

/* None is lost, and none is seen on twice. */
static void
test_without_threads(Fixture *fixture, gconstpointer data)
{
    for (guint i = 0; i < N_CLIENTS; i++) {
        enter(fixture, i);
        ask(fixture, i);
    }
    fixture->n_room = 3;
    g_assert_false(look(fixture));
    g_assert_cmpuint(count_seen(fixture), ==, 3);
    g_assert_false(look(fixture));
    g_assert_false(lounge_is_empty(&fixture->lounge));
    fixture->n_room = N_CLIENTS;
    while (!lounge_is_empty(&fixture->lounge))
        g_assert_true(look(fixture));
    for (guint i = 0; i < N_CLIENTS; i++)
        assert_seen(fixture, i, 1);
}

static gpointer
ask_later(gpointer fixture)
{
    ask(fixture, 0);
    return NULL;
}

static void
test_wait(Fixture *fixture, gconstpointer data)
{
    GThread *thread;

    enter(fixture, 0);
    thread = g_thread_new("ask", ask_later, fixture);
    g_assert_true(lounge_look(&fixture->lounge, -1, see_on, fixture));
    assert_seen(fixture, 0, 1);
    g_thread_join(thread);
}

/* Those who are in stay until something comes from them. */
static void
test_close(Fixture *fixture, gconstpointer data)
{
    enter(fixture, 0);
    lounge_close(&fixture->lounge);
    g_assert_false(lounge_enter(&fixture->lounge, &fixture->clients[1].guest));
    g_assert_false(lounge_is_empty(&fixture->lounge));
    ask(fixture, 0);
    ask(fixture, 1);
    g_assert_true(look(fixture));
    assert_seen(fixture, 0, 1);
    assert_seen(fixture, 1, 0);
    g_assert_true(lounge_is_empty(&fixture->lounge));
}

static void
test_what_cannot_be_watched(Fixture *fixture, gconstpointer data)
{
    Guest guest = { .fd = -1 };

    g_assert_false(lounge_enter(&fixture->lounge, &guest));
    g_assert_true(lounge_is_empty(&fixture->lounge));
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*func)(Fixture *fixture, gconstpointer data);
    } tests[] = {
        { "/lounge/who-asks-is-seen-on-once", test_who_asks_is_seen_on_once },
        { "/lounge/who-leaves-is-seen-on", test_who_leaves_is_seen_on },
        { "/lounge/without-threads", test_without_threads },
        { "/lounge/wait", test_wait },
        { "/lounge/close", test_close },
        { "/lounge/what-cannot-be-watched", test_what_cannot_be_watched },
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].func, tear_down);
    return g_test_run();
}
