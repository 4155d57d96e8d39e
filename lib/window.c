/* SPDX-License-Identifier: LGPL-2.1-or-later
 * window.c - what each granule of a stretch of a segment is, found a table at a time.
 *
 *      todo      1111111111111111     all of it, at first
 *      layer 0   0100000000010010     own: claimed, and no longer to do
 *      todo      1011111111101101
 *      layer 1   0011000100000000     is asked for the rest
 *      ...
 *
 * The top layer is asked first, each table is opened once, and only where something is still to be
 * claimed. What cannot be told ends the window before it: layers further down are not asked any
 * more about what follows. */
#include "window.h"

#include <string.h>

#include "ask.h"
#include "node.h"

/* How many different things a leaf may say of where the data of a window lies. */
#define MAX_LEAF_ANSWERS 16

/* What a small read asks about. */
#define FEW_GRANULES 16

/* The layer at hand. */
typedef struct {
    Window *window;
    SegmentLayer *layer;
    guint unit_granules_bits; /* log2 of the granules in a unit */
    guint16 tag;              /* of the layer's keys */
    guint64 lowest, highest; /* of the places of its data; the first is the higher: there is none */
} Claim;

/* Ends the window before granule @i. Takes @fault. */
static void
stop_before(Window *window, gsize i, GError *fault)
{
    window->n = i;
    window->end = MAX(window->base + ((guint64)i << window->granule_bits), window->begin);
    g_clear_error(&window->fault);
    window->fault = fault;
}

/* Where granule @i begins in the node, and the number of its unit in the slice that is open. */
static guint64
node_offset_of(const Claim *claim, gsize i)
{
    return claim->window->base + ((guint64)i << claim->window->granule_bits) + claim->layer->shift;
}

static gsize
unit_of(const Claim *claim, gsize i)
{
    return (gsize)((node_offset_of(claim, i) - claim->layer->slice.begin) >>
                   claim->layer->node->unit_bits);
}

static void
stop_at_damage(const Claim *claim, gsize i)
{
    StrataNode *node = claim->layer->node;
    GError *fault = NULL;

    node->driver->throw_damage(node, &claim->layer->slice, unit_of(claim, i), &fault);
    stop_before(claim->window, i, fault);
}

/* Keeps of what the layer has in these words what is still to do, and takes it from there. Returns
 * whether that is anything. */
static gboolean
claim_words(Window *window, gsize first, gsize last)
{
    guint64 any = 0;

    for (gsize word = first; word < last; word++) {
        window->own[word] &= window->todo[word];
        window->todo[word] &= ~window->own[word];
        any |= window->own[word];
    }
    return any != 0;
}

/* As the driver's tell_units(), and widens what is known of the places. */
static gsize
tell(Claim *claim, gsize unit, gsize n_units, const guint64 *wanted, guint16 *kinds,
     guint64 *places)
{
    StrataNode *node = claim->layer->node;
    StrataUnits units = {
        .tag = claim->tag,
        .kinds = kinds,
        .places = places,
        .lowest = claim->lowest,
        .highest = claim->highest,
    };
    gsize n = node->driver->tell_units(node, &claim->layer->slice, unit, n_units, wanted, &units);

    claim->lowest = units.lowest;
    claim->highest = units.highest;
    return n;
}

/* -- Units that are granules, from the beginning of a word -- */

static void
claim_granules(Claim *claim, gsize first, gsize last)
{
    Window *window = claim->window;
    StrataNode *node = claim->layer->node;
    gsize word = first / BITS_PER_WORD, unit = unit_of(claim, first), n = last - first;
    gsize n_told;

    memset(window->own + word, 0, BITS_WORDS(n) * sizeof(guint64));
    node->driver->find_own(node, &claim->layer->slice, unit, n, window->own + word);
    if (!claim_words(window, word, word + BITS_WORDS(n)))
        return;
    n_told = tell(claim, unit, n, window->own + word, window->keys + first, window->places + first);
    if (n_told < n)
        stop_at_damage(claim, first + n_told);
}

/* -- Units of any kind -- */

/* The granules of unit @i of .own_units, as far as they lie within [first, last). */
static void
granules_of_unit(const Claim *claim, gsize i, gsize first, gsize last, gsize *out_first,
                 gsize *out_last)
{
    guint64 skipped = node_offset_of(claim, first) &
                      ((G_GUINT64_CONSTANT(1) << claim->layer->node->unit_bits) - 1);
    gsize before = (gsize)(skipped >> claim->window->granule_bits);
    gsize from = i << claim->unit_granules_bits, to = (i + 1) << claim->unit_granules_bits;

    *out_first = from > before ? first + from - before : first;
    *out_last = MIN(first + to - before, last);
}

/* Hands what was told of units on to their granules. Returns the first of those whose unit was not
 * told, or @last. */
static gsize
spread_units(const Claim *claim, gsize first, gsize last, gsize n_told)
{
    Window *window = claim->window;
    gsize base_unit = unit_of(claim, first);
    guint64 unit_mask = (G_GUINT64_CONSTANT(1) << claim->layer->node->unit_bits) - 1;

    for (gsize i = bits_find(window->own, first, last); i < last;
         i = bits_find(window->own, i + 1, last)) {
        gsize unit = unit_of(claim, i) - base_unit;

        if (unit >= n_told)
            return i;
        window->keys[i] = window->unit_kinds[unit];
        window->places[i] = window->unit_places[unit] + (node_offset_of(claim, i) & unit_mask);
    }
    return last;
}

/* Sets the bits of the granules whose units the layer has, and of the units of which there is
 * anything to do. */
static void
find_own_units(Claim *claim, gsize first, gsize last, gsize unit, gsize n_units)
{
    Window *window = claim->window;
    StrataNode *node = claim->layer->node;

    memset(window->own_units, 0, BITS_WORDS(n_units) * sizeof(guint64));
    memset(window->wanted_units, 0, BITS_WORDS(n_units) * sizeof(guint64));
    node->driver->find_own(node, &claim->layer->slice, unit, n_units, window->own_units);
    for (gsize i = bits_find(window->own_units, 0, n_units); i < n_units;
         i = bits_find(window->own_units, i + 1, n_units)) {
        gsize from, to;

        granules_of_unit(claim, i, first, last, &from, &to);
        if (bits_find(window->todo, from, to) == to)
            continue;
        bits_fill(window->own, from, to - from);
        bits_fill(window->wanted_units, i, 1);
    }
}

static void
claim_units(Claim *claim, gsize first, gsize last)
{
    Window *window = claim->window;
    gsize word = first / BITS_PER_WORD, end_word = BITS_WORDS(last);
    gsize unit = unit_of(claim, first), n_units = unit_of(claim, last - 1) + 1 - unit;
    gsize n_told, damaged;

    memset(window->own + word, 0, (end_word - word) * sizeof(guint64));
    find_own_units(claim, first, last, unit, n_units);
    if (!claim_words(window, word, end_word))
        return;
    n_told =
        tell(claim, unit, n_units, window->wanted_units, window->unit_kinds, window->unit_places);
    damaged = spread_units(claim, first, last, n_told);
    if (damaged < last)
        stop_at_damage(claim, damaged);
}

/* -- Layers -- */

/* The granules [first, last), of which the first is to do, in the slice that is open. */
static void
claim_slice(Claim *claim, gsize first, gsize last)
{
    gsize aligned = first / BITS_PER_WORD * BITS_PER_WORD;

    if (claim->unit_granules_bits == 0 &&
        node_offset_of(claim, aligned) >= claim->layer->slice.begin)
        claim_granules(claim, aligned, last);
    else
        claim_units(claim, first, last);
}

static gboolean
seek(const Claim *claim, gsize i, GError **error)
{
    Window *window = claim->window;
    SegmentLayer *layer = claim->layer;
    guint64 at = MAX(node_offset_of(claim, i), window->begin + layer->shift);

    return segment_seek(layer, at, window->end + layer->shift, error);
}

static void
claim_layer(Claim *claim)
{
    Window *window = claim->window;
    const SegmentLayer *layer = claim->layer;

    for (gsize i = bits_find(window->todo, 0, window->n); i < window->n;) {
        GError *fault = NULL;
        gsize last = window->n;

        if (!seek(claim, i, &fault)) {
            stop_before(window, i, fault);
            return;
        }
        if (layer->slice.end - layer->shift < window->end)
            last =
                (gsize)((layer->slice.end - layer->shift - window->base) >> window->granule_bits);
        if (!layer->slice.is_empty)
            claim_slice(claim, i, last);
        i = bits_find(window->todo, last, window->n);
    }
}

/* -- What data is -- */

/* Tells those granules of the layer's data whose place lies in [begin, end) of the storage. */
static void
tell_data_between(const Claim *claim, guint64 begin, guint64 end, guint kind)
{
    Window *window = claim->window;
    guint64 size = G_GUINT64_CONSTANT(1) << window->granule_bits;

    for (gsize i = 0; i < window->n; i++)
        if (window->keys[i] == claim->tag + STRATA_UNIT_DATA && window->places[i] >= begin &&
            window->places[i] < end && end - window->places[i] >= size)
            window->keys[i] = (SegmentKey)(claim->tag + kind);
}

static guint
what_leaf_says(const StrataAnswer *answer)
{
    if (answer->kind == STRATA_ANSWER_OWN && answer->flags == 0)
        return SEGMENT_FOUND;
    return answer->kind == STRATA_ANSWER_ZERO ? SEGMENT_HOLE : STRATA_UNIT_DATA;
}

/* What the leaf says of all between the lowest and the highest place: mostly one thing. Where it is
 * not, or not told, data waits for a walk of its own. */
static guint
find_what_data_is(const Claim *claim)
{
    const SegmentLayer *layer = claim->layer;
    guint64 size = G_GUINT64_CONSTANT(1) << layer->node->unit_bits; /* the places are of units */
    StrataAnswer answers[MAX_LEAF_ANSWERS];
    StrataRange range = { claim->lowest + layer->leaf_shift,
                          claim->highest - claim->lowest + size };
    gsize n;

    if (claim->highest >= layer->storage_end || layer->storage_end - claim->highest < size)
        return STRATA_UNIT_DATA;
    n = ask_node_for(layer->leaf, &range, 1, answers, MAX_LEAF_ANSWERS, NULL);
    if (n == 1 && answers[0].length == range.length)
        return what_leaf_says(&answers[0]);
    for (gsize i = 0, at = claim->lowest; i < n; at += answers[i++].length)
        tell_data_between(claim, at, at + answers[i].length, what_leaf_says(&answers[i]));
    return STRATA_UNIT_DATA;
}

/* -- All of it -- */

/* All granules of the word that begins at @at. */
static void
fill_word(Window *window, gsize at, SegmentKey key)
{
    SegmentKey *keys = window->keys + at;

    for (gsize i = 0; i < BITS_PER_WORD; i++)
        keys[i] = key;
}

/* Everything that is still to do is of one kind; where it lies, its offset says. */
static void
fill_todo(Window *window, SegmentKey key)
{
    for (gsize at = 0; at < window->n; at += BITS_PER_WORD) {
        guint64 todo = window->todo[at / BITS_PER_WORD];

        if (todo == G_MAXUINT64) {
            fill_word(window, at, key);
            continue;
        }
        for (; todo != 0; todo &= todo - 1)
            window->keys[at + __builtin_ctzll(todo)] = key;
    }
}

/* Whatever no layer claims stays what it is here: nobody's. */
static void
begin(Window *window, const Segment *segment, guint64 begin, guint64 end)
{
    guint64 granule = G_GUINT64_CONSTANT(1) << segment->granule_bits;

    window->granule_bits = segment->granule_bits;
    window->begin = begin;
    window->end = end;
    window->base = begin & ~(granule - 1);
    window->n = (gsize)((end - window->base + granule - 1) >> segment->granule_bits);
    g_clear_error(&window->fault);
    for (gsize at = 0; at < window->n; at += BITS_PER_WORD) {
        window->todo[at / BITS_PER_WORD] = bits_low(window->n - at);
        fill_word(window, at, segment_unclaimed(segment));
    }
}

static gboolean
is_done(const Window *window)
{
    return bits_find(window->todo, 0, window->n) == window->n;
}

/* Where little is asked of many layers, as by a small read, most of the time would go by waiting
 * for memory: an entry here, an entry there. So some layers ahead are fetched together; twice as
 * many each time, so that little is fetched in vain where an upper layer claims. Returns the first
 * layer that was not fetched. */
static guint
look_ahead(const Window *window, Segment *segment, guint i)
{
    guint end = MIN(2 * i + 1, segment->n_layers);

    if (window->n > FEW_GRANULES)
        return segment->n_layers;
    for (; i < end; i++) {
        SegmentLayer *layer = &segment->layers[i];
        StrataNode *node = layer->node;

        if (window->begin < layer->end)
            node->driver->peek_slice(node, &layer->slice, window->begin + layer->shift,
                                     window->end + layer->shift);
    }
    return end;
}

void
window_fill(Window *window, Segment *segment, guint64 first, guint64 end)
{
    guint n_fetched = 1;

    begin(window, segment, first, end);
    for (guint i = 0; i < segment->n_layers && !is_done(window); i++) {
        SegmentLayer *layer = &segment->layers[i];
        Claim claim = {
            .window = window,
            .layer = layer,
            .unit_granules_bits = layer->node->unit_bits - window->granule_bits,
            .tag = segment_key(i, 0),
            .lowest = G_MAXUINT64,
        };

        if (first >= layer->end) {
            fill_todo(window, segment_key(i, SEGMENT_PAST_END));
            return;
        }
        if (i == n_fetched)
            n_fetched = look_ahead(window, segment, i);
        claim_layer(&claim);
        if (claim.lowest <= claim.highest && layer->leaf != NULL && segment->asks_leaves)
            segment_set_data(segment, i, find_what_data_is(&claim));
    }
}
