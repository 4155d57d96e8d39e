/* SPDX-License-Identifier: LGPL-2.1-or-later
 * run.c - --run, in the manner of nbdkit-captive(1): the command finds $uri, $nbd, $unixsocket and
 * $exportname in its environment, so that nothing in them needs quoting. */
#include "run.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <strata/strata.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* With the zero that ends it. */
#define MAX_SOCKET_PATH sizeof((struct sockaddr_un *)NULL)->sun_path

char *
run_make_directory(GError **error)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "strata-nbd-XXXXXX", NULL);

    if (strlen(path) + sizeof "/" RUN_SOCKET_NAME > MAX_SOCKET_PATH) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO,
                    "the private socket in '%s' would have a path of more than %zu bytes, the "
                    "system's limit; set TMPDIR to a directory with a shorter name",
                    path, MAX_SOCKET_PATH - 1);
        return NULL;
    }
    if (g_mkdtemp(path) == NULL) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO,
                    "cannot make a directory '%s' for the private socket: %s; TMPDIR chooses where",
                    path, g_strerror(errno));
        return NULL;
    }
    return g_steal_pointer(&path);
}

/* Between fork and exec: async-signal-safe calls only. */
static void
prepare_child(gpointer data)
{
    const RunSettings *settings = data;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    setrlimit(RLIMIT_NOFILE, &settings->descriptors);
}

GPid
run_start(const RunSettings *settings, GError **error)
{
    g_auto(GStrv) environment = g_get_environ();
    char *argv[] = { (char *)"/bin/sh", (char *)"-c", (char *)settings->command, NULL };
    g_autofree char *socket =
        settings->socket == NULL ? g_strdup("") : g_canonicalize_filename(settings->socket, NULL);
    GPid pid;

    /* What the service manager wants to be told by this process. */
    environment = g_environ_unsetenv(environment, "NOTIFY_SOCKET");
    environment = g_environ_unsetenv(environment, "WATCHDOG_USEC");
    environment = g_environ_unsetenv(environment, "WATCHDOG_PID");
    environment = g_environ_setenv(environment, "uri", settings->uri, TRUE);
    environment = g_environ_setenv(environment, "nbd", settings->uri, TRUE);
    environment = g_environ_setenv(environment, "unixsocket", socket, TRUE);
    environment = g_environ_setenv(environment, "exportname", settings->export_name, TRUE);
    if (!g_spawn_async(NULL, argv, environment,
                       G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CHILD_INHERITS_STDIN, prepare_child,
                       (gpointer)settings, &pid, error))
        return 0;
    return pid;
}

int
run_exit_status(int wait_status)
{
    if (WIFEXITED(wait_status))
        return WEXITSTATUS(wait_status);
    return 128 + WTERMSIG(wait_status);
}
