/* SPDX-License-Identifier: LGPL-2.1-or-later
 * options.c - what the command lines of all verbs have in common. */
#include "options.h"

void
options_clear(Options *options)
{
    g_clear_pointer(&options->format, g_free);
    g_clear_pointer(&options->allow_dirs, g_strfreev);
    g_clear_pointer(&options->backing_format, g_free);
    g_clear_pointer(&options->operands, g_strfreev);
}

static void
options_add_shared(Options *options, GOptionContext *context)
{
    /* Operands are of FILENAME kind: names of files are bytes and not text in the locale's
     * encoding. */
    const GOptionEntry entries[] = {
        { "format", 'f', 0, G_OPTION_ARG_STRING, &options->format,
          "format of the topmost image: qcow2, raw (default: qcow2 if its header says so)", "FMT" },
        { "image-opts", 0, 0, G_OPTION_ARG_NONE, &options->image_opts,
          "SPEC is driver=...,file.driver=... and not a file name; not with --format", NULL },
        { "allow", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->allow_dirs,
          "let image headers name files beneath DIR too; may be repeated", "DIR" },
        { "backing-format", 0, 0, G_OPTION_ARG_STRING, &options->backing_format,
          "format of backing files whose overlay does not say it", "FMT" },
        { "json", 0, 0, G_OPTION_ARG_NONE, &options->json, "print JSON", NULL },
        { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->operands, NULL, NULL },
        { 0 },
    };

    g_option_context_add_main_entries(context, entries, NULL);
}

static gboolean
options_check_operands(const Options *options, const char *wanted, GError **error)
{
    g_auto(GStrv) names = g_strsplit(wanted, " ", -1);
    guint n_given = options->operands == NULL ? 0 : g_strv_length(options->operands);
    guint n_wanted = g_strv_length(names);

    if (n_given < n_wanted) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "%s is missing", names[n_given]);
        return FALSE;
    }
    if (n_given > n_wanted) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                    "'%s' is one word too many: only %s is expected", options->operands[n_wanted],
                    wanted);
        return FALSE;
    }
    return TRUE;
}

static gboolean
options_check(const Options *options, const Usage *usage, GError **error)
{
    if (options->image_opts && options->format != NULL) {
        g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                            "--format does not go with --image-opts: write driver=FORMAT there");
        return FALSE;
    }
    return options_check_operands(options, usage->operands, error);
}

gboolean
options_parse(Options *options, char **words, const Usage *usage, const GOptionEntry *own,
              GError **error)
{
    g_autoptr(GOptionContext) context = g_option_context_new(usage->operands);
    g_auto(GStrv) rest = g_strdupv(words);

    g_option_context_set_summary(context, usage->summary);
    g_option_context_set_description(context, usage->description);
    g_option_context_add_main_entries(context, own, NULL);
    options_add_shared(options, context);
    return g_option_context_parse_strv(context, &rest, error) &&
           options_check(options, usage, error);
}

static StrataPolicy *
options_make_policy(const Options *options, GError **error)
{
    g_autoptr(StrataPolicy) policy = strata_policy_new();

    for (guint i = 0; options->allow_dirs != NULL && options->allow_dirs[i] != NULL; i++)
        if (!strata_policy_allow_dir(policy, options->allow_dirs[i], error))
            return NULL;
    if (options->backing_format != NULL &&
        !strata_policy_set_backing_format(policy, options->backing_format, error))
        return NULL;
    return g_steal_pointer(&policy);
}

StrataGraph *
options_open_graph(const Options *options, GError **error)
{
    StrataSpecSyntax syntax = options->image_opts ? STRATA_SPEC_IMAGE_OPTS : STRATA_SPEC_FILENAME;
    g_autoptr(StrataSpec) spec =
        strata_spec_parse(options->operands[0], syntax, options->format, error);
    g_autoptr(StrataPolicy) policy = NULL;

    if (spec == NULL)
        return NULL;
    policy = options_make_policy(options, error);
    if (policy == NULL)
        return NULL;
    return strata_graph_open(spec, policy, error);
}

gboolean
options_check_remote(const Options *options, GError **error)
{
    if (options->format == NULL && options->allow_dirs == NULL && options->backing_format == NULL)
        return TRUE;
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                        "--format, --allow and --backing-format have no meaning for an NBD URI: "
                        "the server has opened the image already");
    return FALSE;
}
