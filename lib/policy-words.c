/* SPDX-License-Identifier: LGPL-2.1-or-later
 * policy-words.c - a policy by the names of its options: the same for every command line, plugin
 * and configuration file. */
#include <strata/error.h>
#include <strata/policy.h>

#include "spec.h"

/* One of the two setters. */
typedef struct {
    const char *word;
    gboolean (*set)(StrataPolicy *policy, const char *value, GError **error);
    void (*turn)(StrataPolicy *policy, gboolean on);
} PolicyWord;

static gboolean
set_metadata_cache(StrataPolicy *policy, const char *value, GError **error)
{
    g_autofree char *shown = strata_escape(value);
    guint64 bytes;

    if (spec_parse_size(value, &bytes))
        return strata_policy_set_metadata_cache(policy, bytes, error);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                "metadata-cache is a number of bytes, as in 64M, not '%s'", shown);
    return FALSE;
}

static const PolicyWord words[] = {
    { "allow", strata_policy_allow_dir, NULL },
    { "allow-protocols", strata_policy_allow_protocols, NULL },
    { "backing-format", strata_policy_set_backing_format, NULL },
    { "force-share", NULL, strata_policy_set_force_share },
    { "metadata-cache", set_metadata_cache, NULL },
    { "object", strata_policy_add_object, NULL },
    { "probe", NULL, strata_policy_set_probe },
};

static const PolicyWord *
find_word(const char *word)
{
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
        if (g_str_equal(words[i].word, word))
            return &words[i];
    return NULL;
}

/* The words that nbdkit takes, whose users write them into one line with its own. */
static gboolean
parse_switch(const char *value, gboolean *out_on)
{
    static const char *const on[] = { "on", "true", "t", "yes", "y", "1", "enable", "enabled" };
    static const char *const off[] = { "off", "false", "f", "no", "n", "0", "disable", "disabled" };

    for (gsize i = 0; i < G_N_ELEMENTS(on); i++) {
        *out_on = g_ascii_strcasecmp(value, on[i]) == 0;
        if (*out_on || g_ascii_strcasecmp(value, off[i]) == 0)
            return TRUE;
    }
    return FALSE;
}

static gboolean
turn(StrataPolicy *policy, const PolicyWord *word, const char *value, GError **error)
{
    g_autofree char *shown = strata_escape(value);
    gboolean on;

    if (!parse_switch(value, &on)) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC, "%s is on or off, not '%s'", word->word,
                    shown);
        return FALSE;
    }
    word->turn(policy, on);
    return TRUE;
}

gboolean
strata_policy_knows(const char *word)
{
    return find_word(word) != NULL;
}

gboolean
strata_policy_apply(StrataPolicy *policy, const char *word, const char *value, GError **error)
{
    const PolicyWord *known = find_word(word);
    g_autofree char *shown = NULL;

    if (known != NULL)
        return known->turn != NULL ? turn(policy, known, value, error)
                                   : known->set(policy, value, error);
    shown = strata_escape(word);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                "'%s' says nothing about how images may be opened; there are allow, "
                "allow-protocols, backing-format, force-share, metadata-cache, object and probe",
                shown);
    return FALSE;
}

gboolean
strata_policy_apply_all(StrataPolicy *policy, const char *word, char **values, GError **error)
{
    for (; values != NULL && *values != NULL; values++)
        if (!strata_policy_apply(policy, word, *values, error))
            return FALSE;
    return TRUE;
}
