/* SPDX-License-Identifier: LGPL-2.1-or-later
 * main.c - strata-nbd: start, stop, exit status. */
#include "engine.h"
#include "image.h"
#include "options.h"
#include "pid-file.h"
#include "run.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

/* A command of --run that does not heed SIGTERM is killed after this. */
#define KILL_AFTER_SECONDS 5

typedef struct {
    const Options *options;
    StrataEngine *engine;
    GMainLoop *loop;
    struct rlimit descriptors; /* RLIMIT_NOFILE as it was */
    PidFile pid_file;
    char *directory; /* of the private socket, or NULL */
    char *socket;    /* that is listened on, or NULL */
    GPid child;      /* of --run; 0: none, or it has ended */
    int status;      /* to exit with */
    gboolean stuck;  /* threads of the engine are left */
} Server;

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

static void
write_log(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer user_data)
{
    const Options *options = user_data;
    g_autofree char *line = without_control_characters(message);

    if (!(level & (G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG)) || options->verbose)
        fprintf(stderr, "strata-nbd: %s\n", line);
}

static gboolean
throw_errno(GError **error, const char *what)
{
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO, "%s: %s", what, g_strerror(errno));
    return FALSE;
}

static struct rlimit
raise_descriptor_limit(void)
{
    struct rlimit limit, raised;

    getrlimit(RLIMIT_NOFILE, &limit);
    raised = limit;
    raised.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &raised);
    return limit;
}

/* @parent: who that was when the program began. It may have gone before the kernel was told. */
static gboolean
exit_with_parent(pid_t parent, GError **error)
{
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
        return throw_errno(error, "--exit-with-parent");
    if (getppid() == parent)
        return TRUE;
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO, "--exit-with-parent: the parent has exited");
    return FALSE;
}

static gboolean
stop_child_by_force(gpointer data)
{
    Server *server = data;

    if (server->child != 0)
        kill(server->child, SIGKILL);
    return G_SOURCE_REMOVE;
}

static gboolean
on_signal(gpointer data)
{
    Server *server = data;

    if (server->child == 0) {
        g_main_loop_quit(server->loop);
        return G_SOURCE_CONTINUE;
    }
    kill(server->child, SIGTERM); /* its end ends the loop */
    g_timeout_add_seconds(KILL_AFTER_SECONDS, stop_child_by_force, server);
    return G_SOURCE_CONTINUE;
}

static gboolean
quit(gpointer data)
{
    Server *server = data;

    g_main_loop_quit(server->loop);
    return G_SOURCE_REMOVE;
}

/* In a thread of the engine. As a source, it also counts before the loop runs. */
static void
on_idle(gpointer data)
{
    g_idle_add(quit, data);
}

static void
on_child_exit(GPid pid, gint wait_status, gpointer data)
{
    Server *server = data;

    g_spawn_close_pid(pid);
    server->child = 0;
    server->status = run_exit_status(wait_status);
    g_main_loop_quit(server->loop);
}

/* A nohup that the user asked for stays. */
static gboolean
is_ignored(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* GLib watches SIGTERM but not this one. */
static void
turn_into_sigterm(int number)
{
    kill(getpid(), SIGTERM);
}

static void
watch_signals(Server *server)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGQUIT, turn_into_sigterm);
    g_unix_signal_add(SIGTERM, on_signal, server);
    g_unix_signal_add(SIGINT, on_signal, server);
    if (!is_ignored(SIGHUP))
        g_unix_signal_add(SIGHUP, on_signal, server);
}

/* An empty image looks like a pid file that is to be written. */
static gboolean
check_pid_file_is_no_image(const Options *options, StrataGraph *graph, GError **error)
{
    for (guint i = 0; i < strata_graph_get_n_nodes(graph); i++) {
        const char *filename = strata_node_get_filename(strata_graph_get_node(graph, i));
        g_autofree char *shown = NULL;

        if (options->pid_file == NULL || filename == NULL ||
            !pid_file_is_same(options->pid_file, filename))
            continue;
        shown = strata_escape(filename);
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "--pid-file names '%s', which is served; choose another path", shown);
        return FALSE;
    }
    return TRUE;
}

static gboolean
make_engine(Server *server, GError **error)
{
    const Options *options = server->options;
    g_autoptr(StrataGraph) graph = image_open(options, error);
    g_autoptr(StrataExports) exports = NULL;

    if (graph == NULL || !check_pid_file_is_no_image(options, graph, error) ||
        !pid_file_claim(&server->pid_file, options->pid_file, error))
        return FALSE;
    exports = strata_exports_new();
    if (!strata_exports_add(exports, options->export_name, options->description, graph, error)) {
        options_point_to_help(error);
        return FALSE;
    }
    server->engine = strata_engine_new(g_steal_pointer(&exports), (guint)MAX(options->shared, 0));
    if (options_exit_when_idle(options))
        strata_engine_set_idle_func(server->engine, on_idle, server);
    return TRUE;
}

static gboolean
listen_tcp(Server *server, GError **error)
{
    const Options *options = server->options;
    GError *local_error = NULL;

    if (strata_engine_listen_tcp(server->engine, options->bind, options->port, &local_error))
        return TRUE;
    if (g_error_matches(local_error, STRATA_ERROR, STRATA_ERROR_SPEC))
        options_point_to_help(&local_error);
    g_propagate_error(error, local_error);
    return FALSE;
}

static gboolean
start_listening(Server *server, GError **error)
{
    const Options *options = server->options;

    if (options->run != NULL && !options->socket && !options->bind && !options->port) {
        server->directory = run_make_directory(error);
        if (server->directory == NULL)
            return FALSE;
        server->socket = g_build_filename(server->directory, RUN_SOCKET_NAME, NULL);
    } else {
        server->socket = g_strdup(options->socket);
    }
    if (server->socket != NULL)
        return strata_engine_listen_unix(server->engine, server->socket, error);
    return listen_tcp(server, error);
}

/* The line that scripts read when they let the system choose the port. */
static void
tell_address(const Server *server)
{
    g_autofree char *uri = strata_engine_get_uri(server->engine, server->options->export_name);

    if (server->options->run != NULL || g_strcmp0(server->options->port, "0") != 0) {
        g_info("listening on %s", uri);
        return;
    }
    printf("listening on %s\n", uri);
    fflush(stdout);
}

static gboolean
start_command(Server *server, GError **error)
{
    g_autofree char *uri = strata_engine_get_uri(server->engine, server->options->export_name);
    RunSettings settings = {
        .command = server->options->run,
        .uri = uri,
        .socket = server->socket,
        .export_name = server->options->export_name,
        .descriptors = server->descriptors,
    };

    if (settings.command == NULL)
        return TRUE;
    server->child = run_start(&settings, error);
    if (server->child == 0)
        return FALSE;
    g_child_watch_add(server->child, on_child_exit, server);
    return TRUE;
}

static gboolean
serve(Server *server, GError **error)
{
    if (!make_engine(server, error))
        return FALSE;
    watch_signals(server);
    /* Clients can connect from here on, and are served when all has gone well. */
    if (!start_listening(server, error) || !pid_file_write(&server->pid_file, error) ||
        !strata_engine_start(server->engine, error))
        return FALSE;
    tell_address(server);
    if (!start_command(server, error))
        return FALSE;
    g_main_loop_run(server->loop);
    return TRUE;
}

static void
clean_up(Server *server)
{
    server->stuck = server->engine != NULL && !strata_engine_stop(server->engine);
    if (!server->stuck)
        g_clear_pointer(&server->engine, strata_engine_free);
    pid_file_close(&server->pid_file);
    if (server->directory != NULL)
        g_rmdir(server->directory);
    g_clear_pointer(&server->directory, g_free);
    g_clear_pointer(&server->socket, g_free);
    g_clear_pointer(&server->loop, g_main_loop_unref);
}

/* Threads that wait for storage which does not answer cannot be ended but with the process; and
 * what they use must not be taken apart around them. */
static void
end_around_threads(int status, const GError *error)
{
    if (error != NULL)
        g_message("%s", error->message);
    g_message("storage does not answer: ending without its answer");
    fflush(NULL);
    _exit(status);
}

static int
run_server(const Options *options, pid_t parent, GError **error)
{
    Server server = {
        .options = options,
        .loop = g_main_loop_new(NULL, FALSE),
        .status = EXIT_SUCCESS,
        .pid_file = { .fd = -1 },
        .descriptors = raise_descriptor_limit(),
    };

    if ((options->exit_with_parent && !exit_with_parent(parent, error)) || !serve(&server, error))
        server.status = EXIT_FAILURE;
    clean_up(&server);
    if (server.stuck)
        end_around_threads(server.status, *error);
    return server.status;
}

int
main(int argc, char **argv)
{
    pid_t parent = getppid();
    g_auto(Options) options = { 0 };
    g_autoptr(GError) error = NULL;
    int status = EXIT_FAILURE;

    setlocale(LC_ALL, "");
    g_log_set_default_handler(write_log, &options);
    if (options_parse(&options, argc, argv, &error)) {
        if (options.version) {
            printf("strata-nbd %s\n", STRATA_VERSION);
            return EXIT_SUCCESS;
        }
        status = run_server(&options, parent, &error);
    }
    if (error != NULL)
        fprintf(stderr, "strata-nbd: %s\n", error->message);
    return status;
}
