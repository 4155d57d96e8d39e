/* SPDX-License-Identifier: LGPL-2.1-or-later
 * spec-from-json.c - QEMU's blockdev form to a tree. */
#include <string.h>

#include "error.h"
#include "late-json.h"
#include "node.h"
#include "spec-tree.h"

/* json-glib parses by recursion, so what bounds the nesting bounds the stack. Every level costs a
 * brace or a bracket; counting them all needs no parsing. A node takes one object, and one more for
 * "cache". */
#define MAX_JSON_BRACKETS (2 * STRATA_MAX_NODES)

/* Where a string of JSON ends: its closing quote, or the end of the text. json-glib takes both
 * kinds of quotes. */
static const char *
skip_json_string(const char *quote)
{
    const char *c = quote + 1;

    while (*c && *c != *quote)
        c += c[0] == '\\' && c[1] ? 2 : 1;
    return c;
}

/* What json-glib would not refuse, or not survive: see the limits above, and words after the end.
 */
static gboolean
check_json_text(const char *json, GError **error)
{
    guint brackets = 0;
    gsize digits = 0;
    int depth = 0;

    for (const char *c = json; *c; c++)
        brackets += *c == '{' || *c == '[';
    if (brackets > MAX_JSON_BRACKETS) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT,
                    "the JSON text has %u opening braces and brackets; a graph needs at most %d",
                    brackets, MAX_JSON_BRACKETS);
        return FALSE;
    }
    if (strstr(json, "\\u0000"))
        return spec_throw(error, "the JSON text has a NUL character (\\u0000) in a string");
    for (const char *c = json; *c; c++) {
        if (*c == '"' || *c == '\'') {
            c = skip_json_string(c);
            if (!*c)
                return spec_throw(error, "the JSON text ends within a string");
        } else if (*c == '}' && --depth == 0 && c[1 + strspn(c + 1, " \t\r\n")]) {
            return spec_throw(error, "the JSON text goes on after its last closing brace");
        }
        depth += *c == '{';
        digits = g_ascii_isdigit(*c) ? digits + 1 : 0;
        if (digits > SPEC_MAX_JSON_DIGITS) {
            return spec_throw(error, "the JSON text has a number of more than %d digits",
                              SPEC_MAX_JSON_DIGITS);
        }
    }
    return TRUE;
}

static SpecValue *
value_from_json(const char *key, JsonNode *json, GError **error)
{
    GType type = JSON_NODE_HOLDS_VALUE(json) ? json_node_get_value_type(json) : G_TYPE_INVALID;
    g_autofree char *shown = NULL;

    if (JSON_NODE_HOLDS_NULL(json))
        return spec_value_new(SPEC_NULL, NULL);
    if (type == G_TYPE_STRING)
        return spec_value_new(SPEC_TEXT, json_node_get_string(json));
    if (type == G_TYPE_BOOLEAN)
        return spec_value_new(SPEC_BOOL, json_node_get_boolean(json) ? "on" : "off");
    if (type == G_TYPE_INT64 || type == G_TYPE_DOUBLE) {
        g_autofree char *number = json_to_string(json, FALSE);

        return spec_value_new(SPEC_NUMBER, number);
    }
    shown = strata_escape(key);
    spec_throw(error, "\"%s\" is a list; no key takes one", shown);
    return NULL;
}

/* An object that waits to be taken apart: JSON nests as deep as backing chains are long, so this
 * is a list and no recursion. */
typedef struct {
    JsonObject *object; /* lives as long as the parser */
    StrataSpec *spec;   /* the node that its members speak of */
    const char *group;  /* NULL, or the key before its members' keys: "cache" */
} PendingObject;

/* A member that is an object: a child, or a group of options of the same node ("cache"). */
static gboolean
put_json_object(const PendingObject *parent, const char *member, JsonNode *json, GArray *pending,
                GError **error)
{
    const char *key = member;
    StrataSpec *spec = parent->group ? parent->spec : spec_descend(parent->spec, &key, error);
    int role = parent->group ? -1 : spec_role_from_key(key, strlen(key));
    PendingObject object = { .object = json_node_get_object(json), .spec = spec };

    if (!spec)
        return FALSE;
    if (parent->group) {
        g_autofree char *shown = strata_escape(member);

        return spec_throw(error, "\"%s\" of \"%s\" cannot be an object", shown, parent->group);
    }
    if (role == STRATA_ROLE_BACKING && spec->without_backing)
        return spec_throw(error, "\"backing\" is null, and yet something is said of it");
    if (role >= 0)
        object.spec = spec_ensure_child(spec, role);
    else
        object.group = key;
    g_array_append_val(pending, object);
    return TRUE;
}

static gboolean
put_json_member(const PendingObject *parent, const char *member, JsonNode *json, GArray *pending,
                GError **error)
{
    g_autofree char *key = NULL;
    g_autoptr(SpecValue) value = NULL;

    if (JSON_NODE_HOLDS_OBJECT(json))
        return put_json_object(parent, member, json, pending, error);
    key = parent->group ? g_strconcat(parent->group, ".", member, NULL) : g_strdup(member);
    value = value_from_json(key, json, error);
    return value && spec_put(parent->spec, key, value, error);
}

static gboolean
put_json_members(const PendingObject *parent, GArray *pending, GError **error)
{
    JsonObjectIter iter;
    const char *member;
    JsonNode *json;

    json_object_iter_init_ordered(&iter, parent->object);
    while (json_object_iter_next_ordered(&iter, &member, &json))
        if (!put_json_member(parent, member, json, pending, error))
            return FALSE;
    return TRUE;
}

static StrataSpec *
spec_from_json_object(JsonObject *object, GError **error)
{
    g_autoptr(StrataSpec) root = spec_new();
    g_autoptr(GArray) pending = g_array_new(FALSE, FALSE, sizeof(PendingObject));
    PendingObject top = { .object = object, .spec = root };

    g_array_append_val(pending, top);
    for (guint i = 0; i < pending->len; i++) {
        PendingObject parent = g_array_index(pending, PendingObject, i);

        if (!put_json_members(&parent, pending, error))
            return NULL;
    }
    return g_steal_pointer(&root);
}

/* json-glib lets the last of two members of one name win, and tells nobody; what the user meant is
 * not for us to say. */
typedef struct {
    GHashTable *seen; /* "object/member" */
    char *twice;      /* a name that stands twice, or NULL */
} MemberNames;

static void
member_names_clear(MemberNames *names)
{
    g_hash_table_unref(names->seen);
    g_free(names->twice);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MemberNames, member_names_clear)

static void
note_member(JsonParser *parser, JsonObject *object, const char *member, gpointer user_data)
{
    MemberNames *names = user_data;

    if (!g_hash_table_add(names->seen, g_strdup_printf("%p/%s", (void *)object, member)) &&
        !names->twice)
        names->twice = strata_escape(member);
}

static StrataSpec *
parse_json(JsonParser *parser, const char *json, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_auto(MemberNames) names = {
        .seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
    };
    JsonNode *root;

    g_signal_connect(parser, "object-member", G_CALLBACK(note_member), &names);
    if (!json_parser_load_from_data(parser, json, -1, &reason)) {
        g_autofree char *shown = strata_escape(reason->message);

        spec_throw(error,
                   "the text after \"json:\" is no JSON: %s (a file whose name begins so is "
                   "written ./json:...)",
                   shown);
        return NULL;
    }
    if (names.twice) {
        spec_throw(error, "the JSON text gives the key \"%s\" twice in one object", names.twice);
        return NULL;
    }
    root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        spec_throw(error, "the text after \"json:\" is no object; write json:{...}");
        return NULL;
    }
    return spec_from_json_object(json_node_get_object(root), error);
}

StrataSpec *
spec_from_json(const char *json, GError **error)
{
    JsonParser *parser;
    StrataSpec *spec;

    if (!check_json_text(json, error) || !late_json_load(error))
        return NULL;
    parser = json_parser_new_immutable();
    spec = parse_json(parser, json, error);
    g_object_unref(parser);
    return spec;
}
