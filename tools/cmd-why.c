/* SPDX-License-Identifier: LGPL-2.1-or-later
 * cmd-why.c - "strata why": the walk for one offset, step by step. */
#include "commands.h"

#include "options.h"
#include "print.h"
#include "remote.h"
#include "size.h"

static const Usage usage = {
    .operands = "SPEC OFFSET",
    .summary = "Prints how strata finds out who supplies the byte at OFFSET: which node was asked\n"
               "for which offset of its own, what it answered, and who was asked next.",
    .description =
        "SPEC is a file name, json:{...}, or with --image-opts driver=...,file.driver=...\n"
        "OFFSET is a number of bytes, or has a suffix k, M, G, T, P or E.\n\n"
        "Where the byte lies past the end of its file, the last line says so, and the exit\n"
        "status is 1.",
};

static gboolean
cmd_why_parse(Options *options, guint64 *out_offset, char **words, GError **error)
{
    static const GOptionEntry own[] = { { 0 } };

    if (!options_parse(options, words, &usage, own, error) ||
        !size_parse(options->operands[1], out_offset, error))
        return FALSE;
    if (!options->image_opts && remote_is_uri(options->operands[0])) {
        g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                            "a server does not tell how it finds its answers: 'strata why' needs "
                            "an image on this machine");
        return FALSE;
    }
    return TRUE;
}

static gboolean
cmd_why_check_offset(const MapSource *source, guint64 offset, GError **error)
{
    if (offset < source->size)
        return TRUE;
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT,
                "offset 0x%" G_GINT64_MODIFIER
                "x is not within the image, which ends at 0x%" G_GINT64_MODIFIER "x",
                offset, source->size);
    return FALSE;
}

/* What was printed tells the reason. */
static gboolean
cmd_why_throw_missing(guint64 offset, GError **error)
{
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED,
                "the byte at offset 0x%" G_GINT64_MODIFIER "x cannot be read", offset);
    return FALSE;
}

static gboolean
cmd_why_explain(StrataGraph *graph, guint64 offset, gboolean json, GError **error)
{
    g_autoptr(StrataWalk) walk = strata_walk_new(strata_graph_get_top(graph));
    g_autoptr(MapSource) source = source_new_local(graph);
    g_autoptr(GArray) steps = NULL;
    g_autofree char *missing = NULL;
    Explanation why = { .source = source, .offset = offset };
    StrataRun run;
    guint64 readable;

    if (!cmd_why_check_offset(source, offset, error))
        return FALSE;
    steps = strata_walk_explain(walk, offset, &run, error);
    if (steps == NULL)
        return FALSE;
    why.steps = steps;
    why.result = source_extent_of_run(source, &run);
    readable = source_readable_part(&run);
    if (readable > 0) {
        why.result.length = readable;
    } else {
        missing = source_explain_missing(&run);
        why.result.content = CONTENT_ERROR;
        why.result.message = missing;
    }
    if (json)
        print_json_explanation(&why, stdout);
    else
        print_text_explanation(&why, stdout);
    return missing == NULL || cmd_why_throw_missing(offset, error);
}

gboolean
cmd_why(char **words, GError **error)
{
    g_auto(Options) options = { 0 };
    g_autoptr(StrataGraph) graph = NULL;
    guint64 offset;

    if (!cmd_why_parse(&options, &offset, words, error))
        return FALSE;
    graph = options_open_graph(&options, error);
    return graph != NULL && cmd_why_explain(graph, offset, options.json, error);
}
