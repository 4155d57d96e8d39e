/* SPDX-License-Identifier: LGPL-2.1-or-later
 * status.c - block status replies (NBD protocol, NBD_REPLY_TYPE_BLOCK_STATUS), and what their
 * values mean: base:allocation, qemu:allocation-depth (QEMU, docs/interop/nbd.txt) and strata:joint
 * (strata-contexts(7)). */
#include "nbd/status.h"

#include <strata/resolve.h>

/* Bits of base:allocation and of strata:joint. */
#define BIT_ZERO         (1u << 1)
#define JOINT_CLAIMED    (1u << 2)
#define JOINT_COMPRESSED (1u << 3)
#define JOINT_ENCRYPTED  (1u << 4)
#define JOINT_PAST_END   (1u << 5)
#define JOINT_LAYER(v)   ((v) >> 8)

/* StrataAnswer.depth has 16 bits; no chain is so long. */
#define MAX_DEPTH 65536

void
remote_status_init(RemoteStatus *status)
{
    for (guint i = 0; i < REMOTE_MAX_CONTEXTS; i++)
        status->extents[i] = g_array_new(FALSE, FALSE, sizeof(RemoteExtent));
    status->wrong = NULL;
}

void
remote_status_clear(RemoteStatus *status)
{
    for (guint i = 0; i < REMOTE_MAX_CONTEXTS; i++)
        g_clear_pointer(&status->extents[i], g_array_unref);
}

void
remote_status_reset(RemoteStatus *status)
{
    for (guint i = 0; i < REMOTE_MAX_CONTEXTS; i++)
        g_array_set_size(status->extents[i], 0);
    status->wrong = NULL;
}

void
remote_status_add(RemoteStatus *status, guint index, const guint32 *entries, gsize n_entries)
{
    GArray *extents = status->extents[index];

    if (extents->len > 0)
        status->wrong = "it speaks twice of one context";
    for (gsize i = 0; i + 1 < n_entries && !status->wrong; i += 2) {
        RemoteExtent extent = { .length = entries[i], .value = entries[i + 1] };
        RemoteExtent *last =
            extents->len ? &g_array_index(extents, RemoteExtent, extents->len - 1) : NULL;

        if (extent.length == 0)
            status->wrong = "it has an extent of no length";
        else if (last && last->value == extent.value)
            last->length += extent.length;
        else if (extents->len == REMOTE_MAX_EXTENTS)
            return;
        else
            g_array_append_val(extents, extent);
    }
}

guint64
remote_cursor_peek(const RemoteCursor *cursor, guint32 *out_values)
{
    guint64 length = G_MAXUINT64;

    for (guint i = 0; i < cursor->n_contexts; i++) {
        const GArray *extents = cursor->status->extents[i];
        const RemoteExtent *extent;

        if (cursor->index[i] >= extents->len)
            return 0;
        extent = &g_array_index(extents, RemoteExtent, cursor->index[i]);
        out_values[i] = extent->value;
        length = MIN(length, extent->length - cursor->used[i]);
    }
    return length;
}

void
remote_cursor_advance(RemoteCursor *cursor, guint64 length)
{
    for (guint i = 0; i < cursor->n_contexts; i++) {
        const GArray *extents = cursor->status->extents[i];

        cursor->used[i] += length;
        if (cursor->used[i] == g_array_index(extents, RemoteExtent, cursor->index[i]).length) {
            cursor->index[i]++;
            cursor->used[i] = 0;
        }
    }
}

static guint16
joint_flags(guint32 joint)
{
    return (joint & JOINT_COMPRESSED ? STRATA_RUN_COMPRESSED : 0) |
           (joint & JOINT_ENCRYPTED ? STRATA_RUN_ENCRYPTED : 0) |
           (joint & JOINT_PAST_END ? STRATA_RUN_PAST_END : 0);
}

/* A server that tells its layers says who claims, and must not contradict itself: its numbers
 * become claims of nodes here. */
static const char *
answer_by_layer(const RemoteMeaning *meaning, guint32 depth, guint32 joint,
                StrataAnswer *out_answer)
{
    gboolean is_claimed = (joint & JOINT_CLAIMED) != 0;

    if (is_claimed != (depth > 0))
        return "it claims a range without a depth, or the reverse";
    if (!is_claimed && !(joint & BIT_ZERO))
        return "nobody claims a range that is not zeros";
    if (!is_claimed)
        return NULL;
    if (JOINT_LAYER(joint) == 0 || JOINT_LAYER(joint) > meaning->n_layers)
        return "a layer claims a range that it did not list";
    out_answer->layer = JOINT_LAYER(joint);
    out_answer->flags = joint_flags(joint);
    return NULL;
}

const char *
remote_meaning_answer(const RemoteMeaning *meaning, const guint32 *values, StrataAnswer *out_answer)
{
    guint32 joint = meaning->joint >= 0 ? values[meaning->joint] : 0;
    guint32 allocation = meaning->allocation >= 0 ? values[meaning->allocation] : joint;
    guint32 depth = meaning->depth >= 0 ? values[meaning->depth] : 1;
    gboolean is_zero = allocation & BIT_ZERO;
    const char *wrong = NULL;

    *out_answer = (StrataAnswer){ .kind = is_zero ? STRATA_ANSWER_ZERO : STRATA_ANSWER_OWN };
    if (depth > MAX_DEPTH)
        return "it tells a depth above 65536";
    if (meaning->joint >= 0)
        wrong = answer_by_layer(meaning, depth, joint, out_answer);
    /* Nobody claims it, and yet it is not known to be zeros: data must not be lost, so the server
     * as a whole claims it. */
    if (depth == 0 && is_zero)
        out_answer->kind = STRATA_ANSWER_ABSENT;
    out_answer->depth = depth > 0 ? depth - 1 : 0;
    return wrong;
}
