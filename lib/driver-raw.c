/* SPDX-License-Identifier: LGPL-2.1-or-later
 * driver-raw.c - the bytes of the child as they are, from "offset" on, "size" of them.
 *
 * Directly above a protocol leaf it is a layer: the leaf is where it keeps its bytes, and it claims
 * them all, holes included. Above any other node it is a window: it claims nothing and forwards
 * everything, and whoever stands below decides (docs/resolving.md). */
#include <inttypes.h>

#include "checked.h"
#include "driver.h"
#include "error.h"
#include "node.h"
#include "spec.h"

typedef struct {
    guint64 offset; /* bytes, in the child; offset + node->size is within the child */
} RawState;

static const char *const raw_options[] = { "offset", "size", NULL };

/* Says where in the child the node begins and how long it is. */
static gboolean
find_range(StrataNode *node, guint64 child_size, guint64 *out_offset, guint64 *out_size,
           GError **error)
{
    *out_offset = 0;
    spec_get_size(node->spec, "offset", out_offset);
    if (*out_offset > child_size) {
        return strata_throw(error, node, STRATA_ERROR_SPEC,
                            "\"offset\" is %" PRIu64 ", past the end of what it stands on, which "
                            "has %" PRIu64 " bytes",
                            *out_offset, child_size);
    }
    *out_size = child_size - *out_offset;
    spec_get_size(node->spec, "size", out_size);
    if (!range_within(*out_offset, *out_size, child_size)) {
        return strata_throw(error, node, STRATA_ERROR_SPEC,
                            "\"offset\" %" PRIu64 " and \"size\" %" PRIu64 " reach past the end of "
                            "what it stands on, which has %" PRIu64 " bytes: there \"size\" can be "
                            "at most %" PRIu64,
                            *out_offset, *out_size, child_size, child_size - *out_offset);
    }
    return TRUE;
}

static gboolean
raw_open(StrataNode *node, StrataOpener *opener, GError **error)
{
    StrataNode *child = node->children[STRATA_ROLE_FILE];
    RawState *state = g_new0(RawState, 1);

    node->state = state;
    if (!find_range(node, child->size, &state->offset, &node->size, error))
        return FALSE;
    node->claims = strata_node_is_storage(child);
    node->forward_roles = node->claims ? 0 : 1 << STRATA_ROLE_FILE;
    node->forward_offset = state->offset;
    node->is_plain = TRUE;
    node->place = child->place;
    node->place.known =
        child->place.known && checked_add(child->place.offset, state->offset, &node->place.offset);
    return TRUE;
}

static void
raw_close(StrataNode *node)
{
    g_free(node->state);
}

static gsize
raw_map(StrataNode *node, const StrataRange *ranges, gsize n_ranges, StrataAnswer *answers,
        gsize max_answers, GError **error)
{
    const RawState *state = node->state;
    gsize n = MIN(n_ranges, max_answers);

    for (gsize i = 0; i < n; i++) {
        answers[i] = (StrataAnswer){
            .length = ranges[i].length,
            .child_offset = state->offset + ranges[i].offset,
            .kind = node->claims ? STRATA_ANSWER_DATA : STRATA_ANSWER_FORWARD,
            .role = STRATA_ROLE_FILE,
        };
    }
    return n;
}

static void
raw_describe(StrataNode *node, GVariantDict *dict)
{
    const RawState *state = node->state;

    g_variant_dict_insert(dict, "offset", "t", state->offset);
}

const StrataDriver strata_driver_raw = {
    .name = "raw",
    .required_roles = 1 << STRATA_ROLE_FILE,
    .options = raw_options,
    .open = raw_open,
    .close = raw_close,
    .map = raw_map,
    .describe = raw_describe,
};
