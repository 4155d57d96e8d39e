/* SPDX-License-Identifier: LGPL-2.1-or-later
 * turnstile.h - lets a few pieces of heavy work go on at a time, so that those who ask for little
 * find the processor free.
 *
 * A turn lasts for a slice of time; who wants more waits again, behind the others. Turns go round
 * between peers, and between the connections of one peer, so that nobody gets more by asking in
 * more ways. A turn is for computing: who sends or receives has none, and who does not come back
 * from storage in time is counted out, so that storage which does not answer shuts nobody out. */
#ifndef STRATA_TURNSTILE_H
#define STRATA_TURNSTILE_H

#include <glib.h>

#define TURNSTILE_SLICE_USEC (2 * G_TIME_SPAN_MILLISECOND)
#define TURNSTILE_STUCK_USEC (200 * G_TIME_SPAN_MILLISECOND)

typedef struct {
    guint n_places;

    GMutex lock;       /* guards what follows, and all takers and turns; nobody waits with it */
    guint n_inside;    /* turns that were given, but for those counted out */
    GQueue inside;     /* Turn; those that were given */
    GQueue peers;      /* TurnPeer, those with somebody who waits, next first */
    GHashTable *names; /* the same by name */
    gpointer guard;    /* the Turn that looks for those who are stuck, while it waits */
} Turnstile;

/* One connection. */
typedef struct {
    Turnstile *turnstile;                   /* not owned */
    char *peer;                             /* owned: what counts as one peer */
    gboolean (*is_unwanted)(gpointer data); /* waiting is in vain; called with the lock held */
    gpointer data;
    GQueue waiting; /* Turn, the next first */
} TurnTaker;

/* One piece of work, on its thread's stack. All zero: none was asked for. */
typedef struct {
    TurnTaker *taker;
    GCond given; /* signalled when it is this one's turn, or it should look around */
    GList link;
    gint64 since; /* monotonic: when it was given */
    gboolean is_given;
    gboolean is_out; /* counted out */
} Turn;

/* @n_places: how many turns there are at a time; 0: twice the number of processors */
void turnstile_init(Turnstile *turnstile, guint n_places);
void turnstile_clear(Turnstile *turnstile);

void turn_taker_init(TurnTaker *taker, Turnstile *turnstile, const char *peer,
                     gboolean (*is_unwanted)(gpointer data), gpointer data);
void turn_taker_clear(TurnTaker *taker);

/* What is_unwanted() says has changed: those who wait look. Any thread. */
void turn_taker_wake(TurnTaker *taker);

/* Waits for a turn. Returns FALSE, with none, if the taker does not want it any more. Without a
 * @taker nobody waits. turn_end() follows in either case. */
gboolean turn_begin(Turn *turn, TurnTaker *taker);

/* Between two steps of the work: lets others have their turn when this one has lasted. Begins the
 * turn where that was not done. Returns as turn_begin() does. */
gboolean turn_continue(Turn *turn, TurnTaker *taker);

/* As turn_continue(), for who has something to do before he waits, or works for longer than a
 * slice: FALSE, at once, where it would wait or the slice is over; turn_continue() follows. */
gboolean turn_try(Turn *turn, TurnTaker *taker);

void turn_end(Turn *turn);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Turn, turn_end)

#endif
