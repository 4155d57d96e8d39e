/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-log.c - events reach the sink with their fields, failures up to a limit; and JSON that is
 * made of them is valid whatever is in it. */
#include "observe/log-json.h"

#include <json-glib/json-glib.h>
#include <string.h>

static GPtrArray *lines; /* what the sink was given */

static void
append_field(const char *key, const char *value, gboolean is_number, gpointer user_data)
{
    g_string_append_printf(user_data, " %s%c%s", key, is_number ? '#' : '=', value);
}

static void
keep(GLogLevelFlags level, const char *sentence, const LogFields *fields)
{
    GString *line = g_string_new(level == G_LOG_LEVEL_INFO ? "info: " : "message: ");

    g_string_append(line, sentence);
    log_fields_foreach(fields, append_field, line);
    g_ptr_array_add(lines, g_string_free(line, FALSE));
}

static void
set_up(gpointer *fixture, gconstpointer data)
{
    lines = g_ptr_array_new_with_free_func(g_free);
    log_set_sink(keep);
}

static void
tear_down(gpointer *fixture, gconstpointer data)
{
    log_set_sink(NULL);
    g_clear_pointer(&lines, g_ptr_array_unref);
}

static void
assert_line(guint i, const char *expected)
{
    g_assert_cmpuint(i, <, lines->len);
    g_assert_cmpstr(lines->pdata[i], ==, expected);
}

static void
test_fields(gpointer *fixture, gconstpointer data)
{
    LogRange range = { .offset = G_MAXUINT64, .length = 0 };
    LogFields of_all = { 0 }, of_connection = { .connection = 7 };
    LogTotals totals = { 3, 1, 84, 48, 1234567 };
    LogFields all = { "closed", 7, "p", "", "CN=x", "key", "NBD_CMD_READ", &range, "EIO", &totals };

    log_event_with(&of_all, "%s", "of all");
    log_event_with(&of_connection, "of %u", 1u);
    log_event_with(&all, "of one");
    assert_line(0, "info: of all");
    assert_line(1, "info: connection 7: of 1 connection#7");
    assert_line(2, "info: connection 7: of one event=closed connection#7 peer=p export= "
                   "tls_subject=CN=x psk_identity=key command=NBD_CMD_READ "
                   "offset#18446744073709551615 length#0 error=EIO requests#3 failed#1 "
                   "bytes_received#84 bytes_sent#48 duration#1.234567");
}

static void
test_limit(gpointer *fixture, gconstpointer data)
{
    Log log;

    log_init(&log);
    for (guint i = 0; i < 60; i++)
        log_failure(&log, 1, "failure %u", i);
    g_assert_cmpuint(lines->len, ==, 50);
    assert_line(49, "message: connection 1: failure 49 event=failure connection#1");
    g_assert_cmpuint(log.suppressed, ==, 10);
    log_notice("reload", "not limited");
    assert_line(50, "message: not limited event=reload");

    log.window_start -= 11 * G_USEC_PER_SEC; /* as if that much time had gone by */
    log_failure(&log, 2, "later");
    assert_line(51, "message: 10 more failures were not logged event=log-limit");
    assert_line(52, "message: connection 2: later event=failure connection#2");
    log_failure_with(&log, &(LogFields){ .connection = 3, .peer = "p" }, "who");
    assert_line(53, "message: connection 3 from p: who connection#3 peer=p");
    log_clear(&log);
    g_assert_cmpuint(lines->len, ==, 54);
    g_assert_cmpuint(log.suppressed, ==, 10);
}

/* Returns what a reader of JSON finds in the member. */
static char *
read_back(const char *line, const char *member)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;

    json_parser_load_from_data(parser, line, -1, &error);
    g_assert_no_error(error);
    return g_strdup(
        json_object_get_string_member(json_node_get_object(json_parser_get_root(parser)), member));
}

static void
test_json(gpointer *fixture, gconstpointer data)
{
    const LogFields fields = { .export_name = "\xff\"\\\n\x1b[31m\xc2\x9b\xe2\x80\xa8z" };
    g_autofree char *line = log_json_line(1795408180863426, "info", "said", &fields);
    g_autofree char *plain = log_json_line(-1, "info", "said", NULL);
    g_autofree char *back = read_back(line, "export");

    g_assert_true(g_str_has_prefix(line, "{\"time\":\"2026-11-23T04:29:40.863426Z\","
                                         "\"level\":\"info\",\"message\":\"said\","));
    g_assert_true(g_utf8_validate(line, -1, NULL));
    for (const char *at = line; *at != '\0'; at = g_utf8_next_char(at))
        g_assert_true(g_unichar_isprint(g_utf8_get_char(at)) || g_utf8_get_char(at) == 0xfffd);
    g_assert_cmpstr(back, ==, "\xef\xbf\xbd\"\\\n\x1b[31m\xc2\x9b\xe2\x80\xa8z");
    g_assert_cmpstr(plain, ==,
                    "{\"time\":\"1969-12-31T23:59:59.999999Z\",\"level\":\"info\","
                    "\"message\":\"said\"}");
}

/* What libraries say is limited, too, and counted. */
static void
test_libraries(void)
{
    guint n = 0;

    for (guint i = 0; i < 300; i++)
        n += log_admits_library() ? 1 : 0;
    g_assert_cmpuint(n, >=, 50);
    g_assert_cmpuint(n, <=, 100); /* of two windows, at the most */
    g_assert_cmpuint(log_count_suppressed_of_libraries(), ==, 300 - n);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/log/fields", gpointer, NULL, set_up, test_fields, tear_down);
    g_test_add("/log/limit", gpointer, NULL, set_up, test_limit, tear_down);
    g_test_add("/log/json", gpointer, NULL, set_up, test_json, tear_down);
    g_test_add_func("/log/libraries", test_libraries);
    return g_test_run();
}
