/* SPDX-License-Identifier: LGPL-2.1-or-later
 * walk-model.h - the walk once more, a byte at a time, for nodes in memory. */
#ifndef TESTS_WALK_MODEL_H
#define TESTS_WALK_MODEL_H

#include <strata/resolve.h>

/* "OFFSET+LENGTH data|zero... DEPTH CLAIMANT LEAF@OFFSET\n"; free with g_free(). */
char *run_to_string(const StrataRun *run);

/* Resolves all of @top, made of nodes of mem-node.h, by @walk, in random steps, and compares each
 * byte with what the model says. @seed: for the message. */
void walk_model_check(StrataNode *top, StrataWalk *walk, GRand *rand, guint32 seed);

/* Asks @n_questions of any ranges and details, each of which often goes on where the one before
 * could have stopped, and compares what is asked for; neighbours must differ in it. */
void walk_model_question(StrataNode *top, StrataWalk *walk, GRand *rand, guint32 seed,
                         guint n_questions);

#endif
