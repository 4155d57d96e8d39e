/* SPDX-License-Identifier: LGPL-2.1-or-later
 * log-json.c - a line of the log as a JSON object. */
#include "log-json.h"

/* Besides what JSON wants escaped (RFC 8259, section 7), all that a terminal could take for a
 * command, and what would end a line for some readers. */
static gboolean
wants_escape(gunichar c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
}

/* What is not UTF-8 becomes U+FFFD: JSON has no way to write it. */
static void
append_string(GString *line, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    g_string_append_c(line, '"');
    for (const char *at = valid; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);

        if (c == '"' || c == '\\')
            g_string_append_printf(line, "\\%c", (int)c);
        else if (wants_escape(c))
            g_string_append_printf(line, "\\u%04x", c);
        else
            g_string_append_unichar(line, c);
    }
    g_string_append_c(line, '"');
}

static void
append_field(const char *key, const char *value, gboolean is_number, gpointer user_data)
{
    GString *line = user_data;

    g_string_append_printf(line, ",\"%s\":", key);
    if (is_number)
        g_string_append(line, value);
    else
        append_string(line, value);
}

/* RFC 3339, section 5.6. */
static void
append_time(GString *line, gint64 time)
{
    gint64 fraction = (time % G_USEC_PER_SEC + G_USEC_PER_SEC) % G_USEC_PER_SEC;
    g_autoptr(GDateTime) moment = g_date_time_new_from_unix_utc((time - fraction) / G_USEC_PER_SEC);
    g_autofree char *seconds =
        moment != NULL ? g_date_time_format(moment, "%Y-%m-%dT%H:%M:%S") : NULL;

    g_string_append_printf(line, "{\"time\":\"%s.%06dZ\"",
                           seconds != NULL ? seconds : "1970-01-01T00:00:00", (int)fraction);
}

char *
log_json_line(gint64 time, const char *level, const char *message, const LogFields *fields)
{
    GString *line = g_string_new(NULL);

    append_time(line, time);
    append_field("level", level, FALSE, line);
    append_field("message", message, FALSE, line);
    if (fields != NULL)
        log_fields_foreach(fields, append_field, line);
    g_string_append_c(line, '}');
    return g_string_free(line, FALSE);
}
