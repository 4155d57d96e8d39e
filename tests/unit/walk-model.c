/* SPDX-License-Identifier: LGPL-2.1-or-later
 * walk-model.c - the walk once more, a byte at a time, for nodes in memory. */
#include "walk-model.h"

#include <strata/error.h>

#include "mem-node.h"

char *
run_to_string(const StrataRun *run)
{
    return g_strdup_printf(
        "%" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT " %s%s%s %u %s %s@%" G_GUINT64_FORMAT "\n",
        run->offset, run->length, run->flags & STRATA_RUN_ZERO ? "zero" : "data",
        run->flags & STRATA_RUN_PAST_END ? ",past-end" : "",
        run->flags & STRATA_RUN_COMPRESSED ? ",compressed" : "", run->depth,
        run->claimant ? strata_node_get_name(run->claimant) : "-",
        run->leaf ? strata_node_get_name(run->leaf) : "-", run->leaf ? run->leaf_offset : 0);
}

/* What the model finds for a byte that no walk can tell. */
#define FAULT 0x8000

/* The model: one byte, by recursion, straight from the words of docs/resolving.md. */
static StrataRun
model_byte(StrataNode *node, guint64 offset, StrataNode *claimant, guint crossed)
{
    StrataAnswer answer;
    StrataRun run = { .claimant = claimant, .depth = crossed };
    StrataNode *child;

    if (!mem_node_tell(node, offset, &answer))
        return (StrataRun){ .flags = FAULT };
    if (!claimant && answer.kind != STRATA_ANSWER_FORWARD && answer.kind != STRATA_ANSWER_ABSENT) {
        run.claimant = claimant = node;
        run.depth = crossed = crossed + 1;
    }
    if (answer.kind == STRATA_ANSWER_OWN) {
        run.leaf = node;
        run.leaf_offset = offset;
        run.flags = answer.flags;
        return run;
    }
    if (answer.kind == STRATA_ANSWER_ZERO || answer.kind == STRATA_ANSWER_ABSENT) {
        run.flags = STRATA_RUN_ZERO;
        run.depth = claimant ? crossed : 0;
        return run;
    }
    child = node->children[answer.role];
    if (answer.role == STRATA_ROLE_BACKING && !claimant)
        crossed++;
    if (answer.child_offset < child->size)
        return model_byte(child, answer.child_offset, claimant, crossed);
    if (answer.role != STRATA_ROLE_BACKING) {
        run.leaf = child;
        run.leaf_offset = answer.child_offset;
        return run;
    }
    run.flags = STRATA_RUN_ZERO | (claimant ? 0 : STRATA_RUN_PAST_END);
    run.claimant = claimant ? claimant : child;
    run.depth = claimant ? crossed : crossed + 1;
    return run;
}

/* Compares the bytes of a run with the model, and returns where it ends. */
static guint64
check_run(StrataNode *top, const StrataRun *run, guint32 seed)
{
    for (guint64 j = 0; j < run->length; j++) {
        StrataRun model = model_byte(top, run->offset + j, NULL, 0);

        if (run->claimant != model.claimant || run->depth != model.depth ||
            run->flags != model.flags || run->leaf != model.leaf ||
            (model.leaf && run->leaf_offset + j != model.leaf_offset)) {
            g_autofree char *got = run_to_string(run);
            g_autofree char *want = run_to_string(&model);

            g_error("seed %u byte %" G_GUINT64_FORMAT ": got %swant %s", seed, run->offset + j, got,
                    want);
        }
    }
    return run->offset + run->length;
}

void
walk_model_check(StrataNode *top, StrataWalk *walk, GRand *rand, guint32 seed)
{
    guint64 offset = 0;

    while (offset < top->size) {
        guint64 length = g_rand_int_range(rand, 1, top->size - offset + 1);
        g_autoptr(GError) error = NULL;
        gsize n;
        const StrataRun *runs = strata_walk_resolve(walk, offset, length, &n, &error);

        if (!runs) {
            g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
            g_assert_cmpuint(model_byte(top, offset, NULL, 0).flags, ==, FAULT);
            offset++;
        }
        for (gsize i = 0; i < n; i++)
            offset = check_run(top, &runs[i], seed);
    }
}

/* -- Any questions, of any details -- */

static gboolean
details_differ(const StrataRun *run, const StrataRun *other, guint64 between, StrataDetails details)
{
    guint flags = run->flags ^ other->flags;

    return (details & STRATA_DETAIL_ZERO && flags & STRATA_RUN_ZERO) ||
           (details & STRATA_DETAIL_FLAGS && flags & ~(guint)STRATA_RUN_ZERO) ||
           (details & STRATA_DETAIL_DEPTH && run->depth != other->depth) ||
           (details & STRATA_DETAIL_CLAIMANT && run->claimant != other->claimant) ||
           (details & STRATA_DETAIL_PLACE &&
            (run->leaf != other->leaf ||
             (run->leaf && run->leaf_offset + between != other->leaf_offset)));
}

#define CONTENT_DETAILS (STRATA_DETAIL_ZERO | STRATA_DETAIL_FLAGS | STRATA_DETAIL_PLACE)

/* A fault below a claim hides nothing of the claim. */
static void
check_details(StrataNode *top, const StrataRun *run, StrataDetails details, guint32 seed)
{
    for (guint64 i = 0; i < run->length; i++) {
        StrataRun model = model_byte(top, run->offset + i, NULL, 0);

        if (model.flags & FAULT && !(details & CONTENT_DETAILS))
            continue;
        if (model.flags & FAULT || details_differ(run, &model, i, details)) {
            g_autofree char *got = run_to_string(run);
            g_autofree char *want = run_to_string(&model);

            g_error("seed %u byte %" G_GUINT64_FORMAT " details %u: got %swant %s", seed,
                    run->offset + i, details, got, want);
        }
    }
}

/* Returns where the runs end. */
static guint64
check_runs(StrataNode *top, const StrataRun *runs, gsize n, StrataDetails details, guint32 seed)
{
    guint64 at = runs[0].offset;

    for (gsize i = 0; i < n; i++) {
        g_assert_cmpuint(runs[i].offset, ==, at);
        g_assert_cmpuint(runs[i].length, >, 0);
        at += runs[i].length;
        check_details(top, &runs[i], details, seed);
        if (i > 0 && !details_differ(&runs[i - 1], &runs[i], runs[i - 1].length, details))
            g_error("seed %u: runs at %" G_GUINT64_FORMAT " are alike in details %u", seed,
                    runs[i].offset, details);
    }
    return at;
}

void
walk_model_question(StrataNode *top, StrataWalk *walk, GRand *rand, guint32 seed, guint n_questions)
{
    StrataDetails details = STRATA_DETAIL_ALL;
    guint64 next = 0; /* where the last question could have stopped */

    for (guint i = 0; i < n_questions; i++) {
        gboolean goes_on = next < top->size && g_rand_boolean(rand);
        guint64 offset = goes_on ? next : (guint64)g_rand_int_range(rand, 0, (gint32)top->size);
        guint64 left = top->size - offset;
        guint64 length =
            g_rand_boolean(rand) ? left : (guint64)g_rand_int_range(rand, 1, (gint32)left + 1);
        const StrataRun *runs;
        gsize n;

        if (g_rand_int_range(rand, 0, 4) == 0)
            details = (StrataDetails)g_rand_int_range(rand, 0, STRATA_DETAIL_ALL + 1);
        strata_walk_set_details(walk, details);
        runs = strata_walk_resolve(walk, offset, length, &n, NULL);
        if (!runs) {
            g_assert_cmpuint(model_byte(top, offset, NULL, 0).flags, ==, FAULT);
            continue;
        }
        g_assert_cmpuint(runs[0].offset, ==, offset);
        g_assert_cmpuint(check_runs(top, runs, n, details, seed), <=, offset + length);
        next = runs[g_rand_int_range(rand, 0, (gint32)n)].offset;
        next += (guint64)g_rand_int_range(rand, 0, 20);
    }
}
