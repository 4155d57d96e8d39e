/* SPDX-License-Identifier: LGPL-2.1-or-later
 * table-pool.c - the memory of a table cache.
 *
 *      heads:  hash of a key ──> Slot ──next──> Slot     what can be found
 *      slots:  all slots, in a circle for the hand that looks for one to use again
 *      spare:  slots that hold no table, and have bytes for one
 *      blank:  slots without bytes
 *
 * A slot is a slot until the pool is freed, so that a reader may look at one at any time, whatever
 * has become of it. Its state is one word, of pins and of who may do what:
 *
 *      CLAIMED          under the pool's lock, or between take and keep: its owner alone changes it
 *      0                it holds a table that nobody looks at just now, and anybody may find
 *      n                n look at it
 *      GONE, GONE + n   likewise, but nobody may find it: the cache was cleared, or it is too large
 *      ORPHAN + n       the pool is no more; the last one frees the slot
 *
 * A reader that has found a slot by its key pins it, and then looks whether it is still to be found
 * there; while it is pinned, it stays so. Only at 0 pins can a slot be claimed, in one step. A
 * reader that comes too late finds it CLAIMED or with another key, and takes back its pin.
 *
 * What goes first is told by second chance: a reader notes that a table was used, if that is not
 * noted yet; the hand passes by such a table once, and takes back the note. A table is new without
 * the note (one that was fetched ahead comes to that when it is first used): so what is read once,
 * a scan, pushes out what was read once, and what is used again and again stays.
 *
 * A large table that is read once costs more than its making if it is written to memory that no
 * processor has in its cache. So a pool may keep tables on trial: only the last few that were made,
 * in a ring, and it makes the next one in the memory of the one that fell out unused. What was used
 * again by then stays, and so does what is made a second time: that it was made before is known for
 * as long as twice the tables that fit in the budget are made. */
#include "table-pool.h"

#include <stdatomic.h>

#define CLAIMED (1u << 31)
#define GONE    (1u << 30)
#define ORPHAN  (1u << 29)
#define PINS    (ORPHAN - 1)

#define CACHE_LINE 64 /* bytes */

/* Chains are short; whoever follows one while slots move may get from one to the other. */
#define MAX_STEPS 32

#define SPARES_TO_TRY 8

/* One chain for every table of 1 KiB that the budget has room for. What is never used of a large
 * array is never given memory by the system. */
#define BYTES_PER_HEAD 1024
#define MIN_HEADS      64
#define MAX_HEADS      (1 << 26)

/* What is noted of a table. */
typedef enum {
    USE_NONE,  /* nobody used it since it was made, or since the hand came by */
    USE_AGAIN, /* somebody did: the hand spares it once */
    USE_AHEAD, /* likewise spared; nobody used it yet, but it was made for somebody */
} Use;

typedef struct _Slot Slot;
struct _Slot {
    Table table;    /* first: what callers see of a slot. It owns .bytes: NULL in a blank slot */
    gsize capacity; /* bytes */

    /* The key. Whoever pins is sure of it; who does not may see halves of two. */
    _Atomic(StrataNode *) storage;
    _Atomic guint64 offset;
    _Atomic guint32 length; /* bytes; tables and clusters are far below 4 GiB */

    atomic_uint state;
    _Atomic(Slot *) next;
    atomic_uchar use; /* Use */
} __attribute__((aligned(CACHE_LINE)));

/* A table that was made. Zero: none. */
typedef struct {
    guint32 hash; /* its lower half */
    guint32 when; /* how many had been made by then, with it */
} Made;

struct _TablePool {
    /* Never change. */
    _Atomic(Slot *) *heads;
    guint hash_shift;
    gsize budget;     /* bytes */
    guint n_on_trial; /* 0: there are no trials, and nothing in what is for them */

    /* Under the owner's lock. */
    GPtrArray *slots; /* all of them, owned */
    GPtrArray *spare; /* not owned; CLAIMED */
    GPtrArray *blank; /* likewise */
    gsize held;       /* bytes that all slots take */
    guint hand;       /* index in slots of the next one to look at */

    /* Likewise, of trials. */
    Slot **on_trial;  /* a ring of .n_on_trial, NULL where there is none; not owned */
    guint next_trial; /* index in it: of who has been there longest */
    Made *made;       /* by the same part of the hash as heads */
    guint32 n_made;
};

/* -- Slots -- */

static Slot *
slot_of(Table *table)
{
    return (Slot *)(void *)table;
}

static void
slot_free(Slot *slot)
{
    g_aligned_free((gpointer)slot->table.bytes);
    g_aligned_free(slot);
}

void
table_unref(Table *table)
{
    Slot *slot = slot_of(table);
    /* Release: who claims or frees the slot does so after we have looked at its bytes. Acquire: if
     * it is we who free it, after all others have. */
    guint before = atomic_fetch_sub_explicit(&slot->state, 1, memory_order_acq_rel);

    if (before & ORPHAN && (before & PINS) == 1)
        slot_free(slot);
}

Table *
table_ref(Table *table)
{
    /* Relaxed: who has a reference sees all of the table already. */
    atomic_fetch_add_explicit(&slot_of(table)->state, 1, memory_order_relaxed);
    return table;
}

static gboolean
slot_claim(Slot *slot)
{
    guint unpinned = atomic_load_explicit(&slot->state, memory_order_relaxed) & GONE;

    /* Acquire: after all who had it pinned have looked at its bytes. */
    return atomic_compare_exchange_strong_explicit(&slot->state, &unpinned, CLAIMED,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* Gives a claimed slot its next state, and leaves the pins of those who come too late: they take
 * them back themselves. Release: who then pins it sees all that was written to it. */
static void
slot_unclaim(Slot *slot, guint state)
{
    atomic_fetch_add_explicit(&slot->state, state - CLAIMED, memory_order_release);
}

static gboolean
slot_has_key(const Slot *slot, const TableKey *key)
{
    return atomic_load_explicit(&slot->offset, memory_order_relaxed) == key->offset &&
           atomic_load_explicit(&slot->storage, memory_order_relaxed) == key->storage &&
           atomic_load_explicit(&slot->length, memory_order_relaxed) == key->length;
}

static void
slot_set_key(Slot *slot, const TableKey *key)
{
    atomic_store_explicit(&slot->storage, key->storage, memory_order_relaxed);
    atomic_store_explicit(&slot->offset, key->offset, memory_order_relaxed);
    atomic_store_explicit(&slot->length, (guint32)key->length, memory_order_relaxed);
}

static __thread TablePoolAhead met_ahead;

const TablePoolAhead *
table_pool_count_ahead(void)
{
    return &met_ahead;
}

/* With the slot pinned. */
static void
note_use(Slot *slot)
{
    guchar ahead = USE_AHEAD;

    if (!atomic_compare_exchange_strong_explicit(&slot->use, &ahead, USE_NONE, memory_order_relaxed,
                                                 memory_order_relaxed)) {
        atomic_store_explicit(&slot->use, USE_AGAIN, memory_order_relaxed);
        return;
    }
    met_ahead.n_tables++;
    met_ahead.n_bytes += slot->table.size;
}

/* Relaxed where nothing depends on it: the acquiring addition settles whose slot it is. */
gboolean
table_pool_pin(Table *table, const TableKey *key)
{
    Slot *slot = slot_of(table);
    guint before;

    if (!slot_has_key(slot, key))
        return FALSE;
    before = atomic_fetch_add_explicit(&slot->state, 1, memory_order_acquire);
    if (before & (CLAIMED | GONE) || !slot_has_key(slot, key)) {
        table_unref(table);
        return FALSE;
    }
    if (atomic_load_explicit(&slot->use, memory_order_relaxed) != USE_AGAIN)
        note_use(slot);
    return TRUE;
}

/* -- What can be found -- */

static guint64
hash_of(StrataNode *storage, guint64 offset, guint64 length)
{
    return (offset ^ length << 40 ^ (guintptr)storage) * 0x9e3779b97f4a7c15u;
}

static _Atomic(Slot *) *
head_of(const TablePool *pool, StrataNode *storage, guint64 offset, guint64 length)
{
    return &pool->heads[hash_of(storage, offset, length) >> pool->hash_shift];
}

static Table *
search(const TablePool *pool, const TableKey *key, guint max_steps)
{
    /* Acquire, here and below: what the slot was made of is seen before it is looked at. */
    Slot *slot = atomic_load_explicit(head_of(pool, key->storage, key->offset, key->length),
                                      memory_order_acquire);

    for (guint i = 0; slot && i < max_steps; i++) {
        if (table_pool_pin(&slot->table, key))
            return &slot->table;
        slot = atomic_load_explicit(&slot->next, memory_order_acquire);
    }
    return NULL;
}

Table *
table_pool_find(TablePool *pool, const TableKey *key)
{
    return search(pool, key, MAX_STEPS);
}

Table *
table_pool_find_surely(TablePool *pool, const TableKey *key)
{
    return search(pool, key, G_MAXUINT);
}

static _Atomic(Slot *) *
head_of_slot(const TablePool *pool, const Slot *slot)
{
    return head_of(pool, atomic_load_explicit(&slot->storage, memory_order_relaxed),
                   atomic_load_explicit(&slot->offset, memory_order_relaxed),
                   atomic_load_explicit(&slot->length, memory_order_relaxed));
}

static void
link_slot(TablePool *pool, Slot *slot)
{
    _Atomic(Slot *) *head = head_of_slot(pool, slot);

    atomic_store_explicit(&slot->next, atomic_load_explicit(head, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(head, slot, memory_order_release);
}

/* The slot itself goes on pointing to what follows it, for whoever just looks at it. */
static void
unlink_slot(TablePool *pool, Slot *slot)
{
    _Atomic(Slot *) *link = head_of_slot(pool, slot);
    Slot *at;

    while ((at = atomic_load_explicit(link, memory_order_relaxed)) != slot && at)
        link = &at->next;
    if (at)
        atomic_store_explicit(link, atomic_load_explicit(&slot->next, memory_order_relaxed),
                              memory_order_release);
}

/* -- Room -- */

static guint
count_bits(gsize budget)
{
    guint bits = 0;

    while (1u << bits < MIN_HEADS ||
           (1u << bits < MAX_HEADS && budget / BYTES_PER_HEAD > (gsize)1 << bits))
        bits++;
    return bits;
}

TablePool *
table_pool_new(gsize budget, guint n_on_trial)
{
    TablePool *pool = g_new0(TablePool, 1);
    guint bits = count_bits(budget);

    pool->budget = budget;
    pool->heads = g_malloc0(sizeof *pool->heads << bits);
    pool->hash_shift = 64 - bits;
    pool->slots = g_ptr_array_new();
    pool->spare = g_ptr_array_new();
    pool->blank = g_ptr_array_new();
    pool->n_on_trial = n_on_trial;
    pool->on_trial = g_new0(Slot *, n_on_trial);
    pool->made = n_on_trial > 0 ? g_malloc0(sizeof *pool->made << bits) : NULL;
    return pool;
}

void
table_pool_free(TablePool *pool)
{
    for (guint i = 0; i < pool->slots->len; i++) {
        Slot *slot = pool->slots->pdata[i];

        /* Both ways: who unpins it last has looked at its bytes, and sees that it is to free it. */
        if ((atomic_fetch_or_explicit(&slot->state, ORPHAN, memory_order_acq_rel) & PINS) == 0)
            slot_free(slot);
    }
    g_ptr_array_unref(pool->slots);
    g_ptr_array_unref(pool->spare);
    g_ptr_array_unref(pool->blank);
    g_free(pool->on_trial);
    g_free(pool->made);
    g_free(pool->heads);
    g_free(pool);
}

static void
drop_room(TablePool *pool, Slot *slot)
{
    pool->held -= slot->capacity;
    g_aligned_free((gpointer)slot->table.bytes);
    slot->table.bytes = NULL;
    slot->capacity = 0;
    g_ptr_array_add(pool->blank, slot);
}

/* Claims the slot that the hand points to and moves on, or only moves on. */
static Slot *
try_next(TablePool *pool)
{
    Slot *slot = pool->slots->pdata[pool->hand];
    guint state = atomic_load_explicit(&slot->state, memory_order_relaxed);

    pool->hand = (pool->hand + 1) % pool->slots->len;
    if (state & CLAIMED || state & PINS)
        return NULL;
    if (!(state & GONE) &&
        atomic_exchange_explicit(&slot->use, USE_NONE, memory_order_relaxed) != USE_NONE)
        return NULL;
    if (!slot_claim(slot))
        return NULL;
    if (!(state & GONE))
        unlink_slot(pool, slot);
    return slot;
}

/* Returns the slot that goes first, claimed; NULL if all are pinned or taken. Twice around: at the
 * second time there are no notes of use but new ones. */
static Slot *
evict(TablePool *pool)
{
    for (guint i = 0; i < 2 * pool->slots->len; i++) {
        Slot *slot = try_next(pool);

        if (slot)
            return slot;
    }
    return NULL;
}

static gboolean
suits(const Slot *slot, gsize size)
{
    return slot->capacity >= size && slot->capacity / 2 <= size;
}

/* Returns a spare slot with the right room, or NULL. The last ones are looked at: mostly all are of
 * one size. */
static Slot *
find_spare(TablePool *pool, gsize size)
{
    for (guint i = pool->spare->len; i > 0 && i + SPARES_TO_TRY > pool->spare->len; i--)
        if (suits(pool->spare->pdata[i - 1], size))
            return g_ptr_array_steal_index_fast(pool->spare, i - 1);
    return NULL;
}

/* A claimed slot that has no table; or NULL, and there is room for one more, or no slot left. */
static Slot *
next_vacant(TablePool *pool, gsize size)
{
    Slot *slot = find_spare(pool, size);

    if (slot || pool->held + size + TABLE_OVERHEAD <= pool->budget)
        return slot;
    if (pool->spare->len > 0)
        return g_ptr_array_steal_index_fast(pool->spare, pool->spare->len - 1);
    return evict(pool);
}

static Slot *
new_slot(TablePool *pool)
{
    Slot *slot;

    if (pool->blank->len > 0)
        return g_ptr_array_steal_index_fast(pool->blank, pool->blank->len - 1);
    slot = g_aligned_alloc0(1, sizeof *slot, CACHE_LINE);
    atomic_init(&slot->state, CLAIMED);
    g_ptr_array_add(pool->slots, slot);
    pool->held += TABLE_OVERHEAD;
    return slot;
}

/* Each turn leaves one slot less that could be turned to again. What was pinned beyond the budget
 * is given back to the system, and not used again. */
static Slot *
find_room(TablePool *pool, gsize size)
{
    Slot *slot;

    while ((slot = next_vacant(pool, size)) != NULL) {
        if (suits(slot, size) && pool->held <= pool->budget)
            return slot;
        drop_room(pool, slot);
    }
    slot = new_slot(pool);
    slot->table.bytes = g_aligned_alloc(1, MAX(size, 1), CACHE_LINE);
    slot->capacity = size;
    pool->held += size;
    return slot;
}

/* Each turn leaves one slot less that has room. */
void
table_pool_trim(TablePool *pool)
{
    while (pool->held > pool->budget) {
        guint n_spare = pool->spare->len;
        Slot *slot =
            n_spare > 0 ? g_ptr_array_steal_index_fast(pool->spare, n_spare - 1) : evict(pool);

        if (slot == NULL)
            return;
        drop_room(pool, slot);
    }
}

Table *
table_pool_take(TablePool *pool, gsize size, guint8 **out_bytes)
{
    Slot *slot = find_room(pool, size);

    slot->table.size = size;
    *out_bytes = (guint8 *)slot->table.bytes;
    return &slot->table;
}

/* -- Trials -- */

/* Notes that the table is made, and returns whether it was made before, not too long ago. Of two
 * whose notes go to one place, the earlier is forgotten. */
static gboolean
was_made(TablePool *pool, const TableKey *key, gsize size)
{
    guint64 hash = hash_of(key->storage, key->offset, key->length);
    Made *made = &pool->made[hash >> pool->hash_shift];
    const Made last = *made;

    *made = (Made){ .hash = (guint32)hash, .when = ++pool->n_made };
    return last.when != 0 && last.hash == made->hash &&
           made->when - last.when <= 2 * (pool->budget / (size + TABLE_OVERHEAD));
}

/* The slot may be another table's by now: then that one is judged too early, and no harm done. */
static void
end_trial(TablePool *pool, Slot *slot)
{
    if (atomic_load_explicit(&slot->use, memory_order_relaxed) != USE_NONE || !slot_claim(slot))
        return;
    unlink_slot(pool, slot);
    g_ptr_array_add(pool->spare, slot);
}

static void
begin_trial(TablePool *pool, Slot *slot)
{
    Slot **place = &pool->on_trial[pool->next_trial];

    pool->next_trial = (pool->next_trial + 1) % pool->n_on_trial;
    if (*place)
        end_trial(pool, *place);
    *place = slot;
}

/* -- What becomes of a slot that was taken -- */

void
table_pool_keep(TablePool *pool, Table *taken, const TableKey *key, gboolean is_ahead)
{
    Slot *slot = slot_of(taken);

    if (taken->size + TABLE_OVERHEAD > pool->budget) {
        table_pool_lend(pool, taken);
        return;
    }
    slot_set_key(slot, key);
    atomic_store_explicit(&slot->use, is_ahead ? USE_AHEAD : USE_NONE, memory_order_relaxed);
    slot_unclaim(slot, 1);
    link_slot(pool, slot);
    if (pool->n_on_trial > 0 && !was_made(pool, key, taken->size))
        begin_trial(pool, slot);
}

void
table_pool_lend(TablePool *pool, Table *taken)
{
    slot_unclaim(slot_of(taken), GONE + 1);
}

void
table_pool_give_back(TablePool *pool, Table *taken)
{
    g_ptr_array_add(pool->spare, slot_of(taken));
}

static void
forget(TablePool *pool, Slot *slot)
{
    guint state = atomic_load_explicit(&slot->state, memory_order_relaxed);

    if (state & (CLAIMED | GONE))
        return;
    unlink_slot(pool, slot);
    if (slot_claim(slot))
        g_ptr_array_add(pool->spare, slot);
    else /* relaxed: who still looks at it may; who comes now is told by the cache's lock */
        atomic_fetch_or_explicit(&slot->state, GONE, memory_order_relaxed);
}

void
table_pool_clear(TablePool *pool)
{
    for (guint i = 0; i < pool->slots->len; i++)
        forget(pool, pool->slots->pdata[i]);
}
