/* SPDX-License-Identifier: LGPL-2.1-or-later
 * segment-ahead.c - which tables a walk over a segment will need next.
 *
 *      the walk is here                     asked for
 *              |                |----------------------------------|
 *      [ table ][ the next one ][ ahead ][ ahead ][ ahead ][ ahead ]
 *
 * The next one is left to the walk. Were it fetched beside it, the walk would mostly come to wait
 * for the last bit of that, which costs more than it saves. */
#include "segment.h"

#include "node.h"
#include "read-ahead.h"

/* Tables of each layer: so many that storage with a queue is kept busy, and threads are woken
 * seldom; asked for when half of them have been met. */
#define TABLES_AHEAD 8

/* Fewer are not worth a thread. */
#define LEAST_TABLES 4

/* What is fetched too early pushes out what is in use. */
#define SHARE_OF_CACHE 4

static ReadAhead *
ahead_of(const Segment *segment)
{
    return segment->layers[0].node->graph->ahead;
}

static void
forget_tables(Segment *segment)
{
    segment->is_ahead = FALSE;
    for (guint i = 0; i < segment->n_layers; i++)
        segment->layers[i].ahead = 0;
}

void
segment_forget_ahead(Segment *segment)
{
    if (!segment->is_ahead)
        return;
    read_ahead_ask(ahead_of(segment), segment, G_MAXUINT64, NULL, 0);
    forget_tables(segment);
}

/* How many tables like that of @slice may be ahead, in each layer. */
static guint64
tables_ahead(const Segment *segment, const StrataSlice *slice)
{
    gsize room = table_cache_get_budget(segment->layers[0].node->graph->tables) / SHARE_OF_CACHE;

    return MIN(room / segment->n_layers / (slice->table->size + TABLE_OVERHEAD), TABLES_AHEAD);
}

static gboolean
is_at_table(const SegmentLayer *layer)
{
    return layer->is_local && layer->slice.table != NULL;
}

/* Where the next tables begin that the walk comes to, in the head; G_MAXUINT64: no layer has any.
 */
static guint64
find_next(const Segment *segment)
{
    guint64 next = G_MAXUINT64;

    for (guint i = 0; i < segment->n_layers; i++)
        if (is_at_table(&segment->layers[i]))
            next = MIN(next, segment->layers[i].slice.end - segment->layers[i].shift);
    return next;
}

/* Adds those tables of all layers that are @step tables further than the next. */
static gsize
add_tables(Segment *segment, guint64 step, guint64 limit, ReadAheadTable *tables, gsize n)
{
    for (guint i = 0; i < segment->n_layers && n < READ_AHEAD_MAX; i++) {
        SegmentLayer *layer = &segment->layers[i];
        const StrataSlice *slice = &layer->slice;
        guint64 span = slice->end - slice->begin, at = slice->end + step * span;

        if (!is_at_table(layer) || step > tables_ahead(segment, slice) || at < layer->ahead ||
            at >= layer->node->size || at - layer->shift >= MIN(limit, layer->end))
            continue;
        layer->ahead = at + span;
        tables[n++] = (ReadAheadTable){
            .node = layer->node, .offset = at, .asker = segment, .at = at - layer->shift
        };
    }
    return n;
}

/* Whether some layer has met half of what was asked for. */
static gboolean
is_due(const Segment *segment)
{
    for (guint i = 0; i < segment->n_layers; i++) {
        const StrataSlice *slice = &segment->layers[i].slice;
        guint64 span = slice->end - slice->begin;

        if (is_at_table(&segment->layers[i]) &&
            segment->layers[i].ahead <= slice->end + tables_ahead(segment, slice) / 2 * span)
            return TRUE;
    }
    return FALSE;
}

static void
ask(Segment *segment, guint64 limit)
{
    ReadAheadTable tables[READ_AHEAD_MAX];
    gboolean is_first = !segment->is_ahead;
    gsize n = 0;

    if (is_due(segment))
        for (guint64 step = 1; step <= TABLES_AHEAD; step++)
            n = add_tables(segment, step, limit, tables, n);
    if (is_first && n < LEAST_TABLES) {
        forget_tables(segment);
        return;
    }
    segment->is_ahead = TRUE;
    read_ahead_ask(ahead_of(segment), segment, find_next(segment) + 1, tables, n);
}

void
segment_read_ahead(Segment *segment, guint64 begin, guint64 end, guint64 limit, guint64 work_before)
{
    if (begin != segment->reached)
        segment_forget_ahead(segment);
    else if (table_cache_count_work() != work_before && find_next(segment) < limit)
        ask(segment, limit);
    segment->reached = end;
}
