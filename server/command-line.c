/* SPDX-License-Identifier: LGPL-2.1-or-later
 * command-line.c - options about images, made into what is served. */
#include "command-line.h"

static ImageSettings
settings_of(const Options *options, const char *image)
{
    return (ImageSettings){
        .image = image,
        .format = options->format,
        .snapshot_word = "--load-snapshot",
        .bitmaps_word = "--bitmap",
    };
}

static StrataPolicy *
make_policy(const Options *options, GError **error)
{
    g_autoptr(StrataPolicy) policy = strata_policy_new();

    strata_policy_set_force_share(policy, options->force_share);
    strata_policy_set_probe(policy, options->probe);
    if (!strata_policy_apply_all(policy, "allow", options->allow, error) ||
        !strata_policy_apply_all(policy, "allow-protocols", options->allow_protocols, error) ||
        !strata_policy_apply_all(policy, "object", options->objects, error) ||
        !strata_policy_set_backing_format(policy, options->backing_format, error) ||
        (options->metadata_cache != NULL &&
         !strata_policy_apply(policy, "metadata-cache", options->metadata_cache, error)))
        return NULL;
    return g_steal_pointer(&policy);
}

gboolean
command_line_init(CommandLine *line, const Options *options, GError **error)
{
    *line = (CommandLine){ .options = options, .policy = make_policy(options, error) };
    return line->policy != NULL;
}

void
command_line_clear(CommandLine *line)
{
    g_clear_pointer(&line->policy, strata_policy_unref);
}

/* *out_rules: NULL where there are none. */
static gboolean
make_access(const Options *options, AccessRules **out_rules, GError **error)
{
    *out_rules = NULL;
    if (options->access == NULL)
        return TRUE;
    *out_rules = access_rules_new((const char *const *)options->access, error);
    if (*out_rules == NULL)
        g_prefix_error(error, "--access: ");
    return *out_rules != NULL;
}

Export *
command_line_open(const CommandLine *line, GError **error)
{
    const Options *options = line->options;
    ImageSettings settings = settings_of(options, options->image);
    g_autoptr(Export) export = export_new(options->export_name);

    if (!make_access(options, &export->access, error))
        return NULL;
    settings.image_opts = options->image_opts;
    settings.load_snapshot = options->load_snapshot;
    settings.bitmaps = options->bitmaps;
    export->description = g_strdup(options->description);
    export->image = image_new(&settings, line->policy, error);
    if (export->image == NULL || !export_open(export, error))
        return NULL;
    return g_steal_pointer(&export);
}

gboolean
command_line_open_directory(const CommandLine *line, Directory **out_directory, GError **error)
{
    ImageSettings settings = settings_of(line->options, line->options->directory);
    AccessRules *access;

    *out_directory = NULL;
    if (line->options->directory == NULL)
        return TRUE;
    if (!make_access(line->options, &access, error))
        return FALSE;
    *out_directory = directory_new(&settings, line->policy, access, error);
    return *out_directory != NULL;
}
