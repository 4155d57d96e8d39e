/* SPDX-License-Identifier: LGPL-2.1-or-later
 * directory.c - a directory of images, each an export of its file's name.
 *
 * Whoever may put files there is not trusted to name any file of this machine: a symbolic link
 * leads to a file beneath the directory, or nowhere. The same holds when the image is opened
 * (strata_policy_set_confined()), whatever the name leads to by then. */
#include "directory.h"

#include "open-graphs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct _Directory {
    gint ref_count; /* atomic */
    char *path;     /* absolute */
    int fd;
    guint64 number;
    char *format;         /* NULL: recognised */
    StrataPolicy *policy; /* owned */
    AccessRules *access;  /* owned; NULL: everybody is admitted */

    GMutex lock;    /* guards what follows; never held while the directory is read */
    GCond was_read; /* signalled when .is_reading ends */
    gboolean is_reading;
    GArray *entries;  /* Entry; constant, and shared by reference; NULL: none were read */
    gint64 begun_at;  /* when reading them began: monotonic, in microseconds */
    gint64 read_at;   /* and when it ended */
    gboolean is_kept; /* for KEPT_USEC; else only for those who waited for it */
    struct stat then; /* of the directory, before it was read */
};

/* How long a list is kept. A directory that had changed so shortly before it was read that a
 * further change may have got the same time is read again. */
#define KEPT_USEC G_USEC_PER_SEC
#define RACY_NSEC (50 * 1000 * 1000)

/* How often those who wait for a list look whether they still have to. */
#define LOOK_USEC (100 * G_TIME_SPAN_MILLISECOND)

/* ... and after how many entries whoever reads one does. */
#define LOOK_ENTRIES 256

/* What a list tells of a file. */
typedef struct {
    char *name;
    guint64 size;
    gboolean is_device;
    struct timespec mtime;
    char *description;
} Entry;

/* Whom a list is read for. */
typedef struct {
    DirectoryOverFunc is_over;
    gpointer user_data;
} Reader;

static StrataPolicy *
confine(const StrataPolicy *policy, const char *path, GError **error)
{
    g_autoptr(StrataPolicy) confined = strata_policy_copy(policy);

    if (!strata_policy_allow_dir(confined, path, error))
        return NULL;
    strata_policy_set_confined(confined, TRUE);
    return g_steal_pointer(&confined);
}

Directory *
directory_new(const ImageSettings *settings, const StrataPolicy *policy, AccessRules *access,
              GError **error)
{
    g_autoptr(Directory) directory = g_new0(Directory, 1);
    g_autofree char *shown = strata_escape(settings->image);

    directory->ref_count = 1;
    g_mutex_init(&directory->lock);
    g_cond_init(&directory->was_read);
    directory->access = access;
    directory->number = open_graphs_make_number();
    directory->path = g_canonicalize_filename(settings->image, NULL);
    directory->format = g_strdup(settings->format);
    directory->fd = open(settings->image, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory->fd < 0) {
        g_set_error(error, STRATA_ERROR, errno == ENOENT ? STRATA_ERROR_NOT_FOUND : STRATA_ERROR_IO,
                    "cannot open '%s' as a directory of images: %s", shown, g_strerror(errno));
        return NULL;
    }
    directory->policy = confine(policy, settings->image, error);
    return directory->policy != NULL ? g_steal_pointer(&directory) : NULL;
}

Directory *
directory_ref(Directory *directory)
{
    g_atomic_int_inc(&directory->ref_count);
    return directory;
}

void
directory_unref(Directory *directory)
{
    if (!g_atomic_int_dec_and_test(&directory->ref_count))
        return;
    if (directory->fd >= 0)
        close(directory->fd);
    g_free(directory->path);
    g_free(directory->format);
    g_clear_pointer(&directory->policy, strata_policy_unref);
    g_clear_pointer(&directory->access, access_rules_free);
    g_clear_pointer(&directory->entries, g_array_unref);
    g_mutex_clear(&directory->lock);
    g_cond_clear(&directory->was_read);
    g_free(directory);
}

gboolean
directory_is_same(const Directory *directory, const Directory *other)
{
    struct stat a, b;

    return fstat(directory->fd, &a) == 0 && fstat(other->fd, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

gboolean
directory_admits(const Directory *directory, const Peer *peer)
{
    return access_rules_admit(directory->access, peer);
}

/* proto.md: a name is UTF-8. A dot hides a file from other listings, too. */
static gboolean
can_be_name(const char *name)
{
    return *name != '\0' && *name != '.' && strchr(name, '/') == NULL &&
           g_utf8_validate(name, -1, NULL);
}

/* Where a symbolic link leads, if it stays beneath the directory. */
static gboolean
examine_link(const Directory *directory, const char *name, struct stat *out_stat)
{
    const struct open_how how = {
        .flags = O_PATH | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, directory->fd, name, &how, sizeof how);
    gboolean is_there = fd >= 0 && fstat(fd, out_stat) == 0;

    if (fd >= 0)
        close(fd);
    return is_there;
}

/* Whether @name is that of a file that is served. */
static gboolean
examine(const Directory *directory, const char *name, struct stat *out_stat)
{
    if (!can_be_name(name) ||
        fstatat(directory->fd, name, out_stat, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
        return FALSE;
    if (S_ISLNK(out_stat->st_mode) && !examine_link(directory, name, out_stat))
        return FALSE;
    return S_ISREG(out_stat->st_mode) || S_ISBLK(out_stat->st_mode);
}

Image *
directory_find(const Directory *directory, const char *name)
{
    g_autofree char *path = g_build_filename(directory->path, name, NULL);
    ImageSettings settings = { .image = path, .format = directory->format };
    struct stat st;

    return examine(directory, name, &st) ? image_new(&settings, directory->policy, NULL) : NULL;
}

char *
directory_make_key(const Directory *directory, const char *name)
{
    return g_strdup_printf("file %" G_GUINT64_FORMAT "/%s", directory->number, name);
}

static void
entry_clear(gpointer data)
{
    Entry *entry = data;

    g_free(entry->name);
    g_free(entry->description);
}

static gint
compare_entries(gconstpointer a, gconstpointer b)
{
    const Entry *left = a, *right = b;

    if (left->mtime.tv_sec != right->mtime.tv_sec)
        return left->mtime.tv_sec > right->mtime.tv_sec ? -1 : 1;
    if (left->mtime.tv_nsec != right->mtime.tv_nsec)
        return left->mtime.tv_nsec > right->mtime.tv_nsec ? -1 : 1;
    return strcmp(left->name, right->name);
}

/* Keeps those that are listed, so that the memory of a list is bounded whatever is there. */
static void
drop_old(GArray *entries)
{
    g_array_sort(entries, compare_entries);
    if (entries->len > DIRECTORY_MAX_LISTED)
        g_array_set_size(entries, DIRECTORY_MAX_LISTED);
}

static void
note_entry(const Directory *directory, const char *name, GArray *entries)
{
    struct stat st;
    Entry entry;

    if (!examine(directory, name, &st))
        return;
    entry = (Entry){
        .name = g_strdup(name),
        .size = (guint64)st.st_size,
        .is_device = S_ISBLK(st.st_mode),
        .mtime = st.st_mtim,
    };
    g_array_append_val(entries, entry);
    if (entries->len >= 2 * DIRECTORY_MAX_LISTED)
        drop_old(entries);
}

/* In UTC, so that the words do not depend on where the server runs. */
static char *
describe(const Entry *entry)
{
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_utc(entry->mtime.tv_sec);
    g_autofree char *when = date != NULL ? g_date_time_format(date, "%Y-%m-%d %H:%M:%S UTC")
                                         : g_strdup("an unknown date");

    if (entry->is_device)
        return g_strdup("a block device");
    return g_strdup_printf("a file of %" G_GUINT64_FORMAT " bytes, written on %s", entry->size,
                           when);
}

/* Returns FALSE if that was ended before its end. */
static gboolean
read_stream(const Directory *directory, DIR *stream, const Reader *reader, GArray *entries)
{
    const struct dirent *found;

    for (guint n = 1; (found = readdir(stream)) != NULL; n++) {
        if (n % LOOK_ENTRIES == 0 && reader->is_over(reader->user_data))
            return FALSE;
        note_entry(directory, found->d_name, entries);
    }
    drop_old(entries);
    for (guint i = 0; i < entries->len; i++) {
        Entry *entry = &g_array_index(entries, Entry, i);

        entry->description = describe(entry);
    }
    return TRUE;
}

static void
tell_unreadable(const Directory *directory)
{
    int failed = errno;
    g_autofree char *shown = strata_escape(directory->path);

    g_message("cannot read the directory '%s': %s", shown, g_strerror(failed));
}

/* A descriptor of its own: the directory's has one place where it is read. Returns: (transfer full)
 * (nullable): NULL when that was ended */
static GArray *
read_entries(const Directory *directory, const Reader *reader, gboolean *out_failed)
{
    g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(Entry));
    int fd = openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    gboolean is_whole;

    g_array_set_clear_func(entries, entry_clear);
    *out_failed = stream == NULL;
    if (stream == NULL) {
        tell_unreadable(directory);
        if (fd >= 0)
            close(fd);
        return g_steal_pointer(&entries);
    }
    is_whole = read_stream(directory, stream, reader, entries);
    closedir(stream);
    return is_whole ? g_steal_pointer(&entries) : NULL;
}

/* Whether @then may be of before a change that left no trace. */
static gboolean
is_racy(const struct stat *then, const struct timespec *now)
{
    return (now->tv_sec - then->st_mtim.tv_sec) * 1000000000 + now->tv_nsec -
               then->st_mtim.tv_nsec <
           RACY_NSEC;
}

/* With the lock held. What was begun to be read after @came is as good as what would be read now.
 */
static gboolean
is_current(const Directory *directory, const struct stat *now, gint64 came)
{
    const struct timespec *before = &directory->then.st_mtim;

    if (directory->entries != NULL && directory->begun_at >= came)
        return TRUE;
    return directory->entries != NULL && directory->is_kept &&
           g_get_monotonic_time() - directory->read_at < KEPT_USEC &&
           before->tv_sec == now->st_mtim.tv_sec && before->tv_nsec == now->st_mtim.tv_nsec;
}

/* With the lock held, which is let go meanwhile. Returns: (transfer full) (nullable): what was
 * found */
static GArray *
read_anew(Directory *directory, const struct stat *before, const Reader *reader)
{
    gint64 begun_at = g_get_monotonic_time();
    struct timespec now;
    gboolean failed;
    GArray *entries;

    directory->is_reading = TRUE;
    g_mutex_unlock(&directory->lock);
    clock_gettime(CLOCK_REALTIME, &now);
    entries = read_entries(directory, reader, &failed);
    g_mutex_lock(&directory->lock);
    directory->is_reading = FALSE;
    g_cond_broadcast(&directory->was_read);
    if (entries == NULL || failed)
        return entries;
    g_clear_pointer(&directory->entries, g_array_unref);
    directory->entries = g_array_ref(entries);
    directory->begun_at = begun_at;
    directory->read_at = g_get_monotonic_time();
    directory->is_kept = !is_racy(before, &now);
    directory->then = *before;
    return entries;
}

/* Returns: (transfer full) (nullable): the list, read anew if that is needed; NULL when it was
 * ended */
static GArray *
take_entries(Directory *directory, const Reader *reader)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = NULL;
    gint64 came = g_get_monotonic_time();
    struct stat now = { 0 };

    (void)fstat(directory->fd, &now); /* storage that does not answer is waited for here */
    locker = g_mutex_locker_new(&directory->lock);
    while (fstat(directory->fd, &now) < 0 || !is_current(directory, &now, came)) {
        if (!directory->is_reading)
            return read_anew(directory, &now, reader);
        g_cond_wait_until(&directory->was_read, &directory->lock,
                          g_get_monotonic_time() + LOOK_USEC);
        if (reader->is_over(reader->user_data))
            return NULL;
    }
    return g_array_ref(directory->entries);
}

gboolean
directory_list(Directory *directory, DirectoryFunc func, DirectoryOverFunc is_over,
               gpointer user_data)
{
    const Reader reader = { .is_over = is_over, .user_data = user_data };
    g_autoptr(GArray) entries = take_entries(directory, &reader);

    if (entries == NULL)
        return FALSE;
    for (guint i = 0; i < entries->len; i++) {
        const Entry *entry = &g_array_index(entries, Entry, i);

        if (!func(entry->name, entry->description, user_data))
            return FALSE;
    }
    return TRUE;
}
