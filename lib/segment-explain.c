/* SPDX-License-Identifier: LGPL-2.1-or-later
 * segment-explain.c - what each layer of a segment says of one byte, and for how long it says so:
 * the same questions to the same drivers as a window asks, one layer after the other. */
#include "segment.h"

#include "bits.h"
#include "node.h"

/* So many units further a layer is asked for how long it says the same. */
#define MAX_UNITS_AHEAD (1 << 18)

/* What a layer says from one of its offsets on. */
typedef struct {
    gboolean is_own;
    guint8 kind; /* StrataUnitKind, if it is */
    guint64 place;
    guint64 length; /* bytes for which it goes on so, at least 1 */
} Saying;

/* What the layer says of the unit at @offset, for which its slice is open. Returns FALSE if that is
 * damaged. */
static gboolean
ask_unit(SegmentLayer *layer, guint64 offset, Saying *out_saying)
{
    static const guint64 wanted = 1;
    StrataNode *node = layer->node;
    gsize unit = (gsize)((offset - layer->slice.begin) >> node->unit_bits);
    guint64 unit_size = G_GUINT64_CONSTANT(1) << node->unit_bits;
    guint64 into = offset & (unit_size - 1), own = 0, place = 0;
    guint16 kind = 0;
    StrataUnits units = { .kinds = &kind, .places = &place };

    if (!layer->slice.is_empty)
        node->driver->find_own(node, &layer->slice, unit, 1, &own);
    *out_saying = (Saying){ .is_own = own != 0, .length = unit_size - into };
    if (layer->slice.is_empty)
        out_saying->length = layer->slice.end - offset;
    if (own == 0)
        return TRUE;
    if (node->driver->tell_units(node, &layer->slice, unit, 1, &wanted, &units) == 0)
        return FALSE;
    out_saying->kind = (guint8)kind;
    out_saying->place = place + into;
    return TRUE;
}

static gboolean
goes_on(const Saying *saying, const Saying *next)
{
    if (saying->is_own != next->is_own || (saying->is_own && saying->kind != next->kind))
        return FALSE;
    return !saying->is_own || saying->kind != STRATA_UNIT_DATA ||
           next->place == saying->place + saying->length;
}

/* What the layer says from @offset on, for @length bytes at most. Returns FALSE if it cannot tell:
 * the walk says why. */
static gboolean
ask_layer(SegmentLayer *layer, guint64 offset, guint64 length, Saying *out_saying)
{
    Saying next;

    if (!segment_seek(layer, offset, offset + length, NULL) || !ask_unit(layer, offset, out_saying))
        return FALSE;
    /* Moves forward: no saying is empty. */
    for (guint i = 0; i < MAX_UNITS_AHEAD && out_saying->length < length; i++) {
        guint64 at = offset + out_saying->length;

        if (!segment_seek(layer, at, offset + length, NULL) || !ask_unit(layer, at, &next) ||
            !goes_on(out_saying, &next))
            break;
        out_saying->length += next.length;
    }
    out_saying->length = MIN(out_saying->length, length);
    return TRUE;
}

static StrataStep
step_of(const SegmentLayer *layer, guint64 offset, const Saying *saying)
{
    static const char *const names[] = {
        [STRATA_UNIT_DATA] = "data",
        [STRATA_UNIT_COMPRESSED] = "data",
        [STRATA_UNIT_ENCRYPTED] = "data",
        [STRATA_UNIT_ZERO] = "zero",
    };
    StrataNode *node = layer->node;
    StrataNode *backing = node->children[STRATA_ROLE_BACKING];
    StrataStep step = { .node = node, .offset = offset, .length = saying->length };

    if (!saying->is_own) {
        step.answer = backing ? "forward" : "absent";
        step.child = backing;
        step.child_offset = backing ? offset : 0;
        return step;
    }
    step.answer = names[saying->kind];
    if (saying->kind == STRATA_UNIT_DATA) {
        step.child = node->children[node->data_role];
        step.child_offset = saying->place;
    }
    return step;
}

static void
add_past_end(GArray *steps, StrataNode *node, guint64 offset, guint64 length, gboolean is_claimed)
{
    StrataStep step = {
        .node = node,
        .offset = offset,
        .length = length,
        .answer = "past-end",
        .claimant = is_claimed ? NULL : node,
    };

    g_array_append_val(steps, step);
}

/* The windows between the edge that comes to a layer and the layer itself. */
static void
add_windows(GArray *steps, const SegmentLayer *layer, guint64 offset, guint64 length)
{
    for (StrataNode *node = layer->entry; node != layer->node;
         node = node->children[STRATA_ROLE_FILE]) {
        StrataStep step = {
            .node = node,
            .offset = offset,
            .length = length,
            .answer = "forward",
            .child = node->children[STRATA_ROLE_FILE],
            .child_offset = offset + node->forward_offset,
        };

        g_array_append_val(steps, step);
        offset += node->forward_offset;
    }
}

void
segment_explain(Segment *segment, guint64 offset, guint64 length, gboolean is_claimed,
                GArray *steps)
{
    guint64 shift = 0;

    for (guint i = 0; i < segment->n_layers; i++) {
        SegmentLayer *layer = &segment->layers[i];
        Saying saying;
        StrataStep step;

        if (offset >= layer->end) {
            add_past_end(steps, layer->entry, offset + shift, length, is_claimed);
            return;
        }
        length = MIN(length, layer->end - offset);
        add_windows(steps, layer, offset + shift, length);
        shift = layer->shift;
        if (!ask_layer(layer, offset + shift, length, &saying))
            return;
        length = saying.length;
        step = step_of(layer, offset + shift, &saying);
        step.claimant = saying.is_own && !is_claimed ? layer->node : NULL;
        g_array_append_val(steps, step);
        if (saying.is_own)
            return;
    }
    if (segment->rest != NULL && offset + segment->rest_shift >= segment->rest->size)
        add_past_end(steps, segment->rest, offset + segment->rest_shift, length, is_claimed);
}
