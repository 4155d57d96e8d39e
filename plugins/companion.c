/* SPDX-License-Identifier: LGPL-2.1-or-later
 * companion.c - the engine inside nbdkit (contexts=).
 *
 * nbdkit calls get_ready, then (unless it stays in the foreground) forks and goes on in the child,
 * then after_fork. The socket is made in the former, where errors reach the user, the threads in
 * the latter. Between the two nbdkit may give up by exit(), for example because its own port is
 * busy, and calls nothing of ours; an exit handler then removes the socket. */
#include "companion.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

/* All of it is touched by nbdkit's main thread only. */
static struct {
    char *path; /* a Unix socket, absolute; or NULL */
    char *host; /* TCP; NULL for every interface */
    char *port; /* TCP; NULL if there is a path, or no companion at all */

    StrataEngine *engine; /* NULL before listen and after stop */
    gboolean started;
    gboolean handed_over; /* forked while listening: the socket is the child's to remove */
} companion;

static void
clear_address(void)
{
    g_clear_pointer(&companion.path, g_free);
    g_clear_pointer(&companion.host, g_free);
    g_clear_pointer(&companion.port, g_free);
}

/* nbdkit changes to "/" before the socket is removed. */
static gboolean
set_unix_address(const char *path, GError **error)
{
    g_autofree char *directory = g_get_current_dir();

    if (*path == '\0') {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "contexts=unix: needs the path of a socket, as in contexts=unix:/tmp/strata");
        return FALSE;
    }
    companion.path =
        g_path_is_absolute(path) ? g_strdup(path) : g_build_filename(directory, path, NULL);
    return TRUE;
}

/* "HOST:PORT"; an IPv6 address has colons of its own and stands in brackets. */
static gboolean
set_tcp_address(const char *address, GError **error)
{
    const char *colon = strrchr(address, ':');
    g_autofree char *host = NULL;

    if (colon == NULL || colon[1] == '\0') {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "contexts=tcp:%s names no port; write contexts=tcp:HOST:PORT", address);
        return FALSE;
    }
    host = g_strndup(address, (gsize)(colon - address));
    if (strchr(host, ':') != NULL && *host != '[') {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "contexts=tcp:%s: write an IPv6 address in brackets, as in tcp:[::1]:10810",
                    address);
        return FALSE;
    }
    companion.host = *host == '\0' ? NULL : g_steal_pointer(&host);
    companion.port = g_strdup(colon + 1);
    return TRUE;
}

gboolean
companion_set_address(const char *address, GError **error)
{
    clear_address();
    if (g_str_has_prefix(address, "unix:"))
        return set_unix_address(address + strlen("unix:"), error);
    if (g_str_has_prefix(address, "tcp:"))
        return set_tcp_address(address + strlen("tcp:"), error);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                "contexts=%s is neither unix:PATH nor tcp:HOST:PORT", address);
    return FALSE;
}

static gboolean
is_wanted(void)
{
    return companion.path != NULL || companion.port != NULL;
}

/* In nbdkit's parent process, right after the fork. A fork of somebody else's, later on, finds the
 * companion started and means nothing. */
static void
hand_over(void)
{
    if (!companion.started)
        companion.handed_over = TRUE;
}

/* When it was started, nbdkit's orderly end stops it; and a child of nbdkit's that ends must not
 * take the socket of its living parent away. */
static void
remove_unstarted(void)
{
    if (!companion.started && !companion.handed_over)
        companion_stop();
}

gboolean
companion_listen(StrataGraph *graph, const char *description, GError **error)
{
    g_autoptr(StrataExports) exports = strata_exports_new();
    g_autoptr(StrataEngine) engine = NULL;
    gboolean listening;

    if (!is_wanted())
        return TRUE;
    if (!strata_exports_add(exports, "", description, graph, error))
        return FALSE;

    engine = strata_engine_new(g_steal_pointer(&exports), 0);
    listening = companion.path != NULL
                    ? strata_engine_listen_unix(engine, companion.path, error)
                    : strata_engine_listen_tcp(engine, companion.host, companion.port, error);
    if (!listening)
        return FALSE;

    companion.engine = g_steal_pointer(&engine);
    pthread_atfork(NULL, hand_over, NULL);
    atexit(remove_unstarted);
    return TRUE;
}

char *
companion_get_uri(void)
{
    return companion.engine != NULL ? strata_engine_get_uri(companion.engine, "") : NULL;
}

gboolean
companion_start(GError **error)
{
    if (companion.engine == NULL)
        return TRUE;
    companion.started = strata_engine_start(companion.engine, error);
    return companion.started;
}

void
companion_stop(void)
{
    g_clear_pointer(&companion.engine, strata_engine_free);
    clear_address();
}
