/* SPDX-License-Identifier: LGPL-2.1-or-later
 * options.c - what the command lines of all verbs have in common. */
#include "options.h"

void
options_clear(Options *options)
{
    g_clear_pointer(&options->format, g_free);
    g_clear_pointer(&options->allow_dirs, g_strfreev);
    g_clear_pointer(&options->allow_protocols, g_strfreev);
    g_clear_pointer(&options->backing_format, g_free);
    g_clear_pointer(&options->objects, g_strfreev);
    g_clear_pointer(&options->metadata_cache, g_free);
    g_clear_pointer(&options->snapshot, g_free);
    g_clear_pointer(&options->operands, g_strfreev);
}

static void
options_add_shared(Options *options, GOptionContext *context)
{
    /* Operands are of FILENAME kind: names of files are bytes and not text in the locale's
     * encoding. */
    const GOptionEntry entries[] = {
        { "format", 'f', 0, G_OPTION_ARG_STRING, &options->format,
          "format of the topmost image: luks, qcow2 or raw (default: recognised)", "FMT" },
        { "image-opts", 0, 0, G_OPTION_ARG_NONE, &options->image_opts,
          "SPEC is driver=...,file.driver=... and not a file name; not with --format", NULL },
        { "allow", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->allow_dirs,
          "let image headers name files beneath DIR too; may be repeated", "DIR" },
        { "allow-protocols", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->allow_protocols,
          "let image headers name other things than files: nbd", "LIST" },
        { "backing-format", 0, 0, G_OPTION_ARG_STRING, &options->backing_format,
          "format of backing files whose overlay does not say it", "FMT" },
        { "probe", 0, 0, G_OPTION_ARG_NONE, &options->probe,
          "recognise the format of such backing files; only for images that you trust", NULL },
        { "object", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->objects,
          "lend a key or credentials: secret,id=ID,file=PATH and others; may be repeated",
          "OBJECT" },
        { "force-share", 'U', 0, G_OPTION_ARG_NONE, &options->force_share,
          "open images that somebody writes to, too", NULL },
        { "metadata-cache", 0, 0, G_OPTION_ARG_STRING, &options->metadata_cache,
          "memory for the tables of images (default: 32M)", "SIZE" },
        { "snapshot", 0, 0, G_OPTION_ARG_FILENAME, &options->snapshot,
          "the topmost image as it was at this internal snapshot (ID or name)", "NAME" },
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
        g_autofree char *shown = strata_escape(options->operands[n_wanted]);

        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                    "'%s' is one word too many: only %s is expected", shown, wanted);
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

    if (!strata_policy_apply_all(policy, "allow", options->allow_dirs, error) ||
        !strata_policy_apply_all(policy, "allow-protocols", options->allow_protocols, error) ||
        !strata_policy_apply_all(policy, "object", options->objects, error) ||
        !strata_policy_set_backing_format(policy, options->backing_format, error) ||
        (options->metadata_cache != NULL &&
         !strata_policy_apply(policy, "metadata-cache", options->metadata_cache, error)))
        return NULL;
    strata_policy_set_probe(policy, options->probe);
    strata_policy_set_force_share(policy, options->force_share);
    return g_steal_pointer(&policy);
}

static StrataGraph *
options_open_today(const Options *options, GError **error)
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

StrataGraph *
options_open_graph(const Options *options, GError **error)
{
    g_autoptr(StrataGraph) graph = options_open_today(options, error);

    if (graph == NULL || options->snapshot == NULL)
        return g_steal_pointer(&graph);
    return strata_node_open_snapshot(strata_graph_get_top(graph), options->snapshot, error);
}

/* An option that says how to open an image, and was given; NULL if there is none. */
static const char *
options_find_local(const Options *options)
{
    const struct {
        gboolean is_given;
        const char *name;
    } local[] = {
        { options->format != NULL, "--format" },
        { options->allow_dirs != NULL, "--allow" },
        { options->allow_protocols != NULL, "--allow-protocols" },
        { options->backing_format != NULL, "--backing-format" },
        { options->probe, "--probe" },
        { options->objects != NULL, "--object" },
        { options->force_share, "--force-share" },
        { options->metadata_cache != NULL, "--metadata-cache" },
        { options->snapshot != NULL, "--snapshot" },
    };

    for (guint i = 0; i < G_N_ELEMENTS(local); i++)
        if (local[i].is_given)
            return local[i].name;
    return NULL;
}

gboolean
options_check_remote(const Options *options, GError **error)
{
    const char *local = options_find_local(options);

    if (local == NULL)
        return TRUE;
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                "%s has no meaning for an NBD URI: the server has opened the image already", local);
    return FALSE;
}
