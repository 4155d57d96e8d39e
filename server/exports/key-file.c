/* SPDX-License-Identifier: LGPL-2.1-or-later
 * key-file.c - reading a key file, and saying where in it a mistake is. */
#include "key-file.h"

#include <string.h>

void
key_file_clear(KeyFile *file)
{
    g_clear_pointer(&file->path, g_free);
    g_clear_pointer(&file->directory, g_free);
    g_clear_pointer(&file->keys, g_key_file_unref);
}

gboolean
key_file_say_where(const KeyFile *file, const char *group, const char *key, GError **error)
{
    const char *found = key != NULL ? key_file_find_group(file, group, key) : NULL;
    const char *where = found != NULL ? found : group;
    g_autofree char *shown = strata_escape(where != NULL ? where : "");
    g_autofree char *path = strata_escape(file->path);

    if (where != NULL)
        g_prefix_error(error, key != NULL ? "[%s], %s: " : "[%s]: ", shown, key);
    g_prefix_error(error, "%s: ", path);
    return FALSE;
}

gboolean
key_file_throw(const KeyFile *file, const char *group, const char *key, GError **error,
               const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list arguments;

    va_start(arguments, format);
    message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, STRATA_ERROR, STRATA_ERROR_SPEC, message);
    return key_file_say_where(file, group, key, error);
}

/* Which of its groups and keys stand twice: GLib takes the last without a word. */
static gboolean
check_line(const KeyFile *file, char *line, guint number, GHashTable *seen, char **group,
           GError **error)
{
    g_autofree char *what = NULL;
    g_autofree char *shown = NULL;

    g_strstrip(line);
    if (*line == '\0' || *line == '#')
        return TRUE;
    if (*line == '[') {
        line[strcspn(line, "]")] = '\0';
        g_free(*group);
        *group = g_strdup(line + 1);
        what = g_strdup_printf("[%s]", *group);
    } else {
        line[strcspn(line, "=")] = '\0';
        g_strchomp(line);
        what = g_strdup_printf("[%s], %s", *group != NULL ? *group : "", line);
    }
    if (g_hash_table_add(seen, g_strdup(what)))
        return TRUE;
    shown = strata_escape(what);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC, "line %u: %s stands there twice", number,
                shown);
    return key_file_say_where(file, NULL, NULL, error);
}

static gboolean
check_lines(const KeyFile *file, const char *text, GError **error)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *group = NULL;

    for (guint i = 0; lines[i] != NULL; i++)
        if (!check_line(file, lines[i], i + 1, seen, &group, error))
            return FALSE;
    return TRUE;
}

static gboolean
load(KeyFile *file, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) reason = NULL;
    gsize length;

    if (!g_file_get_contents(file->path, &text, &length, &reason)) {
        g_set_error(error, STRATA_ERROR,
                    g_error_matches(reason, G_FILE_ERROR, G_FILE_ERROR_NOENT)
                        ? STRATA_ERROR_NOT_FOUND
                        : STRATA_ERROR_IO,
                    "cannot read the configuration: %s", reason->message);
        return FALSE;
    }
    if (!g_utf8_validate_len(text, length, NULL)) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC, "it is not UTF-8 text");
        return key_file_say_where(file, NULL, NULL, error);
    }
    if (!g_key_file_load_from_data(file->keys, text, length, G_KEY_FILE_KEEP_TRANSLATIONS,
                                   &reason)) {
        g_autofree char *shown = strata_escape(reason->message);

        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC, "%s", shown);
        return key_file_say_where(file, NULL, NULL, error);
    }
    return check_lines(file, text, error);
}

gboolean
key_file_load(KeyFile *file, const char *path, GError **error)
{
    file->path = g_strdup(path);
    file->directory = g_path_get_dirname(path);
    file->keys = g_key_file_new();
    g_key_file_set_list_separator(file->keys, ';');
    return load(file, error);
}

const char *
key_file_find_group(const KeyFile *file, const char *group, const char *key)
{
    if (g_key_file_has_key(file->keys, group, key, NULL))
        return group;
    return g_key_file_has_key(file->keys, KEY_FILE_DEFAULTS, key, NULL) ? KEY_FILE_DEFAULTS : NULL;
}

gboolean
key_file_get_text(const KeyFile *file, const char *group, const char *key, char **out_value,
                  GError **error)
{
    const char *where = key_file_find_group(file, group, key);
    g_autoptr(GError) reason = NULL;

    *out_value = where != NULL ? g_key_file_get_string(file->keys, where, key, &reason) : NULL;
    if (reason == NULL)
        return TRUE;
    return key_file_throw(file, where, key, error, "%s", reason->message);
}

gboolean
key_file_get_name(const KeyFile *file, const char *group, const char *key, char **out_value,
                  GError **error)
{
    if (!key_file_get_text(file, group, key, out_value, error))
        return FALSE;
    if (*out_value == NULL || **out_value != '\0')
        return TRUE;
    return key_file_throw(file, group, key, error, "there is no value");
}

gboolean
key_file_get_list(const KeyFile *file, const char *group, const char *key, char ***out_values,
                  GError **error)
{
    const char *where = key_file_find_group(file, group, key);
    g_autoptr(GError) reason = NULL;

    *out_values =
        where != NULL ? g_key_file_get_string_list(file->keys, where, key, NULL, &reason) : NULL;
    if (reason != NULL)
        return key_file_throw(file, where, key, error, "%s", reason->message);
    for (char **value = *out_values; value != NULL && *value != NULL; value++)
        if (**value == '\0')
            return key_file_throw(file, where, key, error,
                                  "one of its values is empty; values are divided by semicolons");
    if (*out_values == NULL || **out_values != NULL)
        return TRUE;
    return key_file_throw(file, where, key, error, "there is no value");
}

gboolean
key_file_get_switch(const KeyFile *file, const char *group, const char *key, gboolean *value,
                    GError **error)
{
    g_autofree char *text = NULL;
    g_autofree char *shown = NULL;

    if (!key_file_get_text(file, group, key, &text, error))
        return FALSE;
    if (text == NULL)
        return TRUE;
    *value = g_str_equal(text, "on");
    if (*value || g_str_equal(text, "off"))
        return TRUE;
    shown = strata_escape(text);
    return key_file_throw(file, group, key, error, "it is on or off, not '%s'", shown);
}
