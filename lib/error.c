/* SPDX-License-Identifier: LGPL-2.1-or-later
 * error.c - messages that say which node and which file, with text from images made harmless. */
#include "error.h"

#include <errno.h>
#include <string.h>

#include "names.h"
#include "node.h"

/* The longest text that a message repeats: a header can hold far more than a line of a log. */
#define ESCAPED_MAX 1024

/* Not by G_DEFINE_QUARK: its variable is no atomic one, and threads meet here. */
GQuark
strata_error_quark(void)
{
    static gsize quark;

    if (g_once_init_enter(&quark))
        g_once_init_leave(&quark, g_quark_from_static_string("strata-error-quark"));
    return (GQuark)quark;
}

/* The host file below @node through file edges, NULL when there is none (yet). */
static const char *
find_host_file(StrataNode *node)
{
    while (node->children[STRATA_ROLE_FILE])
        node = node->children[STRATA_ROLE_FILE];
    return strata_node_get_filename(node);
}

/* "node 'base.qcow2' (/images/base.qcow2): " */
static char *
describe_node(StrataNode *node)
{
    g_autofree char *name = names_suggest(node);
    g_autofree char *file = NULL;

    if (!find_host_file(node))
        return g_strdup_printf("node '%s': ", node->name ? node->name : name);
    file = strata_escape(find_host_file(node));
    return g_strdup_printf("node '%s' (%s): ", node->name ? node->name : name, file);
}

gboolean
strata_throw(GError **error, StrataNode *node, StrataError code, const char *format, ...)
{
    g_autofree char *prefix = describe_node(node);
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, STRATA_ERROR, (gint)code, "%s%s", prefix, text);
    return FALSE;
}

gboolean
strata_throw_errno(GError **error, StrataNode *node, int saved_errno, const char *format, ...)
{
    StrataError code = saved_errno == ENOENT ? STRATA_ERROR_NOT_FOUND : STRATA_ERROR_IO;
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    return strata_throw(error, node, code, "%s: %s%s", text, g_strerror(saved_errno),
                        saved_errno == EMFILE ? " (\"ulimit -n\" allows more)" : "");
}

/* Letters that change how the text around them looks (direction marks, joiners) are no better in a
 * log than control characters. */
static gboolean
is_harmless(gunichar c)
{
    return g_unichar_isprint(c) && g_unichar_type(c) != G_UNICODE_FORMAT;
}

static void
append_escaped(GString *out, gunichar c)
{
    if (c == '\\')
        g_string_append(out, "\\\\");
    else if (c == '\n')
        g_string_append(out, "\\n");
    else if (is_harmless(c))
        g_string_append_unichar(out, c);
    else if (c < 0x80)
        g_string_append_printf(out, "\\x%02x", c);
    else
        g_string_append_printf(out, "\\u{%x}", c);
}

char *
strata_escape(const char *text)
{
    const gsize longest_escape = strlen("\\u{10ffff}");
    g_autoptr(GString) out = g_string_new(NULL);

    while (*text) {
        gunichar c = g_utf8_get_char_validated(text, -1);

        if (out->len + longest_escape + strlen("...") > ESCAPED_MAX) {
            g_string_append(out, "...");
            break;
        }
        if (c == (gunichar)-1 || c == (gunichar)-2) {
            g_string_append_printf(out, "\\x%02x", (guint8)*text);
            text++;
        } else {
            append_escaped(out, c);
            text = g_utf8_next_char(text);
        }
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}
