/* SPDX-License-Identifier: LGPL-2.1-or-later
 * bitmaps.c - the dirty bitmaps that a server tells of (QEMU, docs/interop/nbd.txt,
 * qemu:dirty-bitmap). Each is asked for through a connection of its own, made when it is needed:
 * replies about layers do not grow by bitmaps that nobody asked for. */
#include "nbd/bitmaps.h"

#include "bitmap.h"
#include "error.h"
#include "nbd/ask.h"
#include "node.h"

#define BIT_DIRTY 1u

/* For so long a server that could not be reached is not tried again: who waited for the attempt
 * meanwhile learns what came of it, and does not wait for one of his own. */
#define FAILED_USEC G_USEC_PER_SEC

/* A client may ask for any number of bitmaps, one after the other in one request: so many of them
 * have connections at once, and the one that was used longest ago makes room for another. */
#define MAX_POOLS 4

typedef struct _RemoteBitmapSet RemoteBitmapSet;

typedef struct {
    RemoteBitmapSet *set; /* a reference */
    GError *failure;      /* set.lock: (nullable) why there was no pool for it when one was made */
    gint64 failed_at;     /* set.lock: when that was found (monotonic; microseconds) */
} RemoteBitmap;

typedef struct {
    const RemoteBitmap *bitmap; /* not owned; NULL: this place is free */
    RemotePool *pool;           /* NULL while one of the users connects */
    guint n_users;              /* requests under way */
    gint64 used_at;             /* when the last one ended (monotonic; microseconds) */
} BitmapPool;

/* What the bitmaps of a node share. Counted references. */
struct _RemoteBitmapSet {
    const RemoteTarget *target; /* not owned */
    GMutex lock;                /* guards the places and why bitmaps failed; held for no call that
                                   waits. A place with users keeps its pool */
    GCond changed;              /* a place has got its pool, or lost its last user */
    BitmapPool places[MAX_POOLS];
};

static RemoteBitmapSet *
set_new(const RemoteTarget *target)
{
    RemoteBitmapSet *set = g_atomic_rc_box_new0(RemoteBitmapSet);

    set->target = target;
    g_mutex_init(&set->lock);
    g_cond_init(&set->changed);
    return set;
}

static void
set_clear(gpointer data)
{
    RemoteBitmapSet *set = data;

    for (guint i = 0; i < MAX_POOLS; i++)
        remote_pool_free(set->places[i].pool);
    g_mutex_clear(&set->lock);
    g_cond_clear(&set->changed);
}

static void
remote_bitmap_free(gpointer data)
{
    RemoteBitmap *remote = data;

    g_atomic_rc_box_release_full(remote->set, set_clear);
    g_clear_error(&remote->failure);
    g_free(remote);
}

void
remote_bitmaps_add(StrataNode *node, const RemoteTarget *target, const RemoteExport *export)
{
    const GPtrArray *names = export->bitmaps;
    RemoteBitmapSet *set = set_new(target);

    if (export->n_more_bitmaps)
        g_warning("node '%s': the server has more bitmaps than the %u that are kept; left out: %u",
                  node->name, names->len, export->n_more_bitmaps);
    for (guint i = 0; i < names->len; i++) {
        StrataBitmap *bitmap = bitmap_add(node, names->pdata[i]);
        RemoteBitmap *remote = g_new0(RemoteBitmap, 1);

        remote->set = g_atomic_rc_box_acquire(set);
        bitmap->is_consistent = TRUE; /* a server offers no others */
        bitmap->data = remote;
        bitmap->free_data = remote_bitmap_free;
    }
    g_atomic_rc_box_release_full(set, set_clear);
}

/* A pool for @bitmap, whose export must be what @node is. */
static RemotePool *
connect_for(StrataNode *node, const StrataBitmap *bitmap, GError **error)
{
    RemoteBitmap *remote = bitmap->data;
    g_autoptr(RemotePool) pool = remote_pool_new(node, remote->set->target, bitmap->name, error);

    if (!pool)
        return NULL;
    if (remote_pool_get_export(pool)->size != node->size) {
        strata_throw(error, node, STRATA_ERROR_REMOTE,
                     "what the server exports has changed since it was opened: its size is "
                     "%" G_GUINT64_FORMAT ", and was %" G_GUINT64_FORMAT "; open it anew",
                     remote_pool_get_export(pool)->size, node->size);
        return NULL;
    }
    return g_steal_pointer(&pool);
}

static gboolean
has_just_failed(const RemoteBitmap *remote)
{
    return remote->failure && g_get_monotonic_time() < remote->failed_at + FAILED_USEC;
}

/* The place of @remote; else a free one, or the one that was left alone longest ago. NULL if all
 * are in use. */
static BitmapPool *
find_place(RemoteBitmapSet *set, const RemoteBitmap *remote)
{
    BitmapPool *best = NULL;

    for (guint i = 0; i < MAX_POOLS; i++) {
        BitmapPool *place = &set->places[i];

        if (place->bitmap == remote)
            return place;
        if (place->n_users == 0 && (!best || place->used_at < best->used_at))
            best = place;
    }
    return best;
}

/* Makes the caller a user of a place of @remote. When that has no pool, it is the caller's to make
 * one, after freeing *@out_old. NULL if there is no such place now. */
static BitmapPool *
enter_place(RemoteBitmap *remote, RemotePool **out_old)
{
    BitmapPool *place = find_place(remote->set, remote);

    if (!place || (place->bitmap == remote && !place->pool))
        return NULL;
    if (place->bitmap != remote) {
        *out_old = g_steal_pointer(&place->pool);
        place->bitmap = remote;
        g_clear_error(&remote->failure);
    }
    place->n_users++;
    return place;
}

/* As enter_place(), and waits for it: not longer than it may take to find out that a server is
 * gone, whatever the others who use it meet with. */
static BitmapPool *
wait_for_place(StrataNode *node, RemoteBitmap *remote, RemotePool **out_old, GError **error)
{
    RemoteBitmapSet *set = remote->set;
    gint64 deadline =
        g_get_monotonic_time() + set->target->answer_usec + set->target->reconnect_usec;
    gboolean is_late = FALSE;
    BitmapPool *place = NULL;

    g_mutex_lock(&set->lock);
    while (!has_just_failed(remote) && !(place = enter_place(remote, out_old)) && !is_late)
        is_late = !g_cond_wait_until(&set->changed, &set->lock, deadline);
    if (!place && has_just_failed(remote))
        g_propagate_error(error, g_error_copy(remote->failure));
    else if (!place)
        strata_throw(error, node, STRATA_ERROR_REMOTE,
                     "all %d connections for bitmaps are in use, and none became free in time",
                     MAX_POOLS);
    g_mutex_unlock(&set->lock);
    return place;
}

static void
leave_place(RemoteBitmapSet *set, BitmapPool *place)
{
    g_mutex_lock(&set->lock);
    place->n_users--;
    place->used_at = g_get_monotonic_time();
    g_cond_broadcast(&set->changed);
    g_mutex_unlock(&set->lock);
}

/* Makes the pool of a place that has none; all who wait for it learn what comes of that. FALSE with
 * @error, and the place is left. */
static gboolean
connect_place(StrataNode *node, const StrataBitmap *bitmap, BitmapPool *place, GError **error)
{
    RemoteBitmap *remote = bitmap->data;
    GError *failure = NULL;
    RemotePool *pool = connect_for(node, bitmap, &failure);

    g_mutex_lock(&remote->set->lock);
    place->pool = pool;
    if (!pool) {
        *place = (BitmapPool){ .bitmap = NULL };
        remote->failure = g_error_copy(failure);
        remote->failed_at = g_get_monotonic_time();
    }
    g_cond_broadcast(&remote->set->changed);
    g_mutex_unlock(&remote->set->lock);
    if (failure)
        g_propagate_error(error, failure);
    return pool != NULL;
}

/* One question about @bitmap. */
static gboolean
ask(StrataNode *node, const StrataBitmap *bitmap, StrataRange range, RemoteStatus *status,
    RemoteCursor *out_cursor, GError **error)
{
    RemoteBitmap *remote = bitmap->data;
    RemotePool *old = NULL;
    BitmapPool *place = wait_for_place(node, remote, &old, error);
    gboolean is_ok;

    remote_pool_free(old);
    if (!place || (!place->pool && !connect_place(node, bitmap, place, error)))
        return FALSE;
    is_ok = remote_ask_status(place->pool, range.offset, range.length, status, out_cursor, error);
    leave_place(remote->set, place);
    return is_ok;
}

gsize
remote_bitmaps_map(StrataNode *node, const StrataBitmap *bitmap, StrataRange range,
                   StrataBitmapRun *runs, gsize max_runs, GError **error)
{
    g_auto(RemoteStatus) status = { 0 };
    RemoteCursor cursor;
    guint32 values[REMOTE_MAX_CONTEXTS];
    guint64 length, done = 0;
    gsize n = 0;

    remote_status_init(&status);
    if (!ask(node, bitmap, range, &status, &cursor, error))
        return 0;
    /* Moves forward: no extent is empty; at the end of the reply or of the room it stops short. */
    while (done < range.length && (length = remote_cursor_peek(&cursor, values)) > 0) {
        gboolean is_dirty = values[0] & BIT_DIRTY;

        if (n == 0 || runs[n - 1].is_dirty != is_dirty) {
            if (n == max_runs)
                break;
            runs[n++] = (StrataBitmapRun){ .offset = range.offset + done, .is_dirty = is_dirty };
        }
        remote_cursor_advance(&cursor, length);
        length = MIN(length, range.length - done);
        runs[n - 1].length += length;
        done += length;
    }
    return n;
}
