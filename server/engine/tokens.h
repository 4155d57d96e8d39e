/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tokens.h - a rate with some leave: tokens that are spent, and grow again with time. */
#ifndef STRATA_TOKENS_H
#define STRATA_TOKENS_H

#include <glib.h>

/* Not locked: who owns it does that. Times are monotonic, in microseconds. */
typedef struct {
    double left;
    gint64 filled_at;
} Tokens;

/* What grew since it was last seen; there are never more than @most. */
static inline void
tokens_grow(Tokens *tokens, gint64 now, double per_second, double most)
{
    double grown = (double)(now - tokens->filled_at) / G_TIME_SPAN_SECOND * per_second;

    tokens->filled_at = now;
    tokens->left = MIN(tokens->left + grown, most);
}

#endif
