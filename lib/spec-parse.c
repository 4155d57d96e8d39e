/* SPDX-License-Identifier: LGPL-2.1-or-later
 * spec-parse.c - three ways to write a graph, one tree. A file name makes the tree at once; words
 * (--image-opts) and JSON both come down to put(): a key with dots, and a scalar value. */
#include <json-glib/json-glib.h>
#include <string.h>

#include "error.h"
#include "node.h"
#include "spec-tree.h"

#define JSON_PREFIX "json:"
#define FILE_PREFIX "file:"

/* json-glib parses by recursion, so what bounds the nesting bounds the stack. Every level costs a
 * brace or a bracket; counting them all needs no parsing. A node takes one object, and one more for
 * "cache". */
#define MAX_JSON_BRACKETS (2 * STRATA_MAX_NODES)

static gboolean throw_spec(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static gboolean
throw_spec(GError **error, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, STRATA_ERROR, STRATA_ERROR_SPEC, text);
    return FALSE;
}

/* Goes down from @spec by the roles that @key begins with; *@key is then a key of the node that is
 * returned. */
static StrataSpec *
descend(StrataSpec *spec, const char **key, GError **error)
{
    for (const char *dot = strchr(*key, '.'); dot; dot = strchr(*key, '.')) {
        int role = spec_role_from_key(*key, dot - *key);

        if (role < 0)
            break;
        if (role == STRATA_ROLE_BACKING && spec->without_backing) {
            throw_spec(error, "\"backing\" is null, and yet something is said of it");
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
        return throw_spec(error, "\"%s\" must be a string", key);
    if (*slot)
        return throw_spec(error, "\"%s\" is given twice for one node", key);
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
        return throw_spec(error, "\"backing\" is null, and yet something is said of it");
    if (is_none)
        return throw_spec(error, "\"%s\" cannot be null or empty; only \"backing\" can", role_name);
    return throw_spec(error,
                      "\"%s\" is a plain value, which would be the name of a node elsewhere: nest "
                      "the node itself, as in %s.driver=...,%s.filename=... or \"%s\": {...}",
                      role_name, role_name, role_name, role_name);
}

static gboolean
put_option(StrataSpec *spec, const char *key, const SpecValue *value, GError **error)
{
    g_autofree char *shown = strata_escape(key);

    if (value->type == SPEC_NULL)
        return throw_spec(error, "\"%s\" cannot be null; only \"backing\" can", shown);
    if (g_hash_table_contains(spec->options, key))
        return throw_spec(error, "\"%s\" is given twice for one node", shown);
    g_hash_table_insert(spec->options, g_strdup(key), spec_value_new(value->type, value->text));
    return TRUE;
}

/* The one way into a tree. */
static gboolean
put(StrataSpec *root, const char *dotted_key, const SpecValue *value, GError **error)
{
    const char *key = dotted_key;
    StrataSpec *spec = descend(root, &key, error);
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

/* The next word of "a=b,,c,d=e": up to a single comma, with ",," made one. *@text moves behind it;
 * NULL at the end. */
static char *
next_word(const char **text)
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

        return throw_spec(error,
                          "'%s' is no KEY=VALUE; image options are written like "
                          "driver=qcow2,file.filename=NAME (a comma in a value is \",,\")",
                          shown);
    }
    *equals = '\0';
    value.text = equals + 1;
    return put(root, word, &value, error);
}

static StrataSpec *
parse_image_opts(const char *text, GError **error)
{
    g_autoptr(StrataSpec) root = spec_new();

    for (;;) {
        g_autofree char *word = next_word(&text);

        if (!word)
            return g_steal_pointer(&root);
        if (!put_image_opt(root, word, error))
            return NULL;
    }
}

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
        return throw_spec(error, "the JSON text has a NUL character (\\u0000) in a string");
    for (const char *c = json; *c; c++) {
        if (*c == '"' || *c == '\'') {
            c = skip_json_string(c);
            if (!*c)
                return throw_spec(error, "the JSON text ends within a string");
        } else if (*c == '}' && --depth == 0 && c[1 + strspn(c + 1, " \t\r\n")]) {
            return throw_spec(error, "the JSON text goes on after its last closing brace");
        }
        depth += *c == '{';
        digits = g_ascii_isdigit(*c) ? digits + 1 : 0;
        if (digits > SPEC_MAX_JSON_DIGITS) {
            return throw_spec(error, "the JSON text has a number of more than %d digits",
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
    throw_spec(error, "\"%s\" is a list; no key takes one", shown);
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
    StrataSpec *spec = parent->group ? parent->spec : descend(parent->spec, &key, error);
    int role = parent->group ? -1 : spec_role_from_key(key, strlen(key));
    PendingObject object = { .object = json_node_get_object(json), .spec = spec };

    if (!spec)
        return FALSE;
    if (parent->group) {
        g_autofree char *shown = strata_escape(member);

        return throw_spec(error, "\"%s\" of \"%s\" cannot be an object", shown, parent->group);
    }
    if (role == STRATA_ROLE_BACKING && spec->without_backing)
        return throw_spec(error, "\"backing\" is null, and yet something is said of it");
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
    return value && put(parent->spec, key, value, error);
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
parse_json(const char *json, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GError) reason = NULL;
    g_auto(MemberNames) names = {
        .seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
    };
    JsonNode *root;

    if (!check_json_text(json, error))
        return NULL;
    g_signal_connect(parser, "object-member", G_CALLBACK(note_member), &names);
    if (!json_parser_load_from_data(parser, json, -1, &reason)) {
        g_autofree char *shown = strata_escape(reason->message);

        throw_spec(error,
                   "the text after \"json:\" is no JSON: %s (a file whose name begins so is "
                   "written ./json:...)",
                   shown);
        return NULL;
    }
    if (names.twice) {
        throw_spec(error, "the JSON text gives the key \"%s\" twice in one object", names.twice);
        return NULL;
    }
    root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        throw_spec(error, "the text after \"json:\" is no object; write json:{...}");
        return NULL;
    }
    return spec_from_json_object(json_node_get_object(root), error);
}

static StrataSpec *
parse_filename(const char *text, const char *format, GError **error)
{
    if (g_str_has_prefix(text, FILE_PREFIX)) {
        text += strlen(FILE_PREFIX);
    } else if (spec_has_protocol(text)) {
        g_autofree char *shown = strata_escape(text);
        g_autofree char *protocol = g_strndup(text, strcspn(text, ":"));
        g_autofree char *shown_protocol = strata_escape(protocol);

        throw_spec(error,
                   "'%s' begins with the protocol \"%s:\", which strata does not speak; for a file "
                   "of that name write './%s' or 'file:%s'",
                   shown, shown_protocol, shown, shown);
        return NULL;
    }
    if (!*text) {
        throw_spec(error, "the file name is empty");
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

        return throw_spec(error, "there is no format '%s'; the formats are qcow2 and raw", shown);
    }
    if (root->driver && !g_str_equal(root->driver, format)) {
        g_autofree char *given = strata_escape(root->driver);
        g_autofree char *shown = strata_escape(format);

        return throw_spec(error,
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
        root = parse_json(text + strlen(JSON_PREFIX), error);
    else
        root = parse_filename(text, format, error);
    if (!root || !apply_format(root, format, error) || !spec_check_tree(root, error))
        return NULL;
    return g_steal_pointer(&root);
}

/* Takes the file name of a header's leaf relative to the directory of the file that holds it. */
static void
settle_filename(StrataSpec *spec, const char *directory)
{
    SpecValue *value = g_hash_table_lookup(spec->options, "filename");

    if (value && value->type == SPEC_TEXT && !g_path_is_absolute(value->text)) {
        char *path = spec_join_path(directory, value->text);

        g_free(value->text);
        value->text = path;
    }
}

/* Every driver of this version is made of files; a name of another, known to QEMU or not, is what
 * a header may not reach. */
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
                "it uses the driver \"%s\"; a name in a header may use only what is kept in files "
                "(%s)",
                shown, names);
    return FALSE;
}

StrataSpec *
spec_parse_header_json(const char *json, const char *directory, GError **error)
{
    g_autoptr(StrataSpec) root = parse_json(json, error);
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
        settle_filename(spec, directory);
    }
    if (!spec_check_tree(root, error))
        return NULL;
    return g_steal_pointer(&root);
}
