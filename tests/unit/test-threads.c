/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-threads.c - threads that park when they have done their work, and take the next. */
#include "engine/threads.h"

#define MANY 32

/* Work that goes on until it is let go, and tells which thread did it. */
typedef struct {
    GMutex lock;
    GCond cond;
    gboolean may_end;
    guint n_begun;
    guint n_ended;
    GThread *last; /* that began; compared only */
} Work;

static void
work_init(Work *work, gboolean may_end)
{
    *work = (Work){ .may_end = may_end };
    g_mutex_init(&work->lock);
    g_cond_init(&work->cond);
}

static void
work_clear(Work *work)
{
    g_mutex_clear(&work->lock);
    g_cond_clear(&work->cond);
}

static void
do_work(gpointer data)
{
    Work *work = data;

    g_mutex_lock(&work->lock);
    work->n_begun++;
    work->last = g_thread_self();
    g_cond_broadcast(&work->cond);
    while (!work->may_end)
        g_cond_wait(&work->cond, &work->lock);
    work->n_ended++;
    g_cond_broadcast(&work->cond);
    g_mutex_unlock(&work->lock);
}

static void
let_end(Work *work)
{
    g_mutex_lock(&work->lock);
    work->may_end = TRUE;
    g_cond_broadcast(&work->cond);
    g_mutex_unlock(&work->lock);
}

/* @count: of @work */
static void
wait_until(Work *work, const guint *count, guint n)
{
    g_mutex_lock(&work->lock);
    while (*count < n)
        g_cond_wait(&work->cond, &work->lock);
    g_mutex_unlock(&work->lock);
}

static void
start(ThreadSet *set, Work *work)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(thread_set_start(set, do_work, work, &error));
    g_assert_no_error(error);
}

static guint
count(ThreadSet *set, gboolean parked)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&set->lock);

    return parked ? set->parked.length : set->n_threads;
}

/* What is waited for comes by itself; the test as a whole has a time. */
static void
wait_for_parked(ThreadSet *set, guint n)
{
    while (count(set, TRUE) != n)
        g_usleep(200);
}

static void
test_parked_thread_is_used_again(void)
{
    ThreadSet set;
    Work work;
    GThread *first;

    thread_set_init(&set);
    work_init(&work, TRUE);
    start(&set, &work);
    wait_until(&work, &work.n_begun, 1);
    wait_for_parked(&set, 1);
    first = work.last;
    for (guint i = 2; i <= MANY; i++) {
        start(&set, &work);
        wait_until(&work, &work.n_begun, i);
        g_assert_true(work.last == first);
        wait_for_parked(&set, 1);
    }
    g_assert_cmpuint(count(&set, FALSE), ==, 1);
    g_assert_true(thread_set_wait(&set, -1));
    g_assert_cmpuint(count(&set, FALSE), ==, 0);
    thread_set_clear(&set);
    work_clear(&work);
}

/* Nobody waits for a thread that has something else to do, and no more park than may. */
static void
test_many_at_once(void)
{
    ThreadSet set;
    Work work;

    thread_set_init(&set);
    work_init(&work, FALSE);
    for (guint i = 0; i < MANY; i++)
        start(&set, &work);
    wait_until(&work, &work.n_begun, MANY);
    g_assert_cmpuint(count(&set, FALSE), ==, MANY);
    let_end(&work);
    wait_until(&work, &work.n_ended, MANY);
    while (count(&set, FALSE) > THREAD_SET_PARKED_MAX) {
        g_assert_cmpuint(count(&set, TRUE), <=, THREAD_SET_PARKED_MAX);
        g_usleep(200);
    }
    g_assert_true(thread_set_wait(&set, -1));
    thread_set_clear(&set);
    work_clear(&work);
}

/* In the end they are not kept for work that does not come. */
static void
test_parked_threads_leave(void)
{
    ThreadSet set;
    Work work;

    thread_set_init(&set);
    work_init(&work, TRUE);
    start(&set, &work);
    wait_for_parked(&set, 1);
    while (count(&set, FALSE) > 0)
        g_usleep(1000);
    g_assert_cmpuint(count(&set, TRUE), ==, 0);
    start(&set, &work);
    g_assert_true(thread_set_wait(&set, -1));
    g_assert_cmpuint(work.n_ended, ==, 2);
    thread_set_clear(&set);
    work_clear(&work);
}

/* Hands out what is left of the work, once to each that asks; whoever asks in vain parks. */
typedef struct {
    Work *work;
    gint n_left; /* atomic */
} Found;

static gboolean
seek(ThreadSetFunc *out_func, gpointer *out_data, gpointer data)
{
    Found *found = data;

    *out_func = do_work;
    *out_data = found->work;
    return g_atomic_int_add(&found->n_left, -1) > 0;
}

static void
test_thread_finds_work(void)
{
    ThreadSet set;
    Work work;
    Found found = { .work = &work, .n_left = MANY - 1 };

    thread_set_init(&set);
    work_init(&work, TRUE);
    set.seek = seek;
    set.seek_data = &found;
    start(&set, &work);
    wait_until(&work, &work.n_ended, MANY);
    wait_for_parked(&set, 1);
    g_assert_cmpuint(count(&set, FALSE), ==, 1);
    g_assert_cmpuint(work.n_ended, ==, MANY);
    start(&set, &work);
    wait_until(&work, &work.n_ended, MANY + 1);
    g_assert_true(thread_set_wait(&set, -1));
    thread_set_clear(&set);
    work_clear(&work);
}

/* A wait is for who works. Who parks leaves at once, and then nobody parks any more. */
static void
test_wait(void)
{
    ThreadSet set;
    Work idle, busy;

    thread_set_init(&set);
    work_init(&idle, TRUE);
    work_init(&busy, FALSE);
    start(&set, &busy);
    wait_until(&busy, &busy.n_begun, 1);
    start(&set, &idle);
    wait_for_parked(&set, 1);
    g_assert_false(thread_set_wait(&set, g_get_monotonic_time()));
    thread_set_hurry(&set);
    g_assert_false(thread_set_wait(&set, g_get_monotonic_time() + 600 * G_TIME_SPAN_SECOND));
    start(&set, &idle);
    wait_until(&idle, &idle.n_ended, 2);
    while (count(&set, FALSE) > 1) {
        g_assert_cmpuint(count(&set, TRUE), ==, 0);
        g_usleep(200);
    }
    let_end(&busy);
    g_assert_true(thread_set_wait(&set, -1));
    g_assert_cmpuint(count(&set, FALSE), ==, 0);
    thread_set_clear(&set);
    work_clear(&idle);
    work_clear(&busy);
}

static void
test_hurry_finds_only_parked_ones(void)
{
    ThreadSet set;
    Work work;

    thread_set_init(&set);
    work_init(&work, TRUE);
    start(&set, &work);
    wait_for_parked(&set, 1);
    thread_set_hurry(&set);
    g_assert_true(thread_set_wait(&set, g_get_monotonic_time()));
    thread_set_clear(&set);
    work_clear(&work);
}

typedef struct {
    ThreadSet *set;
    Work *work;
    guint left;
} Chain;

static void
start_next(gpointer data)
{
    Chain *chain = data;

    if (chain->left-- == 0)
        do_work(chain->work);
    else
        g_assert_true(thread_set_start(chain->set, start_next, chain, NULL));
}

/* Work starts work, while a wait has begun, and all of it is waited for. */
static void
test_work_that_starts_work(void)
{
    ThreadSet set;
    Work work;
    Chain chain = { .set = &set, .work = &work, .left = 500 };

    thread_set_init(&set);
    work_init(&work, TRUE);
    g_assert_true(thread_set_start(&set, start_next, &chain, NULL));
    g_assert_true(thread_set_wait(&set, -1));
    g_assert_cmpuint(work.n_ended, ==, 1);
    thread_set_clear(&set);
    work_clear(&work);
}

/* Who has given up joins nobody: a thread that ends then lets itself go. */
static void
test_given_up(void)
{
    ThreadSet set;
    Work work;

    thread_set_init(&set);
    work_init(&work, FALSE);
    start(&set, &work);
    wait_until(&work, &work.n_begun, 1);
    g_assert_false(thread_set_wait(&set, 0));
    let_end(&work);
    while (count(&set, FALSE) > 0)
        g_usleep(200);
    g_assert_null(set.finished);
    g_assert_true(thread_set_wait(&set, -1));
    thread_set_clear(&set);
    work_clear(&work);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/threads/parked-one-is-used-again", test_parked_thread_is_used_again);
    g_test_add_func("/threads/many-at-once", test_many_at_once);
    g_test_add_func("/threads/parked-ones-leave", test_parked_threads_leave);
    g_test_add_func("/threads/wait", test_wait);
    g_test_add_func("/threads/hurry-finds-only-parked-ones", test_hurry_finds_only_parked_ones);
    g_test_add_func("/threads/work-that-starts-work", test_work_that_starts_work);
    g_test_add_func("/threads/given-up", test_given_up);
    g_test_add_func("/threads/thread-finds-work", test_thread_finds_work);
    return g_test_run();
}
