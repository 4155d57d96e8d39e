/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tsan-glib.c - tells the thread sanitizer of GLib's locks.
 *
 * Debian's GLib is not instrumented and makes its locks of futexes, so the sanitizer does not see
 * that they order anything, and reports races where there are none. In the build with that
 * sanitizer (tests/run) this file is linked into everything of ours: it stands before GLib's
 * functions and says which of them hand over memory. What strata does not use between threads is
 * left out.
 */
#include <dlfcn.h>
#include <glib.h>

void __tsan_acquire(void *address);
void __tsan_release(void *address);

/* GLib's own function of that name, found anew each time: the cost does not matter here, and a
 * static variable would need a lock. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

void
g_mutex_lock(GMutex *mutex)
{
    REAL(g_mutex_lock)(mutex);
    __tsan_acquire(mutex);
}

gboolean
g_mutex_trylock(GMutex *mutex)
{
    gboolean locked = REAL(g_mutex_trylock)(mutex);

    if (locked)
        __tsan_acquire(mutex);
    return locked;
}

void
g_mutex_unlock(GMutex *mutex)
{
    __tsan_release(mutex);
    REAL(g_mutex_unlock)(mutex);
}

void
g_cond_wait(GCond *cond, GMutex *mutex)
{
    __tsan_release(mutex);
    REAL(g_cond_wait)(cond, mutex);
    __tsan_acquire(mutex);
}

gboolean
g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end_time)
{
    gboolean signalled;

    __tsan_release(mutex);
    signalled = REAL(g_cond_wait_until)(cond, mutex, end_time);
    __tsan_acquire(mutex);
    return signalled;
}

void
g_async_queue_push(GAsyncQueue *queue, gpointer data)
{
    __tsan_release(queue);
    REAL(g_async_queue_push)(queue, data);
}

gpointer
g_async_queue_pop(GAsyncQueue *queue)
{
    gpointer data = REAL(g_async_queue_pop)(queue);

    __tsan_acquire(queue);
    return data;
}

gpointer
g_async_queue_try_pop(GAsyncQueue *queue)
{
    gpointer data = REAL(g_async_queue_try_pop)(queue);

    __tsan_acquire(queue);
    return data;
}

/* Whoever frees a shared array comes after all who let go of it: what is said of the array and the
 * count go together, under a lock that the sanitizer does not see. */
void
g_array_unref(GArray *array)
{
    static GMutex lock; /* guards counts of references; taken once, whatever the elements free */
    static _Thread_local guint depth;

    if (depth++ == 0)
        REAL(g_mutex_lock)(&lock);
    __tsan_release(array);
    __tsan_acquire(array);
    REAL(g_array_unref)(array);
    if (--depth == 0)
        REAL(g_mutex_unlock)(&lock);
}

/* GLib makes a lock of its own for errors when the first one is made. If two threads make theirs at
 * once, the sanitizer does not see which of them made the lock: so here it is made before there are
 * threads. (What meson links to try the compiler is without GLib.) */
__attribute__((constructor)) static void
make_lock_of_errors(void)
{
    __typeof__(&g_set_error_literal) set = REAL(g_set_error_literal);
    __typeof__(&g_clear_error) clear = REAL(g_clear_error);
    GError *error = NULL;

    if (set == NULL || clear == NULL)
        return;
    set(&error, 1, 0, "");
    clear(&error);
}
