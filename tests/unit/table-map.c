/* SPDX-License-Identifier: LGPL-2.1-or-later
 * table-map.c - what a node with tables says of ranges, as answers: a unit at a time. */
#include "table-map.h"

#include <strata/resolve.h>

#include "node.h"

static StrataAnswer
answer_of_own(StrataNode *node, guint16 kind, guint64 place)
{
    switch (kind) {
    case STRATA_UNIT_DATA:
        return (StrataAnswer){ .kind = STRATA_ANSWER_DATA,
                               .role = (guint8)node->data_role,
                               .child_offset = place };
    case STRATA_UNIT_COMPRESSED:
        return (StrataAnswer){ .kind = STRATA_ANSWER_OWN, .flags = STRATA_RUN_COMPRESSED };
    case STRATA_UNIT_ENCRYPTED:
        return (StrataAnswer){ .kind = STRATA_ANSWER_OWN, .flags = STRATA_RUN_ENCRYPTED };
    default:
        g_assert_cmpuint(kind, ==, STRATA_UNIT_ZERO);
        return (StrataAnswer){ .kind = STRATA_ANSWER_ZERO };
    }
}

static StrataAnswer
answer_of_others(StrataNode *node, guint64 offset)
{
    if (node->children[STRATA_ROLE_BACKING] == NULL)
        return (StrataAnswer){ .kind = STRATA_ANSWER_ABSENT };
    return (StrataAnswer){ .kind = STRATA_ANSWER_FORWARD,
                           .role = STRATA_ROLE_BACKING,
                           .child_offset = offset };
}

/* For the unit of @offset, or the empty slice. FALSE with @error where it is damaged. */
static gboolean
answer_at(StrataNode *node, const StrataSlice *slice, guint64 offset, guint64 end,
          StrataAnswer *out_answer, GError **error)
{
    const guint64 wanted = 1, size = G_GUINT64_CONSTANT(1) << node->unit_bits;
    gsize unit = (offset - slice->begin) >> node->unit_bits;
    guint64 own = 0, place = 0, begin = slice->begin + ((guint64)unit << node->unit_bits);
    guint16 kind = 0;
    StrataUnits units = { .kinds = &kind, .places = &place, .lowest = G_MAXUINT64 };
    guint64 unit_end = slice->is_empty ? slice->end : begin + size;

    if (!slice->is_empty)
        node->driver->find_own(node, slice, unit, 1, &own);
    *out_answer = answer_of_others(node, offset);
    if (own != 0 && node->driver->tell_units(node, slice, unit, 1, &wanted, &units) == 0) {
        node->driver->throw_damage(node, slice, unit, error);
        return FALSE;
    }
    if (own != 0)
        *out_answer = answer_of_own(node, kind, place + (offset - begin));
    if (out_answer->kind == STRATA_ANSWER_DATA) {
        g_assert_cmphex(units.lowest, ==, place);
        g_assert_cmphex(units.highest, ==, place);
    }
    out_answer->length = MIN(unit_end, end) - offset;
    return TRUE;
}

static gboolean
continues(const StrataAnswer *last, const StrataAnswer *next)
{
    gboolean has_offset = next->kind == STRATA_ANSWER_DATA || next->kind == STRATA_ANSWER_FORWARD;

    return last->kind == next->kind && last->flags == next->flags &&
           (!has_offset || last->child_offset + last->length == next->child_offset);
}

gsize
table_map(StrataNode *node, const StrataRange *ranges, gsize n_ranges, StrataAnswer *answers,
          gsize max_answers, GError **error)
{
    g_auto(StrataSlice) slice = { 0 };
    gsize n = 0;

    for (gsize i = 0; i < n_ranges; i++) {
        guint64 at = ranges[i].offset, end = at + ranges[i].length;
        gsize first = n;
        StrataAnswer answer;

        for (; at < end; at += answer.length) {
            GError **told = n == 0 ? error : NULL;

            if (!node->driver->seek_slice(node, &slice, at, end, told) ||
                !answer_at(node, &slice, at, end, &answer, told))
                return n;
            if (n > first && continues(&answers[n - 1], &answer))
                answers[n - 1].length += answer.length;
            else if (n < max_answers)
                answers[n++] = answer;
            else
                return n;
        }
    }
    return n;
}
