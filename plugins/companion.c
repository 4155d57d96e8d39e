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

#include "engine.h"

/* A second door beside nbdkit's own, which has the same descriptors: it must not use them up. What
 * limits_bound_process() sets is the process's, and so not for a guest in it to set. */
#define MAX_CONNECTIONS          256
#define MAX_CONNECTIONS_PER_PEER 128

/* All of it is touched by nbdkit's main thread only. */
static struct {
    StrataAddress *address; /* NULL: there is no companion at all */
    StrataEngine *engine;   /* NULL before listen and after stop */
    gboolean started;
    gboolean handed_over; /* forked while listening: the socket is the child's to remove */
} companion;

static void
clear_address(void)
{
    g_clear_pointer(&companion.address, strata_address_free);
}

gboolean
companion_set_address(const char *address, GError **error)
{
    clear_address();
    companion.address = strata_address_parse(address, error);
    if (companion.address != NULL)
        return TRUE;
    g_prefix_error(error, "contexts=");
    return FALSE;
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

static StrataEngine *
make_engine(StrataExports *exports)
{
    StrataEngineLimits limits;

    strata_engine_limits_init(&limits);
    limits.max_connections = MAX_CONNECTIONS;
    limits.max_connections_per_peer = MAX_CONNECTIONS_PER_PEER;
    return strata_engine_new(exports, &limits);
}

gboolean
companion_listen(StrataGraph *graph, const char *description, GError **error)
{
    g_autoptr(StrataExports) exports = strata_exports_new();
    g_autoptr(StrataEngine) engine = NULL;

    if (companion.address == NULL)
        return TRUE;
    if (!strata_exports_add(exports, "", description, graph, error))
        return FALSE;

    engine = make_engine(g_steal_pointer(&exports));
    if (!strata_engine_listen(engine, companion.address, NULL, error))
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
