/* SPDX-License-Identifier: LGPL-2.1-or-later
 * main.c - strata-nbd: start, stop, exit status. */
#include "confinement.h"
#include "descriptors.h"
#include "engine.h"
#include "entrances.h"
#include "notify.h"
#include "observe/log-writer.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "options.h"
#include "pid-file.h"
#include "run.h"
#include "sandbox/refused-call.h"
#include "served.h"
#include "stop.h"

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
    pid_t parent; /* who that was when the program began */
    Served *served;
    StrataTls *tls;
    StrataEngine *engine;
    Metrics *metrics;
    struct rlimit descriptors; /* RLIMIT_NOFILE as it was */
    PidFile pid_file;
    Entrances entrances;
    Confinement confinement;
    GPid child; /* of --run; 0: none, or it has ended */
    int status; /* to exit with */
    gint ended; /* atomic: the main loop is to end */
    gboolean stopping;
    gboolean stuck; /* threads of the engine are left */
} Server;

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

/* The parent may have gone before the kernel was told. To be called anew when the user or the group
 * has changed: the kernel forgets it then (PR_SET_PDEATHSIG in prctl(2)). */
static gboolean
exit_with_parent(const Server *server, GError **error)
{
    if (!server->options->exit_with_parent)
        return TRUE;
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
        return throw_errno(error, "--exit-with-parent");
    if (getppid() == server->parent)
        return TRUE;
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO, "--exit-with-parent: the parent has exited");
    return FALSE;
}

/* Any thread, also before the loop runs. */
static void
end_loop(gpointer data)
{
    Server *server = data;

    g_atomic_int_set(&server->ended, TRUE);
    g_main_context_wakeup(NULL);
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
        end_loop(server);
        return G_SOURCE_CONTINUE;
    }
    kill(server->child, SIGTERM); /* its end ends the loop */
    g_timeout_add_seconds(KILL_AFTER_SECONDS, stop_child_by_force, server);
    return G_SOURCE_CONTINUE;
}

static void
tell_reloaded(gpointer data)
{
    Server *server = data;
    g_autofree char *status = NULL;

    if (server->stopping)
        return;
    status = entrances_describe(server->engine, server->options);
    notify_ready(status);
}

static gboolean
can_reload(const Server *server)
{
    return tls_get_mode(server->tls) != TLS_OFF || served_can_reload(server->served);
}

/* Where there is something to read anew it is, and nothing ends. A server that stops, and which the
 * main loop goes on for meanwhile, is not to begin anything. */
static gboolean
on_hangup(gpointer data)
{
    Server *server = data;

    if (server->stopping)
        return G_SOURCE_CONTINUE;
    if (!can_reload(server))
        return on_signal(server);
    notify_reloading();
    if (tls_get_mode(server->tls) != TLS_OFF)
        tls_reload_or_keep(server->tls);
    if (served_can_reload(server->served))
        served_reload(server->served, tell_reloaded, server);
    else
        tell_reloaded(server);
    return G_SOURCE_CONTINUE;
}

static void
on_child_exit(GPid pid, gint wait_status, gpointer data)
{
    Server *server = data;

    g_spawn_close_pid(pid);
    server->child = 0;
    server->status = run_exit_status(wait_status);
    end_loop(server);
}

/* A nohup that the user asked for stays, where a hangup would end the server. */
static gboolean
heeds_hangup(const Server *server)
{
    struct sigaction action;

    return can_reload(server) || sigaction(SIGHUP, NULL, &action) < 0 ||
           action.sa_handler != SIG_IGN;
}

/* GLib watches SIGTERM but not this one. */
static void
turn_into_sigterm(int number)
{
    kill(getpid(), SIGTERM);
}

/* One that came before signals were watched, the last, but rather one that ends the server; 0:
 * none. Atomic, as is whether they are watched: a handler may still run in another thread when the
 * main one looks, and then who comes second finds what the first has left. */
static gint held_signal;
static gint signals_are_watched;

static void
send_held_signal(void)
{
    gint number = g_atomic_int_get(&held_signal);

    if (number != 0 && g_atomic_int_compare_and_exchange(&held_signal, number, 0))
        kill(getpid(), number);
}

static void
hold_signal(int number)
{
    if (number != SIGHUP || g_atomic_int_get(&held_signal) == 0)
        g_atomic_int_set(&held_signal, number);
    if (g_atomic_int_get(&signals_are_watched))
        send_held_signal();
}

/* From here on a signal ends the server cleanly, and threads can wake the main one. */
static void
hold_signals(const Server *server)
{
    /* It is there before any thread that wakes it: GLib's own, and those of clients. */
    (void)g_main_context_default();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGQUIT, turn_into_sigterm);
    signal(SIGTERM, hold_signal);
    signal(SIGINT, hold_signal);
    if (heeds_hangup(server))
        signal(SIGHUP, hold_signal);
}

/* GLib does it in a thread of its own, which blocks all signals: it is to be one of those that are
 * confined because who started them was. */
static void
watch_signals(Server *server)
{
    if (server->child != 0)
        g_child_watch_add(server->child, on_child_exit, server);
    g_unix_signal_add(SIGTERM, on_signal, server);
    g_unix_signal_add(SIGINT, on_signal, server);
    if (heeds_hangup(server))
        g_unix_signal_add(SIGHUP, on_hangup, server);
    g_atomic_int_set(&signals_are_watched, TRUE);
    send_held_signal();
}

static gboolean
make_engine(Server *server, GError **error)
{
    const Options *options = server->options;
    StrataEngineLimits limits;

    server->served = served_new(options, &server->confinement.needs, error);
    server->tls = server->served == NULL ? NULL : tls_new(&options->tls, error);
    if (server->tls == NULL || !pid_file_claim(&server->pid_file, options->pid_file, error))
        return FALSE;
    limits_from_options(&options->limits, options->shared, &limits);
    server->engine = strata_engine_new(served_take_exports(server->served), &limits);
    strata_engine_set_tls(server->engine, server->tls);
    if (options->single || options_exit_when_idle(options))
        strata_engine_set_idle_func(server->engine, end_loop, server);
    return TRUE;
}

static gboolean
start_command(Server *server, GError **error)
{
    g_autofree char *uri = NULL;
    g_autofree char *socket = NULL;
    RunSettings settings = {
        .command = server->options->run,
        .export_name = server->options->export_name,
        .descriptors = server->descriptors,
    };

    if (settings.command == NULL)
        return TRUE;
    settings.uri = uri = strata_engine_get_uri(server->engine, server->options->export_name);
    settings.socket = socket = strata_engine_get_socket(server->engine);
    server->child = run_start(&settings, error);
    return server->child != 0;
}

static void
tell_ready(Server *server)
{
    g_autofree char *status = entrances_describe(server->engine, server->options);

    entrances_tell(server->engine, server->options);
    entrances_warn(server->engine, server->options, served_has_access_rules(server->served));
    notify_ready(status);
    notify_watch(server->engine);
}

static gboolean
serve(Server *server, GError **error)
{
    if (!notify_prepare(error) || !entrances_take(&server->entrances, server->options, error) ||
        !confinement_prepare(&server->confinement, server->options, error) ||
        !make_engine(server, error))
        return FALSE;
    hold_signals(server);
    /* Clients can connect from here on, and are served when all has gone well. The command of --run
     * is started before the server gives up what the command may need. */
    if (!entrances_open(&server->entrances, server->engine, server->options, error) ||
        !metrics_open(&server->metrics, server->options, error) ||
        !pid_file_create(&server->pid_file, error) ||
        !confinement_drop_privileges(&server->confinement, server->entrances.directory, error) ||
        !exit_with_parent(server, error) || !start_command(server, error) ||
        !confinement_enter(&server->confinement, server->child, error))
        return FALSE;
    log_writer_start();
    /* From here on clients are answered: what can come later does. */
    if (!entrances_start(&server->entrances, server->engine, error))
        return FALSE;
    watch_signals(server);
    if (!metrics_start(server->metrics, strata_engine_get_counters(server->engine), error) ||
        !pid_file_write(&server->pid_file, error))
        return FALSE;
    tell_ready(server);
    while (!g_atomic_int_get(&server->ended))
        g_main_context_iteration(NULL, TRUE);
    notify_stopping();
    log_event_with(&(LogFields){ .event = "stopping" }, "stopping");
    return TRUE;
}

static void
clean_up(Server *server)
{
    server->stopping = TRUE;
    g_clear_pointer(&server->metrics, metrics_free);
    server->stuck = server->engine != NULL && !stop_engine(server->engine);
    server->stuck |= server->served != NULL && !served_stop(server->served);
    if (!server->stuck)
        g_clear_pointer(&server->engine, strata_engine_free);
    if (!server->stuck)
        g_clear_pointer(&server->served, served_free);
    if (!server->stuck)
        g_clear_pointer(&server->tls, tls_free);
    pid_file_close(&server->pid_file);
    entrances_close(&server->entrances);
    confinement_clear(&server->confinement);
}

/* Threads that wait for storage which does not answer cannot be ended but with the process; and
 * what they use must not be taken apart around them. */
static void
end_around_threads(int status, const GError *error)
{
    if (error != NULL)
        log_notice("stopping", "%s", error->message);
    log_notice("stopping", "storage does not answer: ending without its answer");
    log_writer_stop();
    fflush(NULL);
    _exit(status);
}

static int
run_server(const Options *options, pid_t parent, GError **error)
{
    Server server = {
        .options = options,
        .parent = parent,
        .status = EXIT_SUCCESS,
        .entrances = ENTRANCES_INIT,
        .pid_file = { .fd = -1 },
        .descriptors = raise_descriptor_limit(),
    };

    if (!exit_with_parent(&server, error) || !serve(&server, error))
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

    descriptors_fill_standard();
    /* What text is made of, and its language: the rest, which nothing here needs, is ten files. */
    setlocale(LC_CTYPE, "");
    setlocale(LC_MESSAGES, "");
    limits_bound_process();
    log_writer_install();
    if (options_parse(&options, argc, argv, &error) &&
        log_writer_set(options.log_format, options.verbose, &error)) {
        if (options.version) {
            printf("strata-nbd %s\n", STRATA_VERSION);
            return EXIT_SUCCESS;
        }
        if (log_writer_is_json())
            refused_call_tell_in_json();
        status = run_server(&options, parent, &error);
    }
    log_writer_stop();
    if (error != NULL)
        log_writer_tell_end(error->message);
    return status;
}
