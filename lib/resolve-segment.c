/* SPDX-License-Identifier: LGPL-2.1-or-later
 * resolve-segment.c - from what a segment says of windows to the pieces of a walk.
 *
 * The piece that waits becomes the first of what is found, and the others follow it: where it is
 * the last of the range, as in a walk that begins at a chain, they are the result as they stand. */
#include "resolve-segment.h"

#include "node.h"

/* With less room than this part of it a further window is not begun: the next call has all of it.
 */
#define LEAST_ROOM(max) ((max) / 16)

/* After so many looks a call ends, for the same reason as after much work for tables (resolve.c):
 * those that are in the cache are looked at for nothing, and a small file can have an endless disk
 * described by one of them. */
#define MAX_LOOKS (1 << 26)

typedef struct {
    Pieces *pieces;
    Segment *segment;
    Window *window;
    StrataRun whole;    /* what is known of the piece, before it is divided */
    guint64 to_range;   /* the walk's offset less the head's; modulo 2^64 */
    guint32 after;      /* the piece that follows in the range */
    guint32 last;       /* the last piece so far, */
    gboolean is_begun;  /* if there is one */
    gboolean is_open;   /* and what comes may make it longer: */
    guint64 sign;       /* if it is like this */
    guint64 next_place; /* and begins here, where that matters */
    StrataNode *child;  /* (nullable) where it is sent when it is closed */
    guint64 child_offset;
    gboolean is_over; /* the range was cut */
} Divider;

static const guint64 *
signs_of(const Divider *divider)
{
    return divider->segment->signs[piece_is_claimed(&divider->whole)];
}

/* What is known now of a piece that was @whole. With masks in place of branches, which would be
 * guessed wrong half the time where layers come by turns. */
static inline void
settle(StrataRun *run, const StrataRun *whole, const SegmentOutcome *outcome, guint64 offset,
       guint64 length, guint64 place)
{
    const StrataRun *found = &outcome->run;
    guint64 has_leaf = (guint64)(found->leaf == NULL) - 1; /* all ones or none, as is the next */
    guint is_deeper = (guint)(found->claimant == NULL && outcome->child == NULL) - 1;

    *run = (StrataRun){
        .offset = offset,
        .length = length,
        .claimant = found->claimant,
        .leaf = found->leaf,
        .leaf_offset = (found->leaf_offset + place) & has_leaf,
        .depth = found->depth + (whole->depth & is_deeper),
        .flags = found->flags,
    };
    if (piece_is_claimed(whole)) {
        run->claimant = whole->claimant;
        run->depth = whole->depth;
        run->flags = whole->flags | (run->flags & ~(guint)STRATA_RUN_PAST_END);
    }
}

/* The open piece will not get longer: sends it on, if it has to go on. */
static void
close_piece(Divider *divider)
{
    Pieces *pieces = divider->pieces;
    const StrataRun *run = &pieces->runs[divider->last];
    guint64 end = run->offset + run->length;

    if (!divider->is_open)
        return;
    divider->is_open = FALSE;
    if (divider->child == NULL)
        return;
    divider->last = pieces_send(pieces, divider->last, divider->child, divider->child_offset);
    run = &pieces->runs[divider->last];
    divider->is_over = run->offset + run->length < end;
}

/* Returns a piece that follows the last one; NULL where there is no room, and the range is cut. */
static inline StrataRun *
add_piece(Divider *divider, guint64 offset)
{
    Pieces *pieces = divider->pieces;
    guint32 index = pieces->n;

    if (!divider->is_begun) {
        divider->is_begun = TRUE;
        return &pieces->runs[divider->last];
    }
    if (index == pieces->max) {
        pieces->is_full = divider->is_over = TRUE;
        pieces_cut(pieces, offset);
        return NULL;
    }
    pieces->n++;
    pieces->is_in_order &= index == divider->last + 1 && divider->after == NO_PIECE;
    pieces->links[divider->last].next = index;
    pieces->links[index].next = divider->after;
    divider->last = index;
    return &pieces->runs[index];
}

/* [begin, end) in the head is what @key says, which is another thing than what comes before;
 * @place: where it begins. */
static inline void
add_other(Divider *divider, SegmentKey key, guint64 begin, guint64 end, guint64 place)
{
    const SegmentOutcome *outcome = &divider->segment->outcomes[key];
    guint64 offset = begin + divider->to_range;
    StrataRun *run;

    close_piece(divider);
    run = divider->is_over ? NULL : add_piece(divider, offset);
    if (run == NULL)
        return;
    settle(run, &divider->whole, outcome, offset, end - begin, place);
    divider->is_open = TRUE;
    divider->sign = signs_of(divider)[key];
    divider->next_place = place + (end - begin);
    divider->child = outcome->child;
    divider->child_offset = place + outcome->child_shift;
}

/* The same, where it may be the same thing as before. */
static void
add(Divider *divider, SegmentKey key, guint64 begin, guint64 end, guint64 place)
{
    guint64 sign = signs_of(divider)[key];

    if (!divider->is_open || sign != divider->sign ||
        ((sign & SEGMENT_HAS_PLACE) != 0 && place != divider->next_place)) {
        add_other(divider, key, begin, end, place);
        return;
    }
    divider->pieces->runs[divider->last].length += end - begin;
    divider->next_place = place + (end - begin);
}

static guint64
granule_offset(const Window *window, gsize i)
{
    return window->base + ((guint64)i << window->granule_bits);
}

/* Where runs of like granules begin, in a word's worth of them from @first on: a loop that branches
 * on nothing that it finds. Adds them behind @n others, and returns how many there are then. */
static gsize
find_borders_in(const Window *window, const guint64 *signs, gsize first, guint16 *borders, gsize n)
{
    const guint64 granule = G_GUINT64_CONSTANT(1) << window->granule_bits;
    gsize end = MIN(first + BITS_PER_WORD, window->n);
    guint64 sign = first > 0 ? signs[window->keys[first - 1]] : ~signs[window->keys[0]];
    guint64 next_place = first > 0 ? window->places[first - 1] + granule : 0;

    for (gsize i = first; i < end; i++) {
        guint64 here = signs[window->keys[i]];
        guint64 place = window->places[i];
        guint64 where_it_matters = 0 - (here >> 63); /* SEGMENT_HAS_PLACE */

        borders[n] = (guint16)i;
        n += ((here ^ sign) | (where_it_matters & (place ^ next_place))) != 0;
        sign = here;
        next_place = place + granule;
    }
    return n;
}

/* The same for the whole window, and behind them where the last run ends. Where a word is all
 * nobody's, and so is what is before it, nothing begins. */
static gsize
find_borders(const Divider *divider, guint16 *borders)
{
    const Window *window = divider->window;
    const guint64 *signs = signs_of(divider);
    gsize n = 0;

    for (gsize first = 0; first < window->n; first += BITS_PER_WORD) {
        gsize word = first / BITS_PER_WORD;
        gboolean goes_on = first > 0 && window->todo[word] == G_MAXUINT64 &&
                           window->keys[first] == window->keys[first - 1];

        if (!goes_on)
            n = find_borders_in(window, signs, first, borders, n);
    }
    borders[n] = (guint16)window->n;
    return n;
}

static guint64
place_of(const Divider *divider, gsize i)
{
    const Window *window = divider->window;
    const SegmentOutcome *outcome = &divider->segment->outcomes[window->keys[i]];

    return outcome->has_place ? window->places[i] : granule_offset(window, i);
}

/* Adds the runs from border @i on that need not be sent on, as far as there is room; the last of
 * all is left to others, as it may get longer, and end within a granule. This is what most of a map
 * is made by. Returns the first border that is left. */
static gsize
add_settled(Divider *divider, const guint16 *borders, gsize i, gsize n)
{
    Pieces *pieces = divider->pieces;
    const Window *window = divider->window;
    const SegmentOutcome *outcomes = divider->segment->outcomes;
    const StrataRun whole = divider->whole; /* a copy, which nothing that is stored can change */
    const guint granule_bits = window->granule_bits;
    const guint64 base = window->base + divider->to_range;
    StrataRun *run = &pieces->runs[pieces->n];
    PieceLink *link = &pieces->links[pieces->n];
    guint32 next = pieces->n;
    gsize end = i + MIN(n - 1 - i, pieces->max - next);
    guint64 offset = base + ((guint64)borders[i] << granule_bits);

    for (; i < end; i++) {
        const SegmentOutcome *outcome = &outcomes[window->keys[borders[i]]];
        guint64 run_end = base + ((guint64)borders[i + 1] << granule_bits);

        if (outcome->child != NULL)
            break;
        settle(run++, &whole, outcome, offset, run_end - offset, window->places[borders[i]]);
        link++->next = ++next;
        offset = run_end;
    }
    if (next == pieces->n)
        return i;
    pieces->is_in_order &= pieces->n == divider->last + 1 && divider->after == NO_PIECE;
    pieces->links[divider->last].next = pieces->n;
    pieces->links[next - 1].next = divider->after;
    pieces->n = next;
    divider->last = next - 1;
    return i;
}

/* The first run may go on with what comes before the window; the others are new ones. */
static void
divide_window(Divider *divider)
{
    const Window *window = divider->window;
    guint16 borders[WINDOW_GRANULES + 1];
    gsize n = find_borders(divider, borders);
    gsize i = 1;

    if (n == 0)
        return;
    add(divider, window->keys[0], window->begin,
        MIN(granule_offset(window, borders[1]), window->end),
        place_of(divider, 0) + (window->begin - window->base));
    while (i < n && !divider->is_over) {
        close_piece(divider);
        if (!divider->is_over)
            i = add_settled(divider, borders, i, n);
        if (!divider->is_over)
            add_other(divider, window->keys[borders[i]], granule_offset(window, borders[i]),
                      MIN(granule_offset(window, borders[i + 1]), window->end),
                      place_of(divider, borders[i]));
        i++;
    }
}

/* Where all layers say the same of a stretch because no table describes it, and none is shorter or
 * all are: adds it, up to @end at most, and returns where it ends. Returns @begin if there is none,
 * and *@window_end is as far as no layer ends. */
static guint64
add_uniform(Divider *divider, guint64 begin, guint64 end, guint64 *out_window_end)
{
    Segment *segment = divider->segment;
    guint64 uniform_end = end;
    guint i;

    *out_window_end = end;
    for (i = 0; i < segment->n_layers; i++)
        if (segment->layers[i].end > begin)
            *out_window_end = MIN(*out_window_end, segment->layers[i].end);
    for (i = 0; i < segment->n_layers && begin < segment->layers[i].end; i++) {
        SegmentLayer *layer = &segment->layers[i];

        uniform_end = MIN(uniform_end, layer->end);
        if (!segment_seek(layer, begin + layer->shift, uniform_end + layer->shift, NULL) ||
            !layer->slice.is_empty)
            return begin;
        uniform_end = MIN(uniform_end, layer->slice.end - layer->shift);
    }
    add(divider,
        i < segment->n_layers ? segment_key(i, SEGMENT_PAST_END) : segment_unclaimed(segment),
        begin, uniform_end, begin);
    return uniform_end;
}

/* Adds a window from @begin on, @end at most, and returns where it ends. It ends where tables
 * mostly do, too. */
static guint64
add_window(Divider *divider, guint64 begin, guint64 end, GError **fault)
{
    const Pieces *pieces = divider->pieces;
    Window *window = divider->window;
    guint bits = divider->segment->granule_bits;
    gsize room = CLAMP(pieces->max - pieces->n, 1, WINDOW_GRANULES);
    guint64 first = begin >> bits; /* in granules, as is this: */
    guint64 limit = MIN(first + room, (first / WINDOW_GRANULES + 1) * WINDOW_GRANULES);

    if (limit <= end >> bits)
        end = limit << bits;
    window_fill(window, divider->segment, begin, end);
    divide_window(divider);
    if (window->fault != NULL && !divider->is_over) {
        divider->is_over = TRUE;
        pieces_cut(divider->pieces, window->end + divider->to_range);
        g_clear_error(fault);
        *fault = g_steal_pointer(&window->fault);
    }
    g_clear_error(&window->fault); /* the range was cut before it */
    return window->end;
}

/* At most so many for a window, and for a stretch without tables, of that many bytes. */
static guint64
count_looks(const Segment *segment, guint64 length)
{
    return segment->n_layers * MIN((length >> segment->granule_bits) + 1, WINDOW_GRANULES);
}

/* Whether a further window is worth it in this call. */
static gboolean
goes_on(const Pieces *pieces, guint64 last_work)
{
    return pieces->max - pieces->n > LEAST_ROOM(pieces->max) && pieces->n_looks < MAX_LOOKS &&
           table_cache_count_work() < last_work;
}

void
resolve_segment(Pieces *pieces, Segment *segment, Window *window, guint32 index, guint64 asked_end,
                guint64 last_work, GError **fault)
{
    Divider divider = {
        .pieces = pieces,
        .segment = segment,
        .window = window,
        .whole = pieces->runs[index],
        .to_range = pieces->runs[index].offset - pieces->links[index].node_offset,
        .after = pieces->links[index].next,
        .last = index,
    };
    guint64 at = pieces->links[index].node_offset;
    guint64 end = at + divider.whole.length;
    guint64 limit = divider.after == NO_PIECE ? asked_end - divider.to_range : end;

    while (at < end && !divider.is_over) {
        guint64 window_end, work = table_cache_count_work();
        guint64 next = add_uniform(&divider, at, end, &window_end);

        if (next == at)
            next = add_window(&divider, at, window_end, fault);
        pieces->n_looks += count_looks(segment, next - at);
        segment_read_ahead(segment, at, next, limit, work);
        at = next;
        if (at < end && !divider.is_over && !goes_on(pieces, last_work)) {
            divider.is_over = TRUE;
            pieces_cut(pieces, at + divider.to_range);
        }
    }
    close_piece(&divider);
}
