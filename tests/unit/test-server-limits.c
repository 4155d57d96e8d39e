/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-server-limits.c - how fast clients come in, how many there may be, and what memory their
 * requests take. */
#include "engine/account.h"
#include "engine/crowd.h"
#include "engine/door.h"

#include <string.h>

#define SECOND G_TIME_SPAN_SECOND
#define MIB    ((guint64)1024 * 1024)

static void
take_all(Door *door, gint64 now)
{
    for (guint i = 0; i < DOOR_TOKENS_MAX; i++) {
        g_assert_cmpint(door_opens_at(door, now), <=, now);
        door_take_token(door);
    }
    g_assert_cmpint(door_opens_at(door, now), >, now);
}

static void
test_door(void)
{
    Door door;
    gint64 now, opens_at;

    door_init(&door);
    now = door.tokens.filled_at;
    take_all(&door, now);
    opens_at = door_opens_at(&door, now);
    g_assert_cmpint(opens_at, <, now + SECOND / 10);
    g_assert_cmpint(door_opens_at(&door, now), ==, opens_at); /* it does not rest for longer */
    g_assert_cmpint(door_opens_at(&door, opens_at), <=, opens_at);
    /* Later there are as many tokens again; and not more, ever. */
    take_all(&door, now + 100 * SECOND);
    door_clear(&door);
}

/* Clients that come to be served are never slowed. */
static void
test_door_of_good_clients(void)
{
    Door door;
    gint64 now;

    door_init(&door);
    now = door.tokens.filled_at;
    for (guint i = 0; i < 100000; i++) {
        g_assert_cmpint(door_opens_at(&door, now), <=, now);
        door_take_token(&door);
        door_give_back(&door);
    }
    door_clear(&door);
}

static Peer
make_peer(PeerKind kind, const char *host)
{
    Peer peer = { .kind = kind, .host = (char *)host };

    if (kind == PEER_TCP)
        g_assert_true(inet_address_parse(host, &peer.inet));
    return peer;
}

static void
assert_enters(Crowd *crowd, PeerKind kind, const char *host, const char *refusal)
{
    Peer peer = make_peer(kind, host);
    g_autofree char *sentence = NULL;
    RefusedReason reason = crowd_enter(crowd, &peer, crowd->tokens[0].filled_at, &sentence);

    if (refusal == NULL) {
        g_assert_cmpint(reason, ==, REFUSED_NONE);
    } else {
        g_assert_cmpint(reason, !=, REFUSED_NONE);
        g_assert_nonnull(strstr(sentence, refusal));
    }
}

static void
leave(Crowd *crowd, PeerKind kind, const char *host)
{
    Peer peer = make_peer(kind, host);

    crowd_leave(crowd, &peer);
}

static void
test_crowd(void)
{
    StrataEngineLimits limits = { .max_connections = 7,
                                  .max_connections_per_peer = 2,
                                  .are_options = TRUE };
    Crowd crowd;

    crowd_init(&crowd, &limits);
    assert_enters(&crowd, PEER_TCP, "192.0.2.1", NULL);
    assert_enters(&crowd, PEER_TCP, "192.0.2.1", NULL);
    assert_enters(&crowd, PEER_TCP, "192.0.2.1",
                  "2 connections from 192.0.2.1 already "
                  "(--max-connections-per-peer)");
    assert_enters(&crowd, PEER_TCP, "192.0.2.2", NULL);
    leave(&crowd, PEER_TCP, "192.0.2.1");
    assert_enters(&crowd, PEER_TCP, "192.0.2.1", NULL);
    for (guint i = 0; i < 4; i++) /* users of this machine have a limit of their own */
        assert_enters(&crowd, PEER_UNIX, "unix uid 1000", NULL);
    assert_enters(&crowd, PEER_UNIX, "unix uid 1000", "7 connections already (--max-connections)");
    limits.max_connections_per_user = 4;
    leave(&crowd, PEER_TCP, "192.0.2.2");
    assert_enters(&crowd, PEER_UNIX, "unix uid 1000", "4 connections from unix uid 1000 already");
    assert_enters(&crowd, PEER_UNIX, "unix uid 1001", NULL);
    crowd_clear(&crowd);
}

/* All addresses of an IPv6 network are one peer, those of this machine and of its links are not. */
static void
test_crowd_of_ipv6(void)
{
    StrataEngineLimits limits = { .max_connections_per_peer = 1 };
    Crowd crowd;

    crowd_init(&crowd, &limits);
    assert_enters(&crowd, PEER_TCP, "2001:db8:0:1::1", NULL);
    assert_enters(&crowd, PEER_TCP, "2001:db8:0:1:ffff::2", "from 2001:db8:0:1::/64 already");
    assert_enters(&crowd, PEER_TCP, "2001:db8:0:2::1", NULL);
    assert_enters(&crowd, PEER_TCP, "fe80::1", NULL);
    assert_enters(&crowd, PEER_TCP, "fe80::2", NULL);
    crowd_clear(&crowd);
}

/* Comes and goes, @n times at the time @now; returns how often it was let in. */
static guint
come_and_go(Crowd *crowd, const char *host, guint n, gint64 now)
{
    Peer peer = make_peer(PEER_TCP, host);
    guint n_let_in = 0;

    for (guint i = 0; i < n; i++) {
        g_autofree char *sentence = NULL;
        RefusedReason reason = crowd_enter(crowd, &peer, now, &sentence);

        if (reason == REFUSED_NONE)
            crowd_leave(crowd, &peer);
        else
            g_assert_cmpint(reason, ==, REFUSED_RATE);
        n_let_in += reason == REFUSED_NONE;
    }
    return n_let_in;
}

/* A peer that comes to nothing again and again is turned away, others are not, a whole IPv6 network
 * is one; and who is served comes as often as it likes. */
static void
test_crowd_of_floods(void)
{
    StrataEngineLimits limits = { .max_connections = 7 };
    gint64 now;
    Crowd crowd;

    crowd_init(&crowd, &limits);
    crowd.seed = 1; /* under which these peers do not share */
    now = crowd.tokens[0].filled_at;
    g_assert_cmpuint(come_and_go(&crowd, "192.0.2.1", 5000, now), ==, CROWD_TOKENS_MAX);
    g_assert_cmpuint(come_and_go(&crowd, "192.0.2.2", 10, now), ==, 10);
    g_assert_cmpuint(come_and_go(&crowd, "2001:db8::1", 700, now), ==, 700);
    g_assert_cmpuint(come_and_go(&crowd, "2001:db8::2", 700, now), ==, CROWD_TOKENS_MAX - 700);
    now += SECOND;
    g_assert_cmpuint(come_and_go(&crowd, "192.0.2.1", 5000, now), ==, CROWD_TOKENS_PER_SECOND);
    for (guint i = 0; i < 5000; i++) {
        Peer peer = make_peer(PEER_TCP, "192.0.2.3");
        g_autofree char *sentence = NULL;

        g_assert_cmpint(crowd_enter(&crowd, &peer, now, &sentence), ==, REFUSED_NONE);
        crowd_serve(&crowd, &peer);
        crowd_leave(&crowd, &peer);
    }
    crowd_clear(&crowd);
}

typedef struct {
    Account account;
    gint n_taken; /* atomic: by threads */
} Waiters;

static gpointer
take_two(gpointer data)
{
    Waiters *waiters = data;

    account_take(&waiters->account, 2 * MIB);
    g_atomic_int_inc(&waiters->n_taken);
    account_give_back(&waiters->account, 2 * MIB);
    return NULL;
}

static void
test_account(void)
{
    Waiters waiters = { .n_taken = 0 };
    GThread *threads[4];

    account_init(&waiters.account, 4 * MIB);
    account_take(&waiters.account, 100 * MIB); /* alone, it may */
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("waiter", take_two, &waiters);
    account_take(&waiters.account, 0); /* who needs nothing waits for nothing */
    g_usleep(20000);
    g_assert_cmpint(g_atomic_int_get(&waiters.n_taken), ==, 0);
    account_give_back(&waiters.account, 100 * MIB);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_assert_cmpint(waiters.n_taken, ==, 4);
    g_assert_cmpuint(waiters.account.taken, ==, 0);
    account_clear(&waiters.account);
}

static void
test_spare_buffers(void)
{
    Account account;
    guint8 *buffers[3];

    account_init(&account, 4 * MIB);
    account_take(&account, 3 * MIB);
    for (guint i = 0; i < G_N_ELEMENTS(buffers); i++)
        buffers[i] = account_get_buffer(&account);
    for (guint i = 0; i < G_N_ELEMENTS(buffers); i++)
        account_put_buffer(&account, buffers[i]);
    account_give_back(&account, 3 * MIB);
    g_assert_cmpuint(account.spare->len, ==, 3);
    account_take(&account, 1 * MIB);
    g_assert_true(account_get_buffer(&account) == buffers[2]); /* the one that was used last */
    account_put_buffer(&account, buffers[2]);
    account_take(&account, 2 * MIB); /* leaves room for one */
    g_assert_cmpuint(account.spare->len, ==, 1);
    account_take(&account, 1 * MIB);
    g_assert_cmpuint(account.spare->len, ==, 0);
    account_give_back(&account, 4 * MIB);
    account_put_buffer(&account, account_get_buffer(&account));
    account_drop_spare(&account);
    g_assert_cmpuint(account.spare->len, ==, 0);
    account_clear(&account);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/limits/door", test_door);
    g_test_add_func("/limits/door/good-clients", test_door_of_good_clients);
    g_test_add_func("/limits/crowd", test_crowd);
    g_test_add_func("/limits/crowd/ipv6", test_crowd_of_ipv6);
    g_test_add_func("/limits/crowd/floods", test_crowd_of_floods);
    g_test_add_func("/limits/account", test_account);
    g_test_add_func("/limits/account/spare-buffers", test_spare_buffers);
    return g_test_run();
}
