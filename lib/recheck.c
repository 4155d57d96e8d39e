/* SPDX-License-Identifier: LGPL-2.1-or-later
 * recheck.c - whether the nodes of a graph still are what they were when they were opened.
 *
 * A driver's still_holds() reads headers, perhaps through a server that is away for a while. It is
 * called under no lock, and by the thread that needs the node. Threads that need it too wait for
 * that one; none waits in a circle, because what is read lies below the node. */
#include "recheck.h"

#include "error.h"
#include "node.h"

/* How soon a node is asked again that could not be read, or looked damaged: it may be a server that
 * is away, or a header that somebody is just writing. */
#define ASK_AGAIN_USEC (50 * 1000)

#define LOG_AGAIN_USEC (60 * G_USEC_PER_SEC)

typedef struct {
    gint is_doubtful; /* atomic; while it is FALSE the node holds, and nobody takes the lock;
                         written under .lock */

    /* Under .lock. */
    gboolean is_due;    /* a file has changed since the node was last asked */
    gboolean is_asking; /* a thread is at it */
    gboolean is_final;  /* .fault is a proved difference, and stays */
    GError *fault;      /* (nullable) owned: what the node was last found to be wrong with */
    gint64 ask_again;   /* monotonic time in microseconds, for a fault that is not final */
    gint64 last_logged; /* likewise; 0: never */
    gboolean is_logged; /* .fault, or one before it since the node last held */
} Check;

struct _Recheck {
    Check *checks; /* by the index of their node */
    guint n_checks;
    GMutex lock; /* guards the checks; held for no call of a driver and for no log */
    GCond asked; /* a check has ended */
};

Recheck *
recheck_new(guint n_nodes)
{
    Recheck *recheck = g_new0(Recheck, 1);

    recheck->checks = g_new0(Check, n_nodes);
    recheck->n_checks = n_nodes;
    g_mutex_init(&recheck->lock);
    g_cond_init(&recheck->asked);
    return recheck;
}

void
recheck_free(Recheck *recheck)
{
    for (guint i = 0; i < recheck->n_checks; i++)
        g_clear_error(&recheck->checks[i].fault);
    g_mutex_clear(&recheck->lock);
    g_cond_clear(&recheck->asked);
    g_free(recheck->checks);
    g_free(recheck);
}

/* With the lock held. The graph counts those in doubt, so that mostly nobody asks for one of them.
 */
static void
set_doubtful(Check *check, const StrataNode *node, gboolean is_doubtful)
{
    if (check->is_doubtful == is_doubtful)
        return;
    g_atomic_int_set(&check->is_doubtful, is_doubtful);
    g_atomic_int_add(&node->graph->n_doubtful, is_doubtful ? 1 : -1);
}

void
recheck_make_due(Recheck *recheck, const StrataNode *node)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = NULL;
    Check *check = &recheck->checks[node->index];

    if (!node->driver->still_holds)
        return;
    locker = g_mutex_locker_new(&recheck->lock);
    check->is_due = TRUE;
    set_doubtful(check, node, TRUE);
}

static gboolean
must_ask(const Check *check)
{
    if (check->is_final)
        return FALSE;
    return check->is_due || (check->fault && g_get_monotonic_time() >= check->ask_again);
}

/* With the lock held, which is free in between. */
static void
ask(Recheck *recheck, Check *check, StrataNode *node)
{
    GError *fault = NULL;

    check->is_due = FALSE;
    check->is_asking = TRUE;
    g_mutex_unlock(&recheck->lock);
    if (node->driver->still_holds(node, &fault))
        g_clear_error(&fault);
    g_mutex_lock(&recheck->lock);
    check->is_asking = FALSE;
    check->is_final = g_error_matches(fault, STRATA_ERROR, STRATA_ERROR_CHANGED);
    check->ask_again = g_get_monotonic_time() + ASK_AGAIN_USEC;
    g_clear_error(&check->fault);
    check->fault = fault;
    set_doubtful(check, node, fault || check->is_due);
    g_cond_broadcast(&recheck->asked);
}

/* What the log is to say of the answer just got, or NULL: a proved difference; of others one a
 * minute, and its end. */
static char *
take_news(Check *check, StrataNode *node)
{
    gint64 now = g_get_monotonic_time();
    gboolean was_logged = check->is_logged;
    g_autofree char *shown = NULL;

    if (check->fault) {
        if (!check->is_final && check->last_logged && now - check->last_logged < LOG_AGAIN_USEC)
            return NULL;
        check->is_logged = TRUE;
        check->last_logged = now;
        return g_strdup(check->fault->message);
    }
    check->is_logged = FALSE;
    if (!was_logged)
        return NULL;
    shown = strata_escape(node->name);
    return g_strdup_printf("node '%s' is again what it was when it was opened", shown);
}

static gboolean
settle(Recheck *recheck, StrataNode *node, GLogLevelFlags *level, char **news, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&recheck->lock);
    Check *check = &recheck->checks[node->index];

    while (check->is_asking)
        g_cond_wait(&recheck->asked, &recheck->lock);
    if (must_ask(check)) {
        ask(recheck, check, node);
        *news = take_news(check, node);
        *level = check->fault ? G_LOG_LEVEL_WARNING : G_LOG_LEVEL_MESSAGE;
    }
    if (check->fault && error)
        *error = g_error_copy(check->fault);
    return check->fault == NULL;
}

gboolean
recheck_node(Recheck *recheck, StrataNode *node, GError **error)
{
    g_autofree char *news = NULL;
    GLogLevelFlags level = 0;
    gboolean holds;

    if (!g_atomic_int_get(&recheck->checks[node->index].is_doubtful))
        return TRUE;
    holds = settle(recheck, node, &level, &news, error);
    if (news)
        g_log(G_LOG_DOMAIN, level, "%s", news);
    return holds;
}
