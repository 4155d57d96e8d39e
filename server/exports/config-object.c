/* SPDX-License-Identifier: LGPL-2.1-or-later
 * config-object.c - objects that a configuration lends to images. */
#include "config-object.h"

#include <string.h>

/* Commas stand between KEY=VALUE, and are doubled within. */
static GPtrArray *
split(const char *text)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GString) word = g_string_new(NULL);

    for (; *text != '\0'; text++) {
        if (*text == ',' && text[1] != ',') {
            g_ptr_array_add(words, g_strdup(word->str));
            g_string_truncate(word, 0);
            continue;
        }
        text += *text == ',' ? 1 : 0;
        g_string_append_c(word, *text);
    }
    g_ptr_array_add(words, g_strdup(word->str));
    return words;
}

static void
append(GString *text, const char *word)
{
    g_autoptr(GString) doubled = g_string_new(word);

    g_string_replace(doubled, ",", ",,", 0);
    g_string_append_printf(text, "%s%s", text->len > 0 ? "," : "", doubled->str);
}

/* Where @word is @key, which ends with '=', and a file name; else NULL. */
static char *
find_path(const char *word, const char *key, const char *directory)
{
    const char *path = word + strlen(key);

    if (!g_str_has_prefix(word, key))
        return NULL;
    return g_path_is_absolute(path) ? g_strdup(path) : g_build_filename(directory, path, NULL);
}

static gboolean
settle_word(GString *text, const char *word, const char *directory, GPtrArray *files,
            GError **error)
{
    g_autofree char *file = find_path(word, "file=", directory);
    g_autofree char *folder = find_path(word, "dir=", directory);
    g_autofree char *settled = NULL;

    if (g_str_has_prefix(word, "fd=")) {
        g_set_error_literal(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                            "fd= can only be lent on the command line: a configuration is read "
                            "again, when that descriptor is another's; put the secret into a file "
                            "and give file=");
        return FALSE;
    }
    settled = file != NULL     ? g_strconcat("file=", file, NULL)
              : folder != NULL ? g_strconcat("dir=", folder, NULL)
                               : g_strdup(word);
    append(text, settled);
    if (file != NULL)
        g_ptr_array_add(files, g_steal_pointer(&file));
    return TRUE;
}

char *
config_object_settle(const char *text, const char *directory, GPtrArray *files, GError **error)
{
    g_autoptr(GPtrArray) words = split(text);
    g_autoptr(GString) settled = g_string_new(NULL);

    for (guint i = 0; i < words->len; i++)
        if (!settle_word(settled, words->pdata[i], directory, files, error))
            return NULL;
    return g_strdup(settled->str);
}
