/* SPDX-License-Identifier: LGPL-2.1-or-later
 * changes.c - the files of a graph that change while it is open: noticed, logged, and what was
 * remembered of them dropped.
 *
 * Looking at a file is an fstat(). Each file has a stamp, taken before anything was read from it;
 * where it is another one now, the file changed. Once every LOOK_USEC whoever comes by looks at all
 * of them, and every table that is read from a file looks at that one. A change then goes so:
 *
 *      generation 6    all is well
 *                 7    caches are emptied, nodes marked; work that begins now waits for that
 *                 8    all is well, and work that began at 6 is done again
 *
 * Who then comes to a marked node asks it first whether it still holds (recheck.c): it alone waits
 * for the header to be read again.
 */
#include "changes.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "error.h"
#include "file-stamp.h"
#include "node.h"
#include "recheck.h"

#define LOOK_USEC (50 * 1000)

/* A guest that writes changes its files all the time. */
#define LOG_AGAIN_USEC (60 * G_USEC_PER_SEC)

typedef struct {
    StrataNode *leaf;
    int fd;              /* not owned */
    FileStamp stamp;     /* written under .look_lock and .stamps_lock, read under one of them */
    FileStamp seen;      /* by the last look. This and all below: under .look_lock */
    gboolean is_settled; /* a change after the stamp was taken would show in the next one */
    gboolean is_changed; /* perhaps; since the last look */
    gint64 last_logged;  /* monotonic time in microseconds; 0: never */
    guint unlogged;      /* changes since then */
} WatchedFile;

typedef struct {
    GLogLevelFlags level;
    char *text; /* owned */
} LogLine;

struct _Changes {
    StrataGraph *graph; /* not owned */
    GArray *files;      /* WatchedFile, by the index of its leaf */
    Recheck *recheck;   /* owned: the nodes; NULL until started */
    gboolean started;   /* does not change once other threads have the graph; nor do .files then */

    _Atomic gint64 next_look; /* monotonic time in microseconds */
    atomic_uint generation;   /* odd: somebody deals with a change */

    /* Taking order. */
    GMutex look_lock;   /* held by the one who looks, and after a change until caches are emptied:
                           for no read, and for no log */
    GMutex stamps_lock; /* guards the stamps; held for no system call */
};

Changes *
changes_new(StrataGraph *graph)
{
    Changes *changes = g_new0(Changes, 1);

    changes->graph = graph;
    changes->files = g_array_new(FALSE, TRUE, sizeof(WatchedFile));
    g_mutex_init(&changes->look_lock);
    g_mutex_init(&changes->stamps_lock);
    return changes;
}

void
changes_free(Changes *changes)
{
    g_array_unref(changes->files);
    g_clear_pointer(&changes->recheck, recheck_free);
    g_mutex_clear(&changes->look_lock);
    g_mutex_clear(&changes->stamps_lock);
    g_free(changes);
}

static WatchedFile *
nth_file(Changes *changes, guint n)
{
    return &g_array_index(changes->files, WatchedFile, n);
}

void
changes_watch(Changes *changes, StrataNode *leaf, int fd, const FileStamp *stamp)
{
    WatchedFile file = { .leaf = leaf, .fd = fd, .stamp = *stamp };

    file.is_settled = file_stamp_is_settled(stamp);
    g_array_append_val(changes->files, file);
}

static gint
compare_files(gconstpointer a, gconstpointer b)
{
    const WatchedFile *left = a, *right = b;

    return (gint)left->leaf->index - (gint)right->leaf->index;
}

void
changes_start(Changes *changes)
{
    g_array_sort(changes->files, compare_files);
    changes->recheck = recheck_new(changes->graph->nodes->len);
    changes->started = changes->files->len > 0;
}

/* The kernel's clock at its last tick: a few milliseconds are nothing here, and it costs little. */
static gint64
coarse_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

static char *
format_time(struct timespec time)
{
    g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(time.tv_sec);
    g_autofree char *seconds = utc ? g_date_time_format(utc, "%F %T") : g_strdup("an unknown time");

    return g_strdup_printf("%s.%03d UTC", seconds, (int)(time.tv_nsec / 1000000));
}

/* "its size from 65536 to 131072 bytes, its content at 2026-01-31 12:00:00.123 UTC" */
static char *
describe_change(const FileStamp *before, const FileStamp *after)
{
    g_autofree char *written = format_time(after->mtime);
    g_autofree char *touched = format_time(after->ctime);

    if (before->size == after->size)
        return file_stamp_is_same_content(before, after)
                   ? g_strdup_printf("its attributes at %s", touched)
                   : g_strdup_printf("its content at %s", written);
    return g_strdup_printf("its size from %" PRIu64 " to %" PRIu64 " bytes, its content at %s (%s)",
                           before->size, after->size, written,
                           before->size < after->size
                               ? "what was added is not read until it is opened again"
                               : "what was cut off cannot be read");
}

/* One line for a burst of changes: the first, and then at most one a minute. A change of attributes
 * alone is mostly a new name or new rights, and worth no warning. */
static void
note_change(WatchedFile *file, GArray *lines)
{
    gboolean is_attributes = file_stamp_is_same_content(&file->stamp, &file->seen);
    LogLine line = { .level = is_attributes ? G_LOG_LEVEL_MESSAGE : G_LOG_LEVEL_WARNING };
    g_autofree char *what = NULL;
    g_autofree char *shown = NULL;
    g_autofree char *more = NULL;
    gint64 now = g_get_monotonic_time();

    if (file->last_logged && now - file->last_logged < LOG_AGAIN_USEC) {
        file->unlogged++;
        return;
    }
    what = describe_change(&file->stamp, &file->seen);
    shown = strata_escape(strata_node_get_filename(file->leaf));
    if (file->unlogged)
        more = g_strdup_printf(" (%u more changes were not logged)", file->unlogged);
    line.text = g_strdup_printf("%s changed while it is open: %s; what was remembered of it is"
                                " dropped%s",
                                shown, what, more ? more : "");
    g_array_append_val(lines, line);
    file->last_logged = now;
    file->unlogged = 0;
}

/* Marks a file that changed, or that may have changed within one tick of the clock for files. */
static gboolean
look_at_file(WatchedFile *file)
{
    file_stamp_take(file->fd, &file->seen);
    file->is_changed = !file_stamp_equal(&file->stamp, &file->seen) || !file->is_settled;
    if (file->is_changed)
        file->is_settled = file_stamp_is_settled(&file->seen);
    return file->is_changed;
}

/* Of the files that are marked. */
static void
take_stamps(Changes *changes, GArray *lines)
{
    for (guint i = 0; i < changes->files->len; i++) {
        WatchedFile *file = nth_file(changes, i);

        if (!file->is_changed)
            continue;
        if (!file_stamp_equal(&file->stamp, &file->seen))
            note_change(file, lines);
        g_mutex_lock(&changes->stamps_lock);
        file->stamp = file->seen;
        g_mutex_unlock(&changes->stamps_lock);
    }
}

/* Marks the nodes whose storage subtree holds that file: what they read when they were opened may
 * have come from it. Whoever only defers to it through a backing edge read nothing there. */
static void
mark_concerned(const WatchedFile *file, gboolean *is_concerned)
{
    for (StrataNode *node = file->leaf; node->parent; node = node->parent)
        if (node->role != STRATA_ROLE_BACKING)
            is_concerned[node->parent->index] = TRUE;
}

/* Before anybody reads anything of them. */
static void
make_concerned_due(Changes *changes)
{
    GPtrArray *nodes = changes->graph->nodes;
    g_autofree gboolean *is_concerned = g_new0(gboolean, nodes->len);

    for (guint i = 0; i < changes->files->len; i++)
        if (nth_file(changes, i)->is_changed)
            mark_concerned(nth_file(changes, i), is_concerned);
    for (guint i = 0; i < nodes->len; i++)
        if (is_concerned[i])
            recheck_make_due(changes->recheck, nodes->pdata[i]);
}

/* With look_lock held. Returns what is to be logged (element-type LogLine), or NULL. */
static GArray *
look(Changes *changes)
{
    gboolean any = FALSE;
    GArray *lines;

    atomic_store(&changes->next_look, coarse_time() + LOOK_USEC);
    for (guint i = 0; i < changes->files->len; i++)
        any |= look_at_file(nth_file(changes, i));
    if (!any)
        return NULL;
    lines = g_array_new(FALSE, FALSE, sizeof(LogLine));
    /* Odd before the first new stamp: with it, what is read from now on seems to be unchanged. */
    atomic_fetch_add(&changes->generation, 1);
    take_stamps(changes, lines);
    table_cache_clear(changes->graph->tables);
    table_cache_clear(changes->graph->clusters);
    make_concerned_due(changes);
    atomic_fetch_add(&changes->generation, 1);
    return lines;
}

/* Logs when the lock is free: whoever reads the log may be slow. */
static void
look_and_unlock(Changes *changes)
{
    g_autoptr(GArray) lines = look(changes);

    g_mutex_unlock(&changes->look_lock);
    for (guint i = 0; lines && i < lines->len; i++) {
        LogLine *line = &g_array_index(lines, LogLine, i);

        g_log(G_LOG_DOMAIN, line->level, "%s", line->text);
        g_free(line->text);
    }
}

void
changes_look(Changes *changes)
{
    g_mutex_lock(&changes->look_lock);
    look_and_unlock(changes);
}

static guint
wait_for_even(Changes *changes)
{
    guint generation;

    /* Ends: the lock is free between two looks, and a look without a change leaves it even. */
    while ((generation = atomic_load(&changes->generation)) & 1) {
        g_mutex_lock(&changes->look_lock);
        g_mutex_unlock(&changes->look_lock);
    }
    return generation;
}

guint
changes_begin(Changes *changes)
{
    if (!changes->started)
        return 0;
    if (coarse_time() >= atomic_load_explicit(&changes->next_look, memory_order_relaxed) &&
        g_mutex_trylock(&changes->look_lock))
        look_and_unlock(changes);
    return wait_for_even(changes);
}

/* Acquire: what is found of the files from now on is of that state or a later one. */
guint
changes_get_state(Changes *changes)
{
    guint generation = atomic_load_explicit(&changes->generation, memory_order_acquire);

    return changes->started && !(generation & 1) ? generation + 1 : 0;
}

/* A table was read from a file that has changed. */
static gboolean
is_urgent(Changes *changes)
{
    return atomic_load(&changes->next_look) == 0;
}

gboolean
changes_intervened(Changes *changes, guint generation)
{
    if (!changes->started)
        return FALSE;
    if (is_urgent(changes)) {
        g_mutex_lock(&changes->look_lock);
        if (is_urgent(changes)) /* nobody looked while we waited */
            look_and_unlock(changes);
        else
            g_mutex_unlock(&changes->look_lock);
    }
    return atomic_load(&changes->generation) != generation;
}

/* The first file whose leaf has that index or a higher one. */
static guint
search_file(Changes *changes, guint index)
{
    guint low = 0, high = changes->files->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (nth_file(changes, middle)->leaf->index >= index)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static gboolean
is_unchanged(Changes *changes, const WatchedFile *file, FileStamp *out_now)
{
    g_autoptr(GMutexLocker) locker = NULL;

    file_stamp_take(file->fd, out_now);
    locker = g_mutex_locker_new(&changes->stamps_lock);
    return file_stamp_equal(&file->stamp, out_now);
}

void
changes_make_due(Changes *changes)
{
    atomic_store(&changes->next_look, 0);
}

void
changes_check_read(Changes *changes, StrataNode *storage)
{
    if (!changes->started)
        return;
    for (guint i = search_file(changes, storage->index); i < changes->files->len; i++) {
        const WatchedFile *file = nth_file(changes, i);
        FileStamp now;

        if (file->leaf->index >= storage->subtree_end)
            return;
        if (!is_unchanged(changes, file, &now))
            changes_make_due(changes);
    }
}

gboolean
changes_are_still(Changes *changes, StrataNode *node)
{
    if (!changes->started)
        return TRUE;
    for (guint i = search_file(changes, node->index); i < changes->files->len; i++) {
        const WatchedFile *file = nth_file(changes, i);
        FileStamp now;

        if (file->leaf->index >= node->subtree_end)
            break;
        if (!is_unchanged(changes, file, &now) || !file_stamp_is_settled(&now))
            return FALSE;
    }
    return TRUE;
}

gboolean
changes_check_doubtful(StrataNode *node, GError **error)
{
    return recheck_node(node->graph->changes->recheck, node, error);
}
