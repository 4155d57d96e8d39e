/* SPDX-License-Identifier: LGPL-2.1-or-later
 * spec-put.c - one key with dots, and one value, into the tree: what every notation comes down to.
 */
#include <string.h>

#include "error.h"
#include "node.h"
#include "spec-tree.h"

gboolean
spec_throw(GError **error, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, STRATA_ERROR, STRATA_ERROR_SPEC, text);
    return FALSE;
}

StrataSpec *
spec_descend(StrataSpec *spec, const char **key, GError **error)
{
    for (const char *dot = strchr(*key, '.'); dot; dot = strchr(*key, '.')) {
        int role = spec_role_from_key(*key, dot - *key);

        if (role < 0)
            break;
        if (role == STRATA_ROLE_BACKING && spec->without_backing) {
            spec_throw(error, "\"backing\" is null, and yet something is said of it");
            return NULL;
        }
        spec = spec_ensure_child(spec, role);
        *key = dot + 1;
    }
    return spec;
}

static gboolean
put_word(char **slot, const char *key, const SpecValue *value, GError **error)
{
    if (value->type != SPEC_TEXT)
        return spec_throw(error, "\"%s\" must be a string", key);
    if (*slot)
        return spec_throw(error, "\"%s\" is given twice for one node", key);
    *slot = g_strdup(value->text);
    return TRUE;
}

/* A child that is given as something else than an object: null and, QEMU's older way to say it, the
 * empty string. A string is the name of a node elsewhere, and here every node stands where it
 * belongs. */
static gboolean
put_child_value(StrataSpec *spec, StrataRole role, const SpecValue *value, GError **error)
{
    const char *role_name = strata_role_to_string(role);
    gboolean is_none = value->type == SPEC_NULL || *value->text == '\0';

    if (is_none && role == STRATA_ROLE_BACKING && !spec->children[role]) {
        spec->without_backing = TRUE;
        return TRUE;
    }
    if (is_none && role == STRATA_ROLE_BACKING)
        return spec_throw(error, "\"backing\" is null, and yet something is said of it");
    if (is_none)
        return spec_throw(error, "\"%s\" cannot be null or empty; only \"backing\" can", role_name);
    return spec_throw(error,
                      "\"%s\" is a plain value, which would be the name of a node elsewhere: nest "
                      "the node itself, as in %s.driver=...,%s.filename=... or \"%s\": {...}",
                      role_name, role_name, role_name, role_name);
}

static gboolean
put_option(StrataSpec *spec, const char *key, const SpecValue *value, GError **error)
{
    g_autofree char *shown = strata_escape(key);

    if (value->type == SPEC_NULL)
        return spec_throw(error, "\"%s\" cannot be null; only \"backing\" can", shown);
    if (g_hash_table_contains(spec->options, key))
        return spec_throw(error, "\"%s\" is given twice for one node", shown);
    g_hash_table_insert(spec->options, g_strdup(key), spec_value_new(value->type, value->text));
    return TRUE;
}

/* The one way into a tree. */
gboolean
spec_put(StrataSpec *root, const char *dotted_key, const SpecValue *value, GError **error)
{
    const char *key = dotted_key;
    StrataSpec *spec = spec_descend(root, &key, error);
    int role = spec_role_from_key(key, strlen(key));

    if (!spec)
        return FALSE;
    if (role >= 0)
        return put_child_value(spec, role, value, error);
    if (g_str_equal(key, "driver"))
        return put_word(&spec->driver, key, value, error);
    if (g_str_equal(key, "node-name"))
        return put_word(&spec->node_name, key, value, error);
    return put_option(spec, key, value, error);
}
