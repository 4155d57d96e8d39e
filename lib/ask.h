/* SPDX-License-Identifier: LGPL-2.1-or-later
 * ask.h - asking a driver, and holding it to its contract. */
#ifndef STRATA_ASK_H
#define STRATA_ASK_H

#include "driver.h"

/* Calls map() of @node (driver.h), if it still is what it was when it was opened, and lets through
 * only the answers that keep the contract. Returns how many there are; 0 with @error. */
gsize ask_node_for(StrataNode *node, const StrataRange *ranges, gsize n_ranges,
                   StrataAnswer *answers, gsize max_answers, GError **error);

/* Whether an answer of that kind claims, and whether it names a child. */
static inline gboolean
answer_is_mine(guint8 kind)
{
    return kind != STRATA_ANSWER_FORWARD && kind != STRATA_ANSWER_ABSENT;
}

static inline gboolean
answer_names_child(guint8 kind)
{
    return kind == STRATA_ANSWER_DATA || kind == STRATA_ANSWER_FORWARD;
}

/* The node for which @answer of @node claims: itself, or a layer of its server. */
StrataNode *answer_claimant(StrataNode *node, const StrataAnswer *answer);

#endif
