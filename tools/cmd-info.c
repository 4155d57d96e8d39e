/* SPDX-License-Identifier: LGPL-2.1-or-later
 * cmd-info.c - "strata info": the graph of an image, or what a server says of an export. */
#include "commands.h"

#include "describe.h"
#include "options.h"
#include "print.h"
#include "remote.h"

static const Usage usage = {
    .operands = "SPEC|URI",
    .summary =
        "Prints the graph behind an image: every node with its role, name, driver and size,\n"
        "and the layers with the numbers by which strata counts them.\n"
        "Of an NBD server (nbd://..., nbd+unix://...) prints the export, its metadata\n"
        "contexts and layers, and what else the server exports.",
    .description =
        "SPEC is a file name, json:{...}, or with --image-opts driver=...,file.driver=...",
};

static GVariant *
cmd_info_describe(const Options *options, GError **error)
{
    g_autoptr(StrataGraph) graph = NULL;

    if (!options->image_opts && remote_is_uri(options->operands[0]))
        return options_check_remote(options, error) ? describe_remote(options->operands[0], error)
                                                    : NULL;
    graph = options_open_graph(options, error);
    return graph == NULL ? NULL : describe_graph(graph);
}

gboolean
cmd_info(char **words, GError **error)
{
    static const GOptionEntry own[] = { { 0 } };
    g_auto(Options) options = { 0 };
    g_autoptr(GVariant) info = NULL;

    if (!options_parse(&options, words, &usage, own, error))
        return FALSE;
    info = cmd_info_describe(&options, error);
    if (info == NULL)
        return FALSE;
    if (options.json) {
        print_json_variant(info, stdout);
        fputc('\n', stdout);
    } else {
        print_text_info(info, stdout);
    }
    return TRUE;
}
