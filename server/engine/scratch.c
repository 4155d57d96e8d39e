/* SPDX-License-Identifier: LGPL-2.1-or-later
 * scratch.c - what the workers of a connection have use for again and again. */
#include "scratch.h"

/* How many of each kind a connection keeps between requests. */
#define WALKS_KEPT 4
#define PIPES_KEPT 4

static void
free_walk(gpointer walk)
{
    strata_walk_free(walk);
}

static void
free_pipe(gpointer pipe)
{
    pipe_free(pipe);
}

void
scratch_init(Scratch *scratch)
{
    g_mutex_init(&scratch->lock);
    for (guint i = 0; i < WALK_KINDS; i++)
        scratch->walks[i] = g_ptr_array_new_with_free_func(free_walk);
    scratch->pipes = g_ptr_array_new_with_free_func(free_pipe);
}

void
scratch_clear(Scratch *scratch)
{
    for (guint i = 0; i < WALK_KINDS; i++)
        g_ptr_array_unref(scratch->walks[i]);
    g_ptr_array_unref(scratch->pipes);
    g_mutex_clear(&scratch->lock);
}

static gpointer
take_last(Scratch *scratch, GPtrArray *array)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&scratch->lock);

    return array->len > 0 ? g_ptr_array_steal_index(array, array->len - 1) : NULL;
}

/* Returns FALSE if there are enough of them. */
static gboolean
keep(Scratch *scratch, GPtrArray *array, guint most, gpointer thing)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&scratch->lock);

    if (array->len >= most)
        return FALSE;
    g_ptr_array_add(array, thing);
    return TRUE;
}

StrataWalk *
scratch_take_walk(Scratch *scratch, WalkKind kind, StrataNode *node)
{
    StrataWalk *walk = take_last(scratch, scratch->walks[kind]);

    return walk != NULL ? walk : strata_walk_new(node);
}

Pipe *
scratch_take_pipe(Scratch *scratch)
{
    Pipe *pipe = take_last(scratch, scratch->pipes);

    return pipe != NULL ? pipe : pipe_new();
}

void
scratch_put_walk(Scratch *scratch, WalkKind kind, StrataWalk *walk)
{
    if (!keep(scratch, scratch->walks[kind], WALKS_KEPT, walk))
        strata_walk_free(walk);
}

void
scratch_put_pipe(Scratch *scratch, Pipe *pipe)
{
    if (!keep(scratch, scratch->pipes, PIPES_KEPT, pipe))
        pipe_free(pipe);
}

void
scratch_drop(Scratch *scratch)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&scratch->lock);

    for (guint i = 0; i < WALK_KINDS; i++)
        g_ptr_array_set_size(scratch->walks[i], 0);
    g_ptr_array_set_size(scratch->pipes, 0);
}
