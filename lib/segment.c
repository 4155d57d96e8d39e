/* SPDX-License-Identifier: LGPL-2.1-or-later
 * segment.c - a stretch of a chain whose layers have tables, taken as one. */
#include "segment.h"

#include "checked.h"
#include "node.h"

/* So many granules may the unit of a layer have: each costs a little, wherever it lies. */
#define MAX_UNIT_GRANULES_BITS 6

/* What the signs have bits for. */
#define MAX_LAYERS 4000

#define CONTENT_DETAILS (STRATA_DETAIL_ZERO | STRATA_DETAIL_FLAGS | STRATA_DETAIL_PLACE)

static gboolean
has_tables(const StrataNode *node)
{
    return node->driver->seek_slice != NULL;
}

/* -- Which layers -- */

/* Finds where the data of @layer lies, through plain nodes. */
static void
find_leaf(SegmentLayer *layer)
{
    StrataNode *node = layer->node->children[layer->node->data_role];
    guint64 shift = 0, end = G_MAXUINT64;

    while (node != NULL && node->is_plain) {
        end = MIN(end, node->size > shift ? node->size - shift : 0);
        if (!checked_add(shift, node->forward_offset, &shift))
            return;
        node = node->children[STRATA_ROLE_FILE];
    }
    if (node == NULL || !node->driver->is_quick_to_map)
        return;
    layer->leaf = node;
    layer->leaf_shift = shift;
    layer->storage_end = MIN(end, node->size > shift ? node->size - shift : 0);
}

/* Goes from the node at @entry through windows to one that is none. Returns FALSE if an offset
 * would wrap. */
static gboolean
skip_windows(StrataNode *entry, StrataNode **out_node, guint64 *shift)
{
    StrataNode *node = entry;

    while (node != NULL && node->is_plain && !node->claims) {
        if (!checked_add(*shift, node->forward_offset, shift))
            return FALSE;
        node = node->children[STRATA_ROLE_FILE];
    }
    *out_node = node;
    return TRUE;
}

/* Narrows the granule of a segment to what @node needs besides. Returns FALSE, and leaves it as it
 * is, if @node does not fit in with the coarsest of the others. */
static gboolean
fit_granule(guint *granule_bits, guint coarsest_bits, const StrataNode *node, guint64 shift)
{
    guint bits = MIN(*granule_bits, node->unit_bits);

    if (MAX(coarsest_bits, node->unit_bits) - bits > MAX_UNIT_GRANULES_BITS ||
        !is_aligned(shift, G_GUINT64_CONSTANT(1) << node->unit_bits))
        return FALSE;
    *granule_bits = bits;
    return TRUE;
}

/* A server on the other side sees each request; more of them, or others, are not for us to make. */
static gboolean
has_local_tables(const StrataNode *node)
{
    const StrataNode *storage = node->children[STRATA_ROLE_FILE];

    for (guint i = storage ? storage->index : 0; storage && i < storage->subtree_end; i++) {
        const StrataNode *below = node->graph->nodes->pdata[i];

        if (below->driver->is_protocol && !below->driver->is_quick_to_map)
            return FALSE;
    }
    return storage != NULL;
}

static void
add_layer(GArray *layers, StrataNode *node, StrataNode *entry, guint64 entry_shift, guint64 shift)
{
    SegmentLayer layer = {
        .node = node,
        .entry = entry,
        .shift = shift,
        .end = entry->size > entry_shift ? entry->size - entry_shift : 0,
        .depth = layers->len + 1,
        .is_local = has_local_tables(node),
    };

    find_leaf(&layer);
    g_array_append_val(layers, layer);
}

static void
find_layers(Segment *segment, StrataNode *head, GArray *layers)
{
    guint coarsest_bits = head->unit_bits;
    guint64 shift = 0;
    StrataNode *entry;

    segment->granule_bits = head->unit_bits;
    add_layer(layers, head, head, 0, 0);
    for (entry = head->children[STRATA_ROLE_BACKING]; entry != NULL;) {
        guint64 further = shift;
        StrataNode *node;

        if (layers->len == MAX_LAYERS || !skip_windows(entry, &node, &further) || node == NULL ||
            !has_tables(node) || !fit_granule(&segment->granule_bits, coarsest_bits, node, further))
            break;
        add_layer(layers, node, entry, shift, further);
        coarsest_bits = MAX(coarsest_bits, node->unit_bits);
        shift = further;
        entry = node->children[STRATA_ROLE_BACKING];
    }
    segment->rest = entry;
    segment->rest_shift = shift;
}

/* -- Outcomes -- */

/* Whether anything of interest depends on where data lies. */
static gboolean
looks_into_data(const Segment *segment)
{
    return (segment->details & CONTENT_DETAILS) != 0;
}

static guint64
make_sign(const SegmentOutcome *outcome, guint key, guint details, gboolean is_claimed)
{
    const StrataRun *run = &outcome->run;
    guint64 sign = 0;

    if (outcome->child != NULL)
        return (outcome->has_place ? SEGMENT_HAS_PLACE : 0) | G_GUINT64_CONSTANT(1) << 62 | key;
    if (details & STRATA_DETAIL_ZERO)
        sign |= run->flags & STRATA_RUN_ZERO;
    if (details & STRATA_DETAIL_FLAGS)
        sign |= run->flags & ~STRATA_RUN_ZERO & ~(is_claimed ? STRATA_RUN_PAST_END : 0u);
    if (details & STRATA_DETAIL_DEPTH && !is_claimed)
        sign |= (guint64)run->depth << 4;
    if (details & STRATA_DETAIL_CLAIMANT && !is_claimed && run->claimant != NULL)
        sign |= (guint64)(run->claimant->index + 1) << 16;
    if (details & STRATA_DETAIL_PLACE && run->leaf != NULL)
        sign |= SEGMENT_HAS_PLACE | (guint64)run->leaf->index << 32;
    return sign;
}

static void
set_outcome(Segment *segment, guint key, SegmentOutcome outcome)
{
    segment->outcomes[key] = outcome;
    for (guint is_claimed = 0; is_claimed < 2; is_claimed++)
        segment->signs[is_claimed][key] = make_sign(&outcome, key, segment->details, is_claimed);
}

/* @leaf: (nullable): who delivers the bytes. */
static void
set_layer_outcome(Segment *segment, guint i, guint kind, guint flags, StrataNode *leaf)
{
    const SegmentLayer *layer = &segment->layers[i];
    StrataNode *claimant = kind == SEGMENT_PAST_END ? layer->entry : layer->node;

    set_outcome(segment, segment_key(i, kind),
                (SegmentOutcome){
                    .run = { .claimant = claimant,
                             .depth = layer->depth,
                             .flags = flags,
                             .leaf = leaf,
                             .leaf_offset = leaf == layer->leaf ? layer->leaf_shift : 0 },
                    .has_place = kind != SEGMENT_PAST_END,
                });
}

static void
set_data_outcome(Segment *segment, guint i)
{
    const SegmentLayer *layer = &segment->layers[i];
    SegmentOutcome outcome = {
        .run = { .claimant = layer->node, .depth = layer->depth },
        .has_place = TRUE,
    };

    if (looks_into_data(segment))
        outcome.child = layer->node->children[layer->node->data_role];
    set_outcome(segment, segment_key(i, STRATA_UNIT_DATA), outcome);
}

void
segment_set_data(Segment *segment, guint i, guint data_is)
{
    SegmentKey key = segment_key(i, STRATA_UNIT_DATA);

    if (segment->layers[i].data_is == data_is)
        return;
    segment->layers[i].data_is = data_is;
    if (data_is == STRATA_UNIT_DATA)
        set_data_outcome(segment, i);
    else
        set_outcome(segment, key, segment->outcomes[segment_key(i, data_is)]);
}

static void
set_outcomes(Segment *segment)
{
    SegmentOutcome unclaimed = { .child = segment->rest, .child_shift = segment->rest_shift };

    for (guint i = 0; i < segment->n_layers; i++) {
        StrataNode *node = segment->layers[i].node;

        segment->layers[i].data_is = STRATA_UNIT_DATA;
        set_data_outcome(segment, i);
        set_layer_outcome(segment, i, STRATA_UNIT_COMPRESSED, STRATA_RUN_COMPRESSED, node);
        set_layer_outcome(segment, i, STRATA_UNIT_ENCRYPTED, STRATA_RUN_ENCRYPTED, node);
        set_layer_outcome(segment, i, STRATA_UNIT_ZERO, STRATA_RUN_ZERO, NULL);
        set_layer_outcome(segment, i, SEGMENT_PAST_END, STRATA_RUN_ZERO | STRATA_RUN_PAST_END,
                          NULL);
        set_layer_outcome(segment, i, SEGMENT_FOUND, 0, segment->layers[i].leaf);
        set_layer_outcome(segment, i, SEGMENT_HOLE, STRATA_RUN_ZERO, NULL);
    }
    if (segment->rest == NULL)
        unclaimed.run.flags = STRATA_RUN_ZERO;
    else
        unclaimed.run.depth = segment->n_layers; /* that many edges lead to it */
    set_outcome(segment, segment_unclaimed(segment), unclaimed);
}

gboolean
segment_seek(SegmentLayer *layer, guint64 offset, guint64 limit, GError **error)
{
    StrataNode *node = layer->node;

    return changes_check_node(node, error) &&
           node->driver->seek_slice(node, &layer->slice, offset, limit, error);
}

Segment *
segment_new(StrataNode *head)
{
    Segment *segment = g_new0(Segment, 1);
    GArray *layers = g_array_new(FALSE, FALSE, sizeof(SegmentLayer));
    gsize n_keys;

    find_layers(segment, head, layers);
    segment->n_layers = layers->len;
    segment->reached = G_MAXUINT64;
    n_keys = segment_unclaimed(segment) + 1;
    segment->layers = (SegmentLayer *)(gpointer)g_array_free(layers, FALSE);
    segment->outcomes = g_new0(SegmentOutcome, n_keys);
    segment->signs[0] = g_new0(guint64, n_keys);
    segment->signs[1] = g_new0(guint64, n_keys);
    return segment;
}

void
segment_set_details(Segment *segment, guint details, gboolean asks_leaves)
{
    gboolean asks = asks_leaves && (details & CONTENT_DETAILS) != 0;

    if (segment->details == details && segment->asks_leaves == asks)
        return;
    segment->details = details;
    segment->asks_leaves = asks;
    set_outcomes(segment);
}

void
segment_close(Segment *segment)
{
    for (guint i = 0; i < segment->n_layers; i++)
        slice_close(&segment->layers[i].slice);
}

void
segment_free(Segment *segment)
{
    segment_forget_ahead(segment);
    segment_close(segment);
    g_free(segment->layers);
    g_free(segment->outcomes);
    g_free(segment->signs[0]);
    g_free(segment->signs[1]);
    g_free(segment);
}
