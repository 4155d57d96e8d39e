/* SPDX-License-Identifier: LGPL-2.1-or-later
 * bitmap.c - the dirty bitmaps of a chain, seen through the windows above them. */
#include "bitmap.h"

#include <string.h>

#include "checked.h"
#include "error.h"
#include "node.h"

static void
bitmap_free(gpointer pointer)
{
    StrataBitmap *bitmap = pointer;

    if (bitmap->free_data)
        bitmap->free_data(bitmap->data);
    g_clear_error(&bitmap->fault);
    g_free(bitmap->name);
    g_free(bitmap);
}

StrataBitmap *
bitmap_add(StrataNode *node, const char *name)
{
    StrataBitmap *bitmap = g_new0(StrataBitmap, 1);

    bitmap->node = node;
    bitmap->name = g_strdup(name);
    if (!node->bitmaps)
        node->bitmaps = g_ptr_array_new_with_free_func(bitmap_free);
    g_ptr_array_add(node->bitmaps, bitmap);
    return bitmap;
}

const char *
strata_bitmap_get_name(StrataBitmap *bitmap)
{
    return bitmap->name;
}

StrataNode *
strata_bitmap_get_node(StrataBitmap *bitmap)
{
    return bitmap->node;
}

guint64
strata_bitmap_get_granularity(StrataBitmap *bitmap)
{
    return bitmap->granularity;
}

gboolean
strata_bitmap_is_enabled(StrataBitmap *bitmap)
{
    return bitmap->is_enabled;
}

gboolean
strata_bitmap_is_consistent(StrataBitmap *bitmap)
{
    return bitmap->is_consistent;
}

const char *
strata_bitmap_get_damage(StrataBitmap *bitmap)
{
    return bitmap->damage;
}

static int
compare_names(gconstpointer a, gconstpointer b, gpointer data)
{
    return strcmp(a, b);
}

GTree *
bitmap_names_new(void)
{
    return g_tree_new_full(compare_names, NULL, NULL, NULL);
}

/* A bitmap that cannot be trusted is listed, and hides its namesakes below: they know nothing of
 * what was written above them, and a clean bit makes a backup leave data out. */
GPtrArray *
strata_node_list_bitmaps(StrataNode *from)
{
    g_autoptr(GPtrArray) path = strata_node_list_path(from);
    g_autoptr(GTree) names = bitmap_names_new();
    GPtrArray *list = g_ptr_array_new();

    for (guint i = 0; i < path->len; i++) {
        const StrataNode *node = path->pdata[i];

        for (guint j = 0; node->bitmaps && j < node->bitmaps->len; j++) {
            StrataBitmap *bitmap = node->bitmaps->pdata[j];

            if (g_tree_lookup(names, bitmap->name))
                continue;
            g_tree_insert(names, bitmap->name, bitmap);
            g_ptr_array_add(list, bitmap);
        }
        if (node->bitmaps_unknown)
            break;
    }
    return list;
}

GPtrArray *
strata_node_list_own_bitmaps(StrataNode *node)
{
    GPtrArray *list = g_ptr_array_new();

    if (node->bitmaps)
        g_ptr_array_extend(list, node->bitmaps, NULL, NULL);
    return list;
}

StrataBitmap *
strata_node_find_bitmap(StrataNode *from, const char *name)
{
    g_autoptr(GPtrArray) list = strata_node_list_bitmaps(from);

    for (guint i = 0; i < list->len; i++)
        if (g_str_equal(strata_bitmap_get_name(list->pdata[i]), name))
            return list->pdata[i];
    return NULL;
}

/* The part of a range of @from that a walk can bring to the bitmap's node, in offsets of that node:
 * the shortest node on the way ends it. Its length is 0 where there is none. FALSE if @from does
 * not lead there. */
static gboolean
translate(const StrataBitmap *bitmap, StrataNode *from, StrataRange *range)
{
    guint64 shift = 0; /* of @up's offsets against those of the bitmap's node */
    guint64 end = bitmap->node->size;

    for (StrataNode *up = bitmap->node; up != from;) {
        guint64 up_end;

        if (!up->parent || !(up->parent->forward_roles & 1u << up->role))
            return FALSE;
        up = up->parent;
        if (!checked_add(shift, up->forward_offset, &shift))
            shift = G_MAXUINT64;
        if (checked_add(shift, up->size, &up_end))
            end = MIN(end, up_end);
    }
    if (!checked_add(range->offset, shift, &range->offset))
        range->offset = G_MAXUINT64;
    range->length = range->offset < end ? MIN(range->length, end - range->offset) : 0;
    return TRUE;
}

/* Adds a clean range after @n runs, or to the last of them. Returns how many there are now. */
static gsize
add_clean(StrataBitmapRun *runs, gsize n, gsize max_runs, guint64 offset, guint64 length)
{
    if (length == 0)
        return n;
    if (n > 0 && !runs[n - 1].is_dirty) {
        runs[n - 1].length += length;
        return n;
    }
    if (n == max_runs)
        return n;
    runs[n] = (StrataBitmapRun){ .offset = offset, .length = length };
    return n + 1;
}

/* FALSE with @error if the bitmap or its node is no longer what it was when it was opened. */
static gboolean
check_unchanged(StrataBitmap *bitmap, GError **error)
{
    const GError *fault;

    if (!changes_check_node(bitmap->node, error)) /* may find the bitmap to be another one */
        return FALSE;
    fault = g_atomic_pointer_get(&bitmap->fault);
    if (fault)
        g_propagate_error(error, g_error_copy(fault));
    return fault == NULL;
}

/* Asks again where a file changed meanwhile. */
static gsize
map_unmixed(StrataBitmap *bitmap, StrataRange range, StrataBitmapRun *runs, gsize max_runs,
            GError **error)
{
    StrataNode *node = bitmap->node;
    Changes *changes = node->graph->changes;
    gsize n = 0;

    for (guint i = 0; i < CHANGES_TRIES; i++) {
        g_autoptr(GError) reason = NULL;
        guint generation = changes_begin(changes);
        gboolean is_last;

        if (check_unchanged(bitmap, &reason))
            n = node->driver->map_bitmap(node, bitmap, range, runs, max_runs, &reason);
        is_last = i + 1 == CHANGES_TRIES || !changes_intervened(changes, generation);
        if (is_last && reason)
            g_propagate_error(error, g_steal_pointer(&reason));
        if (is_last)
            return reason ? 0 : n;
    }
    return n;
}

/* Brings the driver's @n runs of @range to offsets of the node that is looked from, where the range
 * begins at @offset. Returns how many bytes they are, or 0 with @error. */
static guint64
place_runs(StrataNode *node, StrataRange range, guint64 offset, StrataBitmapRun *runs, gsize n,
           GError **error)
{
    guint64 done = 0;

    for (gsize i = 0; i < n; i++) {
        if (runs[i].offset != range.offset + done || runs[i].length == 0 ||
            runs[i].length > range.length - done) {
            strata_throw(error, node, STRATA_ERROR_INTERNAL,
                         "driver \"%s\" broke its contract: its run of a bitmap at"
                         " 0x%" G_GINT64_MODIFIER "x does not fit the question",
                         node->driver->name, runs[i].offset);
            return 0;
        }
        runs[i].offset = offset + done;
        done += runs[i].length;
    }
    return done;
}

/* FALSE with @error, for it is not consistent. */
static gboolean
throw_inconsistent(const StrataBitmap *bitmap, GError **error)
{
    g_autofree char *shown = strata_escape(bitmap->name);

    return strata_throw(error, bitmap->node, STRATA_ERROR_DAMAGED,
                        "bitmap '%s' %s, so that what the bitmap says cannot be trusted", shown,
                        bitmap->damage ? bitmap->damage
                                       : "is in use: whoever wrote to the image has not closed it");
}

gsize
strata_bitmap_map(StrataBitmap *bitmap, StrataNode *from, guint64 offset, guint64 length,
                  StrataBitmapRun *runs, gsize max_runs, GError **error)
{
    StrataNode *node = bitmap->node;
    StrataRange inside = { .offset = offset, .length = length };
    guint64 done = 0;
    gsize n = 0;

    if (length == 0 || !range_within(offset, length, from->size) ||
        !translate(bitmap, from, &inside)) {
        strata_throw(error, from, STRATA_ERROR_LIMIT,
                     "range 0x%" G_GINT64_MODIFIER "x+0x%" G_GINT64_MODIFIER
                     "x of a bitmap is empty or not within the node",
                     offset, length);
        return 0;
    }
    if (!bitmap->is_consistent)
        return throw_inconsistent(bitmap, error);
    if (inside.length > 0) {
        n = map_unmixed(bitmap, inside, runs, max_runs, error);
        done = place_runs(node, inside, offset, runs, n, error);
        if (done == 0)
            return 0;
    }
    return done == inside.length ? add_clean(runs, n, max_runs, offset + done, length - done) : n;
}
