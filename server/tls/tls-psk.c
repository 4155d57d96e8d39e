/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tls-psk.c - pre-shared keys by name. They are held in memory, so that a handshake needs no file
 * that the server may no longer read, and a file that is being written is not read by halves. */
#include "tls-psk.h"

#include <strata/strata.h>
#include <string.h>

/* RFC 4279, section 5.3: what an implementation has to take, and what GnuTLS does. */
#define MAX_NAME 128
#define MAX_KEY  64

struct _PskKeys {
    GHashTable *keys; /* GBytes (name) to GByteArray (key) */
    char *first_name;
};

typedef struct {
    PskKeys *keys;
    const char *filename;
    guint line; /* counted from 1 */
} Parser;

static gboolean refuse(const Parser *parser, GError **error, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static gboolean
refuse(const Parser *parser, GError **error, const char *format, ...)
{
    g_autofree char *shown = strata_escape(parser->filename);
    g_autofree char *why = NULL;
    va_list arguments;

    va_start(arguments, format);
    why = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC, "the file of keys '%s', line %u: %s", shown,
                parser->line, why);
    return FALSE;
}

static void
wipe(gpointer data)
{
    GByteArray *key = data;

    explicit_bzero(key->data, key->len);
    g_byte_array_unref(key);
}

/* Returns NULL for what is not hexadecimal, or for nothing. The array never moves in memory, which
 * would leave a copy behind. */
static GByteArray *
decode_hex(const char *digits, gsize length)
{
    GByteArray *bytes;

    if (length == 0 || length % 2 != 0)
        return NULL;
    bytes = g_byte_array_sized_new((guint)(length / 2));
    for (gsize i = 0; i < length; i += 2) {
        int high = g_ascii_xdigit_value(digits[i]), low = g_ascii_xdigit_value(digits[i + 1]);
        guint8 byte = (guint8)((guint)high << 4 | (guint)low);

        if (high < 0 || low < 0) {
            wipe(bytes);
            return NULL;
        }
        g_byte_array_append(bytes, &byte, 1);
    }
    return bytes;
}

static GBytes *
decode_name(const char *name, gsize length)
{
    GByteArray *bytes;

    if (length == 0 || name[0] != '#')
        return length == 0 ? NULL : g_bytes_new(name, length);
    bytes = decode_hex(name + 1, length - 1);
    return bytes == NULL ? NULL : g_byte_array_free_to_bytes(bytes);
}

static gboolean
add_key(Parser *parser, GBytes *name, const char *digits, gsize n_digits, GError **error)
{
    g_autofree char *shown = psk_name_to_text(g_bytes_get_data(name, NULL), g_bytes_get_size(name));
    g_autofree char *escaped = strata_escape(shown);
    GByteArray *key;

    if (g_hash_table_contains(parser->keys->keys, name))
        return refuse(parser, error, "'%s' has a key already", escaped);
    if (n_digits > 2 * MAX_KEY)
        return refuse(parser, error, "the key of '%s' has more than %d bytes", escaped, MAX_KEY);
    key = decode_hex(digits, n_digits);
    if (key == NULL)
        return refuse(parser, error, "the key of '%s' is not pairs of hexadecimal digits", escaped);
    g_hash_table_insert(parser->keys->keys, g_bytes_ref(name), key);
    if (parser->keys->first_name == NULL)
        parser->keys->first_name = g_steal_pointer(&shown);
    return TRUE;
}

/* @line: without its end, and not empty */
static gboolean
parse_line(Parser *parser, const char *line, gsize length, GError **error)
{
    const char *colon = memchr(line, ':', length);
    g_autoptr(GBytes) name = NULL;

    if (colon == NULL)
        return refuse(parser, error, "expected NAME:KEY, as psktool writes it");
    name = decode_name(line, (gsize)(colon - line));
    if (name == NULL)
        return refuse(parser, error,
                      colon == line ? "there is no name before the colon"
                                    : "a name after '#' is written in pairs of hexadecimal digits");
    if (g_bytes_get_size(name) > MAX_NAME)
        return refuse(parser, error, "the name has more than %d bytes", MAX_NAME);
    return add_key(parser, name, colon + 1, length - (gsize)(colon + 1 - line), error);
}

static gsize
length_without_space(const char *line, gsize length)
{
    while (length > 0 && g_ascii_isspace(line[length - 1]))
        length--;
    return length;
}

static gboolean
parse_lines(Parser *parser, const char *text, gsize length, GError **error)
{
    const char *end = text + length;

    for (const char *line = text, *next; line < end; line = next) {
        const char *newline = memchr(line, '\n', (gsize)(end - line));
        gsize used;

        next = newline == NULL ? end : newline + 1;
        used = length_without_space(line, (gsize)(next - line));
        parser->line++;
        if (used > 0 && !parse_line(parser, line, used, error))
            return FALSE;
    }
    return TRUE;
}

PskKeys *
psk_keys_parse(const char *text, gsize length, const char *filename, GError **error)
{
    g_autoptr(PskKeys) keys = g_new0(PskKeys, 1);
    Parser parser = { .keys = keys, .filename = filename };

    keys->keys =
        g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, wipe);
    if (!parse_lines(&parser, text, length, error))
        return NULL;
    if (g_hash_table_size(keys->keys) == 0) {
        g_autofree char *shown = strata_escape(filename);

        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "the file of keys '%s' has no key in it; psktool makes one", shown);
        return NULL;
    }
    return g_steal_pointer(&keys);
}

void
psk_keys_free(PskKeys *keys)
{
    g_hash_table_unref(keys->keys);
    g_free(keys->first_name);
    g_free(keys);
}

const GByteArray *
psk_keys_find(const PskKeys *keys, gconstpointer name, gsize length)
{
    g_autoptr(GBytes) wanted = g_bytes_new(name, length);

    return g_hash_table_lookup(keys->keys, wanted);
}

const char *
psk_keys_first_name(const PskKeys *keys)
{
    return keys->first_name;
}

char *
psk_name_to_text(gconstpointer name, gsize length)
{
    const guint8 *bytes = name;
    GString *text;

    if (length > 0 && bytes[0] != '#' && memchr(bytes, '\0', length) == NULL &&
        g_utf8_validate(name, (gssize)length, NULL))
        return g_strndup(name, length);
    text = g_string_new("#");
    for (gsize i = 0; i < length; i++)
        g_string_append_printf(text, "%02x", bytes[i]);
    return g_string_free(text, FALSE);
}
