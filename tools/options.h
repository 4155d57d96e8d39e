/* SPDX-License-Identifier: LGPL-2.1-or-later
 * options.h - what the command lines of all verbs have in common. */
#ifndef STRATA_TOOL_OPTIONS_H
#define STRATA_TOOL_OPTIONS_H

#include <strata/strata.h>

/* Zeroed before options_parse(), cleared after. */
typedef struct {
    char *format;
    gboolean image_opts;
    char **allow_dirs;
    char **allow_protocols;
    char *backing_format;
    gboolean probe;
    char **objects;
    gboolean force_share;
    char *metadata_cache;
    char *snapshot;
    gboolean json;
    char **operands; /* as many as the verb takes */
} Options;

typedef struct {
    const char *operands; /* "SPEC|URI", for the help text: one word for each */
    const char *summary;
    const char *description; /* what stands under the options in the help text */
} Usage;

void options_clear(Options *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

/* Parses a verb's words. @own: the verb's own options, ended by { 0 }. Prints the help text and
 * exits if --help is among them. What is wrong with the words is a G_OPTION_ERROR. */
gboolean options_parse(Options *options, char **words, const Usage *usage, const GOptionEntry *own,
                       GError **error);

/* Opens the graph that the first operand names, as the options say. */
StrataGraph *options_open_graph(const Options *options, GError **error);

/* An error if an option that only makes sense for images on this machine was given. */
gboolean options_check_remote(const Options *options, GError **error);

#endif
