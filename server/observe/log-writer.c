/* SPDX-License-Identifier: LGPL-2.1-or-later
 * log-writer.c - where strata-nbd's log goes, and in which form. */
#include "log-writer.h"

#include "log-journal.h"
#include "log-json.h"
#include "log-queue.h"

#include <errno.h>
#include <poll.h>
#include <strata/strata.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

typedef enum {
    FORMAT_TEXT,
    FORMAT_JSON,
    FORMAT_JOURNAL,
} Format;

/* Constant while there are threads. */
static Format format = FORMAT_TEXT;
static gboolean is_verbose;

static const struct {
    GLogLevelFlags level;
    int priority;
    const char *word;
} levels[] = {
    { G_LOG_LEVEL_ERROR, LOG_ERR, "error" },
    { G_LOG_LEVEL_CRITICAL, LOG_WARNING, "warning" },
    { G_LOG_LEVEL_WARNING, LOG_WARNING, "warning" },
    { G_LOG_LEVEL_MESSAGE, LOG_NOTICE, "notice" },
    { G_LOG_LEVEL_INFO, LOG_INFO, "info" },
    { G_LOG_LEVEL_DEBUG, LOG_DEBUG, "debug" },
};

static gsize
find_level(GLogLevelFlags level)
{
    gsize i = 0;

    while (i + 1 < G_N_ELEMENTS(levels) && !(level & levels[i].level))
        i++;
    return i;
}

/* Messages are escaped where they are made, for who makes one knows what in it is not trusted. This
 * is for what libraries say. */
static char *
without_control_characters(const char *message)
{
    char *line = g_strdup(message);

    for (char *c = line; *c != '\0'; c++)
        if (g_ascii_iscntrl(*c))
            *c = '?';
    return line;
}

typedef struct {
    char *text;       /* with the end of the line */
    GPtrArray *entry; /* for the journal, or NULL; the text is in case it is not taken */
} Line;

static void
free_line(gpointer data)
{
    g_autofree Line *line = data;

    g_free(line->text);
    g_clear_pointer(&line->entry, g_ptr_array_unref);
}

/* Not by way of stdio, whose lock would be held while nobody reads. Standard error may be somebody
 * else's too, who made it non-blocking. */
static void
write_all(const char *text)
{
    gsize length = strlen(text);

    while (length > 0) {
        struct pollfd entry = { .fd = STDERR_FILENO, .events = POLLOUT };
        ssize_t written = write(STDERR_FILENO, text, length);

        if (written < 0 && errno == EAGAIN)
            poll(&entry, 1, -1);
        else if (written < 0 && errno != EINTR)
            return;
        text += MAX(written, 0);
        length -= (gsize)MAX(written, 0);
    }
}

static void
write_line(gpointer data)
{
    const Line *line = data;

    if (line->entry == NULL || !log_journal_send(line->entry))
        write_all(line->text);
}

static char *
make_text(gsize level, const char *message, const LogFields *fields)
{
    g_autofree char *json = NULL;

    if (format != FORMAT_JSON)
        return g_strdup_printf("strata-nbd: %s\n", message);
    json = log_json_line(g_get_real_time(), levels[level].word, message, fields);
    return g_strconcat(json, "\n", NULL);
}

static Line *
make_line(GLogLevelFlags level, const char *message, const LogFields *fields)
{
    Line *line = g_new0(Line, 1);
    gsize found = find_level(level);

    line->text = make_text(found, message, fields);
    if (format == FORMAT_JOURNAL)
        line->entry = log_journal_entry(levels[found].priority, message, fields);
    return line;
}

static gpointer
make_lost_line(guint n)
{
    g_autofree char *sentence =
        g_strdup_printf("%u lines of the log were lost, which nobody read in time", n);

    return make_line(G_LOG_LEVEL_MESSAGE, sentence, &(LogFields){ .event = "log-lost" });
}

/* A LogSink. */
static void
take(GLogLevelFlags level, const char *sentence, const LogFields *fields)
{
    g_autofree char *line = without_control_characters(sentence);

    if (level & G_LOG_FLAG_FATAL) /* this one is the last */
        log_queue_stop();
    if (!(level & (G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG)) || is_verbose)
        log_queue_put(make_line(level, line, fields));
}

static void
take_from_glib(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer user_data)
{
    gboolean is_limited = !(level & (G_LOG_FLAG_FATAL | G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG));

    if (!is_limited || log_admits_library())
        take(level, message, NULL);
}

void
log_writer_install(void)
{
    log_queue_init(write_line, free_line, make_lost_line);
    g_log_set_default_handler(take_from_glib, NULL);
    log_set_sink(take);
}

static gboolean
choose_journal(GError **error)
{
    if (!log_journal_is_there()) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "--log-format=journal: there is no journal on this system; take text or json");
        return FALSE;
    }
    format = FORMAT_JOURNAL;
    return TRUE;
}

gboolean
log_writer_set(const char *word, gboolean verbose, GError **error)
{
    is_verbose = verbose;
    log_set_events(verbose);
    if (word == NULL)
        format = log_journal_is_standard_error() && log_journal_is_there() ? FORMAT_JOURNAL
                                                                           : FORMAT_TEXT;
    else if (g_str_equal(word, "text"))
        format = FORMAT_TEXT;
    else if (g_str_equal(word, "json"))
        format = FORMAT_JSON;
    else if (g_str_equal(word, "journal"))
        return choose_journal(error);
    else {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "--log-format takes text, json or journal, not '%s'", word);
        return FALSE;
    }
    return TRUE;
}

gboolean
log_writer_is_json(void)
{
    return format == FORMAT_JSON;
}

void
log_writer_tell_end(const char *message)
{
    log_queue_put(make_line(G_LOG_LEVEL_ERROR, message, NULL));
}

void
log_writer_start(void)
{
    log_queue_start();
}

void
log_writer_stop(void)
{
    log_end_libraries();
    log_queue_stop();
}
