/* SPDX-License-Identifier: LGPL-2.1-or-later
 * metrics.c - the endpoint that tells what the engine has counted.
 *
 * One thread for each listening socket waits for all of its clients, takes a snapshot when one
 * asks, and writes it down: nobody who asks keeps the engine waiting, and all of them together hold
 * MAX_TEXTS texts at the most. Where there are more, whoever has been there longest is cut off, so
 * that those who connect and say nothing keep nobody out. */
#include "metrics.h"

#include "entrances.h"
#include "late-microhttpd.h"
#include "listen/listen.h"
#include "log.h"
#include "metrics-text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_SCRAPERS 64

/* How long what was written down is told to others, while somebody still reads it; and how many of
 * such texts there are at a time: whoever reads an older one is cut off. */
#define SHARED_USEC G_USEC_PER_SEC
#define MAX_TEXTS   4

/* For one who neither asks nor reads, and for the headers of a request. */
#define TIMEOUT_SECONDS 10u
#define MEMORY_LIMIT    ((size_t)16 * 1024)

/* One listening socket. All but the first two is its thread's alone. */
typedef struct {
    struct MHD_Daemon *daemon;
    Metrics *metrics;
    GQueue scrapers; /* Scraper, the oldest first */
    GQueue texts;    /* Text, those that somebody reads, the oldest first */
} Door;

/* What was written down for those who asked in one second. */
typedef struct {
    Door *door;
    char *words;
    struct MHD_Response *response; /* not owned: it frees this when nobody reads it any more */
    gint64 written_at;             /* monotonic, in microseconds */
} Text;

typedef struct {
    struct MHD_Connection *connection;
    gint64 reads; /* when what it reads was written; 0: nothing */
} Scraper;

struct _Metrics {
    GPtrArray *listeners; /* Listener */
    GPtrArray *doors;     /* Door */
    StrataCounters *counters;
    gint64 start_time;
    gboolean is_quiet; /* standard output is the client's (--single) */
};

static void
door_free(gpointer data)
{
    Door *door = data;

    if (door->daemon != NULL)
        MHD_stop_daemon(door->daemon);
    g_queue_clear_full(&door->scrapers, g_free);
    g_free(door);
}

/* On failure nothing is left open. */
static gboolean
listen_on(Metrics *metrics, const StrataAddress *address, const Options *options, GError **error)
{
    StrataSocketRights rights;

    return entrances_read_rights(options, &rights, error) &&
           listener_add(metrics->listeners, address, &rights, error);
}

/* An address to listen on, but for those of vsock. */
static StrataAddress *
parse_address(const char *text, GError **error)
{
    g_autofree char *shown = strata_escape(text);
    gboolean is_number = *text != '\0' && strspn(text, "0123456789") == strlen(text);

    if (g_str_has_prefix(text, "unix:") || g_str_has_prefix(text, "tcp:"))
        return strata_address_parse(text, error);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                "'%s' is neither unix:PATH nor tcp:[HOST:]PORT%s%s", shown,
                is_number ? "; perhaps you mean tcp:localhost:" : "", is_number ? shown : "");
    return NULL;
}

gboolean
metrics_open(Metrics **out_metrics, const Options *options, GError **error)
{
    g_autoptr(StrataAddress) address = NULL;
    g_autoptr(Metrics) metrics = NULL;

    if (options->metrics == NULL)
        return TRUE;
    metrics = g_new0(Metrics, 1);
    metrics->start_time = g_get_real_time();
    metrics->is_quiet = options->single;
    metrics->listeners = g_ptr_array_new_with_free_func((GDestroyNotify)listener_free);
    metrics->doors = g_ptr_array_new_with_free_func(door_free);
    address = parse_address(options->metrics, error);
    if (address == NULL || !late_microhttpd_load(error) ||
        !listen_on(metrics, address, options, error)) {
        g_prefix_error(error, "--metrics: ");
        return FALSE;
    }
    *out_metrics = g_steal_pointer(&metrics);
    return TRUE;
}

void
metrics_free(Metrics *metrics)
{
    g_ptr_array_unref(metrics->doors);
    g_ptr_array_unref(metrics->listeners);
    g_free(metrics);
}

/* An MHD_ContentReaderFreeCallback. */
static void
text_free(gpointer data)
{
    Text *text = data;

    g_queue_remove(&text->door->texts, text);
    g_free(text->words);
    g_free(text);
}

static void
cut_off(const Scraper *scraper)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(scraper->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    if (info != NULL)
        (void)shutdown(info->connect_fd, SHUT_RDWR);
}

static void
cut_off_readers(const Door *door, const Text *text)
{
    for (GList *link = door->scrapers.head; link != NULL; link = link->next) {
        const Scraper *scraper = link->data;

        if (scraper->reads != 0 && scraper->reads <= text->written_at)
            cut_off(scraper);
    }
}

/* Returns: (nullable): which @response frees */
static Text *
write_text(Door *door)
{
    g_auto(CountersSnapshot) snapshot = { 0 };
    Text *text = g_new0(Text, 1);
    GString *written;
    gsize length;

    counters_take_snapshot(door->metrics->counters, &snapshot);
    text->door = door;
    text->written_at = g_get_monotonic_time();
    written = metrics_text(&snapshot, door->metrics->start_time);
    length = written->len;
    text->words = g_string_free(written, FALSE);
    g_queue_push_tail(&door->texts, text);
    text->response = MHD_create_response_from_buffer_with_free_callback_cls(length, text->words,
                                                                            text_free, text);
    if (text->response == NULL) {
        text_free(text);
        return NULL;
    }
    MHD_add_response_header(text->response, MHD_HTTP_HEADER_CONTENT_TYPE, METRICS_CONTENT_TYPE);
    return text;
}

static enum MHD_Result
answer_with_metrics(Door *door, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    Text *last = g_queue_peek_tail(&door->texts);
    gboolean is_new = last == NULL || g_get_monotonic_time() - last->written_at >= SHARED_USEC;
    Text *text = is_new ? write_text(door) : last;
    struct MHD_Response *response;
    enum MHD_Result result;

    if (text == NULL)
        return MHD_NO;
    response = text->response;
    ((Scraper *)info->socket_context)->reads = text->written_at;
    if (door->texts.length > MAX_TEXTS)
        cut_off_readers(door, g_queue_peek_nth(&door->texts, door->texts.length - MAX_TEXTS - 1));
    result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    if (is_new)
        MHD_destroy_response(response);
    return result;
}

static struct MHD_Response *
respond_with_words(const char *words)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(words), (gpointer)words, MHD_RESPMEM_PERSISTENT);

    if (response != NULL)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                "text/plain; charset=utf-8");
    return response;
}

static gboolean
is_answered(const char *method)
{
    return g_str_equal(method, MHD_HTTP_METHOD_GET) || g_str_equal(method, MHD_HTTP_METHOD_HEAD);
}

/* What @url and @method deserve where they are not what this is here for. */
static struct MHD_Response *
respond(const char *url, const char *method, unsigned int *out_status)
{
    struct MHD_Response *response;

    *out_status = MHD_HTTP_OK;
    if (!is_answered(method)) {
        *out_status = MHD_HTTP_METHOD_NOT_ALLOWED;
        response = respond_with_words("Only GET and HEAD are answered here.\n");
        if (response != NULL)
            MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
        return response;
    }
    if (g_str_equal(url, "/"))
        return respond_with_words("strata-nbd tells its metrics at /metrics.\n");
    *out_status = MHD_HTTP_NOT_FOUND;
    return respond_with_words("There is nothing here; the metrics are at /metrics.\n");
}

/* An MHD_AccessHandlerCallback, called when the headers have come: the body, if one follows, is not
 * waited for. */
static enum MHD_Result
answer(void *data, struct MHD_Connection *connection, const char *url, const char *method,
       const char *version, const char *upload_data, size_t *upload_data_size, void **context)
{
    unsigned int status;
    struct MHD_Response *response;
    enum MHD_Result result;

    if (g_str_equal(url, "/metrics") && is_answered(method))
        return answer_with_metrics(data, connection);
    response = respond(url, method, &status);
    if (response == NULL)
        return MHD_NO;
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* An MHD_NotifyConnectionCallback. */
static void
on_connection(void *data, struct MHD_Connection *connection, void **context,
              enum MHD_ConnectionNotificationCode code)
{
    Door *door = data;
    Scraper *scraper = *context;

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        g_queue_remove(&door->scrapers, scraper);
        g_free(scraper);
        return;
    }
    scraper = g_new0(Scraper, 1);
    scraper->connection = connection;
    *context = scraper;
    g_queue_push_tail(&door->scrapers, scraper);
    if (g_queue_get_length(&door->scrapers) > MAX_SCRAPERS)
        cut_off(g_queue_pop_head(&door->scrapers));
}

/* The daemon closes its descriptor; the listener keeps its own. */
static gboolean
open_door(Metrics *metrics, const Listener *listener, GError **error)
{
    Door *door = g_new0(Door, 1);
    int fd = fcntl(listener->fd, F_DUPFD_CLOEXEC, 0);

    g_ptr_array_add(metrics->doors, door);
    door->metrics = metrics;
    g_queue_init(&door->scrapers);
    g_queue_init(&door->texts);
    if (fd >= 0)
        door->daemon = MHD_start_daemon(
            MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, answer, door,
            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, 2u * MAX_SCRAPERS,
            MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
            MEMORY_LIMIT, MHD_OPTION_NOTIFY_CONNECTION, on_connection, door, MHD_OPTION_END);
    if (door->daemon != NULL)
        return TRUE;
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO, "--metrics: cannot start to answer: %s",
                g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return FALSE;
}

/* On standard output if the system chose the port, else in the log. */
static void
tell_address(const Metrics *metrics)
{
    const Listener *listener = g_ptr_array_index(metrics->listeners, 0);
    g_autofree char *shown = NULL;

    if (listener->kind == ADDRESS_UNIX) {
        shown = strata_escape(listener->path);
        log_event_with(&(LogFields){ .event = "metrics" }, "metrics are told on the socket %s",
                       shown);
        return;
    }
    shown = g_strdup_printf(strchr(listener->host, ':') != NULL ? "http://[%s]:%u/metrics"
                                                                : "http://%s:%u/metrics",
                            listener->host, listener->port);
    if (!listener->is_chosen || metrics->is_quiet) {
        log_event_with(&(LogFields){ .event = "metrics" }, "metrics are told at %s", shown);
        return;
    }
    printf("metrics at %s\n", shown);
    fflush(stdout);
}

gboolean
metrics_start(Metrics *metrics, StrataCounters *counters, GError **error)
{
    if (metrics == NULL)
        return TRUE;
    metrics->counters = counters;
    for (guint i = 0; i < metrics->listeners->len; i++)
        if (!open_door(metrics, g_ptr_array_index(metrics->listeners, i), error))
            return FALSE;
    tell_address(metrics);
    return TRUE;
}
