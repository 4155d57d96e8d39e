/* SPDX-License-Identifier: LGPL-2.1-or-later
 * turnstile.c - lets a few pieces of heavy work go on at a time. */
#include "turnstile.h"

/* A peer with somebody who waits. */
typedef struct {
    char *name;
    GQueue takers; /* TurnTaker, the next first */
} TurnPeer;

static void
peer_free(gpointer data)
{
    TurnPeer *peer = data;

    g_queue_clear(&peer->takers);
    g_free(peer->name);
    g_free(peer);
}

void
turnstile_init(Turnstile *turnstile, guint n_places)
{
    *turnstile = (Turnstile){
        .n_places = n_places != 0 ? n_places : 2 * g_get_num_processors(),
        .inside = G_QUEUE_INIT,
        .peers = G_QUEUE_INIT,
        .names = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, peer_free),
    };
    g_mutex_init(&turnstile->lock);
}

void
turnstile_clear(Turnstile *turnstile)
{
    g_queue_clear(&turnstile->peers);
    g_hash_table_unref(turnstile->names);
    g_mutex_clear(&turnstile->lock);
}

void
turn_taker_init(TurnTaker *taker, Turnstile *turnstile, const char *peer,
                gboolean (*is_unwanted)(gpointer data), gpointer data)
{
    *taker = (TurnTaker){
        .turnstile = turnstile,
        .peer = g_strdup(peer),
        .is_unwanted = is_unwanted,
        .data = data,
        .waiting = G_QUEUE_INIT,
    };
}

void
turn_taker_clear(TurnTaker *taker)
{
    g_free(taker->peer);
}

void
turn_taker_wake(TurnTaker *taker)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&taker->turnstile->lock);

    for (GList *link = taker->waiting.head; link != NULL; link = link->next)
        g_cond_signal(&((Turn *)link->data)->given);
}

/* What follows is called with the lock held. */

static void
join(Turnstile *turnstile, Turn *turn)
{
    TurnTaker *taker = turn->taker;
    TurnPeer *peer;

    g_queue_push_tail_link(&taker->waiting, &turn->link);
    if (taker->waiting.length > 1)
        return;
    peer = g_hash_table_lookup(turnstile->names, taker->peer);
    if (peer == NULL) {
        peer = g_new0(TurnPeer, 1);
        peer->name = g_strdup(taker->peer);
        g_queue_init(&peer->takers);
        g_hash_table_insert(turnstile->names, peer->name, peer);
        g_queue_push_tail(&turnstile->peers, peer);
    }
    g_queue_push_tail(&peer->takers, taker);
}

/* Back from where it stands, without having had its turn. */
static void
unjoin(Turnstile *turnstile, Turn *turn)
{
    TurnTaker *taker = turn->taker;
    TurnPeer *peer = g_hash_table_lookup(turnstile->names, taker->peer);

    g_queue_unlink(&taker->waiting, &turn->link);
    if (taker->waiting.length > 0)
        return;
    g_queue_remove(&peer->takers, taker);
    if (peer->takers.length > 0)
        return;
    g_queue_remove(&turnstile->peers, peer);
    g_hash_table_remove(turnstile->names, taker->peer);
}

static void
admit(Turnstile *turnstile, Turn *turn)
{
    turn->is_given = TRUE;
    turn->is_out = FALSE;
    turn->since = g_get_monotonic_time();
    g_queue_push_tail_link(&turnstile->inside, &turn->link);
    turnstile->n_inside++;
}

/* Returns: (nullable): whose turn it is */
static Turn *
find_next(const Turnstile *turnstile)
{
    const TurnPeer *peer = g_queue_peek_head((GQueue *)&turnstile->peers);
    TurnTaker *taker = peer != NULL ? g_queue_peek_head((GQueue *)&peer->takers) : NULL;

    return taker != NULL ? g_queue_peek_head(&taker->waiting) : NULL;
}

/* A taker and a peer with somebody left who waits go behind the others. */
static void
let_in_next(Turnstile *turnstile)
{
    TurnPeer *peer = g_queue_pop_head(&turnstile->peers);
    TurnTaker *taker = g_queue_pop_head(&peer->takers);
    Turn *turn = g_queue_pop_head_link(&taker->waiting)->data;

    if (taker->waiting.length > 0)
        g_queue_push_tail(&peer->takers, taker);
    if (peer->takers.length > 0)
        g_queue_push_tail(&turnstile->peers, peer);
    else
        g_hash_table_remove(turnstile->names, taker->peer);
    admit(turnstile, turn);
    g_cond_signal(&turn->given);
}

static void
fill_places(Turnstile *turnstile)
{
    while (turnstile->n_inside < turnstile->n_places && turnstile->peers.length > 0)
        let_in_next(turnstile);
}

static void
give_up(Turnstile *turnstile, Turn *turn)
{
    g_queue_unlink(&turnstile->inside, &turn->link);
    turn->is_given = FALSE;
    turnstile->n_inside -= turn->is_out ? 0 : 1;
    fill_places(turnstile);
}

static void
count_out_stuck(Turnstile *turnstile)
{
    gint64 now = g_get_monotonic_time();

    for (GList *link = turnstile->inside.head; link != NULL; link = link->next) {
        Turn *turn = link->data;

        if (turn->is_out || now - turn->since < TURNSTILE_STUCK_USEC)
            continue;
        turn->is_out = TRUE;
        turnstile->n_inside--;
    }
    fill_places(turnstile);
}

/* One of those who wait has an eye on those who do not come back. */
static void
wait_a_little(Turnstile *turnstile, Turn *turn)
{
    gint64 until = g_get_monotonic_time() + TURNSTILE_STUCK_USEC;

    if (turnstile->guard != NULL && turnstile->guard != turn) {
        g_cond_wait(&turn->given, &turnstile->lock);
        return;
    }
    turnstile->guard = turn;
    if (!g_cond_wait_until(&turn->given, &turnstile->lock, until))
        count_out_stuck(turnstile);
}

/* Each guard begins to count anew; so who passes it on looks, too, or none would ever be out while
 * one place is still in use. */
static void
pass_guard(Turnstile *turnstile, const Turn *turn)
{
    Turn *next;

    if (turnstile->guard != NULL && turnstile->guard != turn)
        return;
    turnstile->guard = NULL;
    count_out_stuck(turnstile);
    next = find_next(turnstile);
    if (next != NULL)
        g_cond_signal(&next->given);
}

static gboolean
wait_for_turn(Turnstile *turnstile, Turn *turn)
{
    TurnTaker *taker = turn->taker;

    if (turnstile->n_inside < turnstile->n_places) {
        admit(turnstile, turn);
        return TRUE;
    }
    join(turnstile, turn);
    while (!turn->is_given && !taker->is_unwanted(taker->data))
        wait_a_little(turnstile, turn);
    if (!turn->is_given)
        unjoin(turnstile, turn);
    pass_guard(turnstile, turn);
    return turn->is_given;
}

/* End of what is called with the lock held. */

static void
turn_init(Turn *turn, TurnTaker *taker)
{
    *turn = (Turn){ .taker = taker };
    g_cond_init(&turn->given);
    turn->link.data = turn;
}

gboolean
turn_begin(Turn *turn, TurnTaker *taker)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = NULL;

    *turn = (Turn){ 0 };
    if (taker == NULL)
        return TRUE;
    turn_init(turn, taker);
    locker = g_mutex_locker_new(&taker->turnstile->lock);
    return wait_for_turn(taker->turnstile, turn);
}

static gboolean
is_within_slice(const Turn *turn)
{
    return turn->is_given && g_get_monotonic_time() - turn->since < TURNSTILE_SLICE_USEC;
}

gboolean
turn_try(Turn *turn, TurnTaker *taker)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = NULL;

    if (turn->taker == NULL)
        turn_init(turn, taker);
    if (turn->is_given)
        return is_within_slice(turn);
    locker = g_mutex_locker_new(&taker->turnstile->lock);
    if (taker->turnstile->n_inside < taker->turnstile->n_places)
        admit(taker->turnstile, turn);
    return turn->is_given;
}

gboolean
turn_continue(Turn *turn, TurnTaker *taker)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = NULL;

    if (turn->taker == NULL)
        return turn_begin(turn, taker);
    if (is_within_slice(turn))
        return TRUE;
    locker = g_mutex_locker_new(&taker->turnstile->lock);
    if (turn->is_given)
        give_up(taker->turnstile, turn);
    return wait_for_turn(taker->turnstile, turn);
}

void
turn_end(Turn *turn)
{
    if (turn->taker == NULL)
        return;
    if (turn->is_given) {
        g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
            g_mutex_locker_new(&turn->taker->turnstile->lock);

        give_up(turn->taker->turnstile, turn);
    }
    g_cond_clear(&turn->given);
    turn->taker = NULL;
}
