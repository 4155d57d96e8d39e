/* SPDX-License-Identifier: LGPL-2.1-or-later
 * spec-parse.c - three ways to write a graph, one tree. A file name makes the tree at once; words
 * (--image-opts) and JSON (spec-from-json.c) both come down to spec_put(): a key with dots, and a
 * scalar value. */
#include <string.h>

#include "error.h"
#include "nbd/name.h"
#include "node.h"
#include "spec-tree.h"

#define JSON_PREFIX "json:"
#define FILE_PREFIX "file:"

char *
spec_next_word(const char **text)
{
    g_autoptr(GString) word = g_string_new(NULL);
    const char *c = *text;

    if (!*c)
        return NULL;
    for (; *c; c++) {
        if (*c == ',' && *++c != ',')
            break;
        g_string_append_c(word, *c);
    }
    *text = c;
    return g_string_free(g_steal_pointer(&word), FALSE);
}

static gboolean
put_image_opt(StrataSpec *root, char *word, GError **error)
{
    char *equals = strchr(word, '=');
    SpecValue value = { .type = SPEC_TEXT };

    if (!equals || equals == word) {
        g_autofree char *shown = strata_escape(word);

        return spec_throw(error,
                          "'%s' is no KEY=VALUE; image options are written like "
                          "driver=qcow2,file.filename=NAME (a comma in a value is \",,\")",
                          shown);
    }
    *equals = '\0';
    value.text = equals + 1;
    return spec_put(root, word, &value, error);
}

static StrataSpec *
parse_image_opts(const char *text, GError **error)
{
    g_autoptr(StrataSpec) root = spec_new();

    for (;;) {
        g_autofree char *word = spec_next_word(&text);

        if (!word)
            return g_steal_pointer(&root);
        if (!put_image_opt(root, word, error))
            return NULL;
    }
}

static StrataSpec *
parse_filename(const char *text, const char *format, GError **error)
{
    if (g_str_has_prefix(text, FILE_PREFIX)) {
        text += strlen(FILE_PREFIX);
    } else if (remote_name_matches(text)) {
        return remote_name_to_spec(format ? format : strata_driver_raw.name, text, FALSE, error);
    } else if (spec_has_protocol(text)) {
        g_autofree char *shown = strata_escape(text);
        g_autofree char *protocol = g_strndup(text, strcspn(text, ":"));
        g_autofree char *shown_protocol = strata_escape(protocol);

        spec_throw(error,
                   "'%s' begins with the protocol \"%s:\", which strata does not speak; for a file "
                   "of that name write './%s' or 'file:%s'",
                   shown, shown_protocol, shown, shown);
        return NULL;
    }
    if (!*text) {
        spec_throw(error, "the file name is empty");
        return NULL;
    }
    return spec_new_image(format, text);
}

/* --format beside a spec that may name the driver itself. */
static gboolean
apply_format(StrataSpec *root, const char *format, GError **error)
{
    const StrataDriver *driver = format ? strata_driver_find(format) : NULL;

    if (!format)
        return TRUE;
    if (!driver || driver->is_protocol) {
        g_autofree char *shown = strata_escape(format);

        return spec_throw(error, "there is no format '%s'; the formats are luks, qcow2 and raw",
                          shown);
    }
    if (root->driver && !g_str_equal(root->driver, format)) {
        g_autofree char *given = strata_escape(root->driver);
        g_autofree char *shown = strata_escape(format);

        return spec_throw(error,
                          "the format is given as '%s', and the spec says \"driver\" '%s': leave "
                          "one of them out",
                          shown, given);
    }
    if (!root->driver)
        root->driver = g_strdup(format);
    return TRUE;
}

StrataSpec *
strata_spec_parse(const char *text, StrataSpecSyntax syntax, const char *format, GError **error)
{
    g_autoptr(StrataSpec) root = NULL;

    if (syntax == STRATA_SPEC_IMAGE_OPTS)
        root = parse_image_opts(text, error);
    else if (g_str_has_prefix(text, JSON_PREFIX))
        root = spec_from_json(text + strlen(JSON_PREFIX), error);
    else
        root = parse_filename(text, format, error);
    if (!root || !apply_format(root, format, error) || !spec_check_tree(root, error))
        return NULL;
    return g_steal_pointer(&root);
}

/* Whether a file that somebody writes to is read all the same, and how long a server may keep us
 * waiting, is for the user to say. */
static void
drop_what_users_say(StrataSpec *spec)
{
    static const char *const keys[] = { "force-share",     "locking",        "open-timeout",
                                        "reconnect-delay", "answer-timeout", "connections" };

    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
        g_hash_table_remove(spec->options, keys[i]);
}

/* Takes the file name of a leaf relative to the directory of the file that names it. */
static gboolean
settle_filename(StrataSpec *spec, const char *directory, GError **error)
{
    SpecValue *value = g_hash_table_lookup(spec->options, "filename");
    char *path;

    if (!value || value->type != SPEC_TEXT || g_path_is_absolute(value->text))
        return TRUE;
    if (!directory) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_POLICY, SPEC_RELATIVE_TO_NOTHING);
        return FALSE;
    }
    path = spec_join_path(directory, value->text);
    g_free(value->text);
    value->text = path;
    return TRUE;
}

StrataSpec *
strata_spec_parse_in(const char *text, StrataSpecSyntax syntax, const char *format,
                     const char *directory, GError **error)
{
    g_autoptr(StrataSpec) root = strata_spec_parse(text, syntax, format, error);
    g_autoptr(GArray) places = NULL;

    if (!root)
        return NULL;
    places = spec_list_places(root);
    for (guint i = 0; i < places->len; i++)
        if (!settle_filename(g_array_index(places, SpecPlace, i).spec, directory, error))
            return NULL;
    return g_steal_pointer(&root);
}

char **
strata_spec_list_filenames(StrataSpec *spec)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_autoptr(GArray) places = spec_list_places(spec);

    for (guint i = 0; i < places->len; i++) {
        const char *name = spec_get_text(g_array_index(places, SpecPlace, i).spec, "filename");

        if (name)
            g_ptr_array_add(names, g_strdup(name));
    }
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}

/* A driver that is not ours, known to QEMU or not, is what a header may not reach. (Of ours,
 * policy.c refuses the protocols that the user does not allow.) */
static gboolean
check_header_driver(StrataSpec *spec, GError **error)
{
    g_autofree char *names = NULL;
    g_autofree char *shown = NULL;

    if (!spec->driver || strata_driver_find(spec->driver))
        return TRUE;
    names = strata_driver_list_names();
    shown = strata_escape(spec->driver);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_POLICY,
                "it uses the driver \"%s\"; a name in a header may use only what strata has (%s)",
                shown, names);
    return FALSE;
}

StrataSpec *
spec_parse_header_json(const char *json, const char *directory, GError **error)
{
    g_autoptr(StrataSpec) root = spec_from_json(json, error);
    g_autoptr(GArray) places = NULL;

    if (!root)
        return NULL;
    places = spec_list_places(root);
    for (guint i = 0; i < places->len; i++) {
        StrataSpec *spec = g_array_index(places, SpecPlace, i).spec;

        if (!check_header_driver(spec, error))
            return NULL;
        spec->from_header = TRUE;
        g_clear_pointer(&spec->node_name, g_free);
        drop_what_users_say(spec);
        if (!settle_filename(spec, directory, error))
            return NULL;
    }
    if (!spec_check_tree(root, error))
        return NULL;
    return g_steal_pointer(&root);
}
