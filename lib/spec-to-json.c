/* SPDX-License-Identifier: LGPL-2.1-or-later
 * spec-to-json.c - a tree to QEMU's blockdev form. */
#include <string.h>

#include "spec-tree.h"

/* A node whose children are being written: backing chains are too long for recursion. */
typedef struct {
    StrataSpec *spec;
    int next_role;
} OpenObject;

/* RFC 8259, section 7: quotation marks, backslashes and control characters are escaped. */
static void
append_char(GString *out, char c)
{
    if (g_ascii_iscntrl(c)) {
        g_string_append_printf(out, "\\u%04x", (guint)(guint8)c);
        return;
    }
    if (c == '"' || c == '\\')
        g_string_append_c(out, '\\');
    g_string_append_c(out, c);
}

static void
append_string(GString *out, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    g_string_append_c(out, '"');
    for (const char *c = valid; *c; c++)
        append_char(out, *c);
    g_string_append_c(out, '"');
}

/* Begins a member; every object begins with '{', which needs no comma after it. */
static void
append_key(GString *out, const char *key)
{
    if (out->str[out->len - 1] != '{')
        g_string_append_c(out, ',');
    append_string(out, key);
    g_string_append_c(out, ':');
}

/* A number of more digits than are read back as one is written as a string, which sizes may be. */
static void
append_value(GString *out, const SpecValue *value)
{
    if (value->type == SPEC_NUMBER && strlen(value->text) <= SPEC_MAX_JSON_DIGITS)
        g_string_append(out, value->text);
    else if (value->type == SPEC_BOOL)
        g_string_append(out, g_str_equal(value->text, "on") ? "true" : "false");
    else
        append_string(out, value->text);
}

/* Everything of a node but its children: driver, name, and options by name. */
static void
append_own_members(GString *out, StrataSpec *spec)
{
    g_autoptr(GList) keys =
        g_list_sort(g_hash_table_get_keys(spec->options), (GCompareFunc)g_strcmp0);

    if (spec->driver) {
        append_key(out, "driver");
        append_string(out, spec->driver);
    }
    if (spec->node_name) {
        append_key(out, "node-name");
        append_string(out, spec->node_name);
    }
    for (GList *item = keys; item; item = item->next) {
        append_key(out, item->data);
        append_value(out, g_hash_table_lookup(spec->options, item->data));
    }
    if (spec->without_backing) {
        append_key(out, "backing");
        g_string_append(out, "null");
    }
}

static void
open_object(GString *out, GArray *open, StrataSpec *spec)
{
    OpenObject object = { .spec = spec };

    g_string_append_c(out, '{');
    append_own_members(out, spec);
    g_array_append_val(open, object);
}

char *
strata_spec_to_json(StrataSpec *spec)
{
    g_autoptr(GArray) open = g_array_new(FALSE, FALSE, sizeof(OpenObject));
    GString *out = g_string_new(NULL);

    open_object(out, open, spec);
    while (open->len) {
        OpenObject *object = &g_array_index(open, OpenObject, open->len - 1);
        int role = object->next_role++;

        if (role == STRATA_N_ROLES) {
            g_string_append_c(out, '}');
            g_array_set_size(open, open->len - 1);
        } else if (object->spec->children[role]) {
            append_key(out, strata_role_to_string(role));
            open_object(out, open, object->spec->children[role]);
        }
    }
    return g_string_free(out, FALSE);
}
