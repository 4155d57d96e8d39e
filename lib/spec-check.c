/* SPDX-License-Identifier: LGPL-2.1-or-later
 * spec-check.c - is every driver, key and value of a spec one that we know? Whoever misspells
 * "offset" must not be served the wrong bytes. */
#include <errno.h>
#include <string.h>

#include "checked.h"
#include "error.h"
#include "names.h"
#include "node.h"
#include "spec-tree.h"

/* Keys that QEMU takes for every node and that change nothing for a reader which opens everything
 * read-only (BlockdevOptions of QEMU's qapi/block-core.json). */
static const char *const generic_ignored_options[] = {
    "auto-read-only", "cache.direct", "cache.no-flush", "detect-zeroes", "discard",
    "read-only",      NULL,
};

/* What may be said of every node besides its driver, name and children. */
static const char *const generic_options[] = { "force-share", NULL };

static const char *const locking_words[] = { "on", "off", "auto", NULL };

static const char *const size_keys[] = { "offset", "size", NULL };

/* A number there may be the text that it looks like, or one that JSON wrote in another way. */
static const char *const text_keys[] = {
    "export",      "filename", "host",      "path",         "server.host", "server.path",
    "server.type", "snapshot", "tls-creds", "tls-hostname", NULL,
};

static const char *const count_keys[] = {
    "answer-timeout", "connections", "open-timeout", "reconnect-delay", NULL,
};

static const char *const bool_keys[] = {
    "auto-read-only",        "cache.direct",   "cache.no-flush",        "drop-cache",
    "force-share",           "lazy-refcounts", "pass-discard-other",    "pass-discard-request",
    "pass-discard-snapshot", "read-only",      "x-check-cache-dropped", NULL,
};

/* The exponent of 1024 that a suffix stands for, as QEMU reads it; -1 if it is none. */
static int
suffix_exponent(char suffix)
{
    static const char suffixes[] = "BKMGTPE";
    const char *found = suffix ? strchr(suffixes, g_ascii_toupper(suffix)) : NULL;

    return found ? found - suffixes : -1;
}

gboolean
spec_parse_size(const char *text, guint64 *out_size)
{
    gboolean is_hex = g_ascii_strncasecmp(text, "0x", 2) == 0;
    const char *digits = is_hex ? text + 2 : text;
    int exponent = 0;
    char *end;

    if (is_hex ? !g_ascii_isxdigit(digits[0]) : !g_ascii_isdigit(digits[0]))
        return FALSE;
    errno = 0;
    *out_size = g_ascii_strtoull(digits, &end, is_hex ? 16 : 10);
    if (errno)
        return FALSE;
    if (*end)
        exponent = suffix_exponent(*end++);
    return exponent >= 0 && *end == '\0' &&
           checked_mul(*out_size, G_GUINT64_CONSTANT(1) << (10 * exponent), out_size);
}

const char *
spec_parse_switch(const char *text)
{
    static const char *const on[] = { "on", "yes", "true", "y", NULL };
    static const char *const off[] = { "off", "no", "false", "n", NULL };

    if (g_strv_contains(on, text))
        return "on";
    return g_strv_contains(off, text) ? "off" : NULL;
}

static void
set_value(SpecValue *value, SpecType type, char *text)
{
    g_free(value->text);
    value->type = type;
    value->text = text;
}

/* Brings @value to the one form in which @key is written, and which drivers read. */
static gboolean
check_value(const char *where, const char *key, SpecValue *value, GError **error)
{
    g_autofree char *shown = strata_escape(value->text);
    guint64 size;

    if (g_strv_contains(size_keys, key)) {
        if (value->type == SPEC_BOOL || !spec_parse_size(value->text, &size)) {
            g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                        "%s: \"%s\" is '%s', expected a whole number of bytes below 2^64 such as "
                        "65536 or 64k (suffixes b, k, M, G, T, P, E)",
                        where, key, shown);
            return FALSE;
        }
        set_value(value, SPEC_NUMBER, g_strdup_printf("%" G_GUINT64_FORMAT, size));
    } else if (g_strv_contains(count_keys, key)) {
        if (!g_ascii_string_to_unsigned(value->text, 10, 0, G_MAXUINT32, &size, NULL)) {
            g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                        "%s: \"%s\" is '%s', expected a whole number", where, key, shown);
            return FALSE;
        }
        set_value(value, SPEC_NUMBER, g_strdup_printf("%" G_GUINT64_FORMAT, size));
    } else if (g_strv_contains(bool_keys, key)) {
        if (!spec_parse_switch(value->text)) {
            g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                        "%s: \"%s\" is '%s', expected on or off", where, key, shown);
            return FALSE;
        }
        set_value(value, SPEC_BOOL, g_strdup(spec_parse_switch(value->text)));
    } else if (g_str_equal(key, "locking") && !g_strv_contains(locking_words, value->text)) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "%s: \"locking\" is '%s', expected on, off or auto", where, shown);
        return FALSE;
    } else if (g_strv_contains(text_keys, key) && value->type != SPEC_TEXT) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "%s: \"%s\" is %s, expected a string: put it in quotes", where, key, shown);
        return FALSE;
    }
    return TRUE;
}

static void
append_word(GString *list, const char *word)
{
    g_string_append_printf(list, "%s%s", list->len ? ", " : "", word);
}

/* "driver, node-name, offset, size, file": what may be said of a node of @driver. */
static char *
list_known_keys(const StrataDriver *driver)
{
    GString *list = g_string_new("driver, node-name");

    for (gsize i = 0; driver->options && driver->options[i]; i++)
        append_word(list, driver->options[i]);
    for (int role = 0; role < STRATA_N_ROLES; role++)
        if ((driver->required_roles | driver->optional_roles) & (1u << role))
            append_word(list, strata_role_to_string(role));
    for (gsize i = 0; generic_options[i]; i++)
        append_word(list, generic_options[i]);
    return g_string_free(list, FALSE);
}

static gboolean
throw_unknown_key(const char *where, const StrataDriver *driver, const char *key, GError **error)
{
    g_autofree char *known = list_known_keys(driver);
    g_autofree char *shown = strata_escape(key);
    gboolean misses_file =
        g_str_equal(key, "filename") && (driver->required_roles & (1 << STRATA_ROLE_FILE));

    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                "%s: driver \"%s\" has no key \"%s\"; its keys are %s%s", where, driver->name,
                shown, known, misses_file ? " (write \"file.filename\")" : "");
    return FALSE;
}

static gboolean
is_known_option(const StrataDriver *driver, const char *key)
{
    return (driver->options && g_strv_contains(driver->options, key)) ||
           (driver->ignored_options && g_strv_contains(driver->ignored_options, key)) ||
           g_strv_contains(generic_options, key) || g_strv_contains(generic_ignored_options, key);
}

static gboolean
check_options(StrataSpec *spec, const StrataDriver *driver, const char *where, GError **error)
{
    GHashTableIter iter;
    gpointer key, value;

    g_hash_table_iter_init(&iter, spec->options);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (!is_known_option(driver, key))
            return throw_unknown_key(where, driver, key, error);
        if (!check_value(where, key, value, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
check_children(StrataSpec *spec, const StrataDriver *driver, const char *where, GError **error)
{
    guint may_have = driver->required_roles | driver->optional_roles;

    for (int role = 0; role < STRATA_N_ROLES; role++) {
        gboolean is_said =
            spec->children[role] || (role == STRATA_ROLE_BACKING && spec->without_backing);

        if (is_said && !(may_have & (1u << role)))
            return throw_unknown_key(where, driver, strata_role_to_string(role), error);
    }
    return TRUE;
}

static gboolean
check_node_name(StrataSpec *spec, const char *where, GError **error)
{
    g_autofree char *shown = NULL;

    if (!spec->node_name || names_is_valid(spec->node_name))
        return TRUE;
    shown = strata_escape(spec->node_name);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                "%s: \"node-name\" is '%s', expected a letter and then letters, digits, '.', '_' "
                "and '-', at most 255 in all",
                where, shown);
    return FALSE;
}

/* A driver that is still open (NULL) is checked again by spec_with_driver() or spec_complete(). */
gboolean
spec_check_node(StrataSpec *spec, const char *where, GError **error)
{
    const StrataDriver *driver = spec->driver ? strata_driver_find(spec->driver) : NULL;

    if (!check_node_name(spec, where, error))
        return FALSE;
    if (spec->driver && !driver) {
        g_autofree char *names = strata_driver_list_names();
        g_autofree char *shown = strata_escape(spec->driver);

        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "%s: there is no driver \"%s\"; the drivers are %s", where, shown, names);
        return FALSE;
    }
    return !driver || (check_options(spec, driver, where, error) &&
                       check_children(spec, driver, where, error));
}

/* "the topmost node", or "backing.file" */
static char *
describe_place(GArray *places, guint index)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    const SpecPlace *place = &g_array_index(places, SpecPlace, index);

    if (place->parent < 0)
        return g_strdup("the topmost node");
    while (place->parent >= 0) {
        g_ptr_array_insert(words, 0, (gpointer)strata_role_to_string(place->role));
        place = &g_array_index(places, SpecPlace, place->parent);
    }
    g_ptr_array_add(words, NULL);
    return g_strjoinv(".", (char **)words->pdata);
}

/* Storage without a driver is a host file, as in QEMU; the top's format is recognised when it is
 * opened, and a backing file's stands in the header. */
static gboolean
fill_in_driver(const SpecPlace *place, GError **error)
{
    StrataSpec *spec = place->spec;

    if (spec->driver)
        return TRUE;
    if (place->parent < 0 && !spec->children[STRATA_ROLE_FILE]) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "the topmost node needs \"driver\" or \"file\" (as in "
                    "driver=qcow2,file.filename=NAME)");
        return FALSE;
    }
    if (place->parent >= 0 && place->role != STRATA_ROLE_BACKING)
        spec->driver = g_strdup("file");
    return TRUE;
}

static gboolean
check_unique_name(GHashTable *seen, StrataSpec *spec, GError **error)
{
    if (!spec->node_name || g_hash_table_add(seen, spec->node_name))
        return TRUE;
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                "\"node-name\" '%s' is given to two nodes; a name stands for one", spec->node_name);
    return FALSE;
}

gboolean
spec_check_tree(StrataSpec *root, GError **error)
{
    g_autoptr(GArray) places = spec_list_places(root);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    if (places->len > STRATA_MAX_NODES) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT,
                    "the spec has %u nodes; a graph has at most %u", places->len, STRATA_MAX_NODES);
        return FALSE;
    }
    for (guint i = 0; i < places->len; i++) {
        const SpecPlace *place = &g_array_index(places, SpecPlace, i);
        g_autoptr(GError) reason = NULL;

        if (!fill_in_driver(place, error))
            return FALSE;
        if (!spec_check_node(place->spec, "", &reason)) {
            g_autofree char *where = describe_place(places, i);

            g_propagate_prefixed_error(error, g_steal_pointer(&reason), "%s", where);
            return FALSE;
        }
        if (!check_unique_name(seen, place->spec, error))
            return FALSE;
    }
    return TRUE;
}
