/* SPDX-License-Identifier: LGPL-2.1-or-later
 * ask.c - asking a driver, and holding it to its contract. */
#include "ask.h"

#include <strata/resolve.h>

#include "checked.h"
#include "error.h"
#include "node.h"

/* The layers of a server follow its node in the pre-order. */
StrataNode *
answer_claimant(StrataNode *node, const StrataAnswer *answer)
{
    return node->graph->nodes->pdata[node->index + answer->layer];
}

/* Whether @answer keeps the promises of driver.h to a range of @length bytes. */
static const char *
broken_promise(StrataNode *node, const StrataAnswer *answer, guint64 length)
{
    gboolean sent = answer_names_child(answer->kind);
    gboolean mine = answer_is_mine(answer->kind);
    guint64 end;

    if (answer->kind > STRATA_ANSWER_ABSENT)
        return "an unknown kind of answer";
    if (answer->length == 0 || answer->length > length)
        return "a length that is not within the range";
    if (sent && (answer->role >= STRATA_N_ROLES || !node->children[answer->role]))
        return "a child that it does not have";
    if (sent && !checked_add(answer->child_offset, answer->length, &end))
        return "a child offset that wraps around";
    if (answer->kind == STRATA_ANSWER_DATA && answer->role == STRATA_ROLE_BACKING)
        return "bytes of its own that lie in its backing file";
    if (answer->kind == STRATA_ANSWER_FORWARD && !(node->forward_roles & (1u << answer->role)))
        return "a forward to a role that it did not announce";
    if (answer->kind == STRATA_ANSWER_FORWARD && answer->role != STRATA_ROLE_BACKING &&
        !range_within(answer->child_offset, answer->length, node->children[answer->role]->size))
        return "a look through its storage that goes past the end of it";
    if (answer->layer > (mine ? node->n_layers : 0))
        return "a claim for a layer that it does not have";
    if (mine && !answer_claimant(node, answer)->claims)
        return "a claim though it is a window";
    if (!node->tells_depth && (answer->depth || answer->flags & STRATA_RUN_PAST_END))
        return "what only a server that tells depth can know";
    if (answer->flags && answer->kind != STRATA_ANSWER_OWN &&
        !(node->tells_depth && answer->kind == STRATA_ANSWER_ZERO))
        return "encoding flags on bytes that it does not deliver";
    return NULL;
}

gsize
ask_node_for(StrataNode *node, const StrataRange *ranges, gsize n_ranges, StrataAnswer *answers,
             gsize max_answers, GError **error)
{
    guint64 left = ranges[0].length;
    gsize range = 0;
    gsize n;

    if (!changes_check_node(node, error))
        return 0;
    n = node->driver->map(node, ranges, n_ranges, answers, max_answers, error);
    for (gsize i = 0; i < n; i++) {
        const char *broken = i < max_answers && range < n_ranges
                                 ? broken_promise(node, &answers[i], left)
                                 : "more than it was asked for";

        if (broken) {
            if (i == 0)
                strata_throw(error, node, STRATA_ERROR_INTERNAL,
                             "driver '%s' broke its contract at 0x%" G_GINT64_MODIFIER
                             "x by answering %s; please report this bug of strata",
                             node->driver->name, ranges[0].offset, broken);
            return i;
        }
        left -= answers[i].length;
        if (left == 0 && ++range < n_ranges)
            left = ranges[range].length;
    }
    return n;
}
