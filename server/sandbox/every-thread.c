/* SPDX-License-Identifier: LGPL-2.1-or-later
 * every-thread.c - calls a function in each thread, by a signal to one after the other.
 *
 * The threads are read from /proc/self/task, again and again, until all of one reading had made the
 * call before. That is enough: who starts a thread before making the call has it in the list before
 * making the call, because a signal does not interrupt the start of a thread; and who starts one
 * after the call hands on what the call did. */
#include "every-thread.h"

#include "sanitizers.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <strata/strata.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Far from those that libraries like. */
#define SIGNAL (SIGRTMAX - 3)

/* How long a thread may take to answer; the same for one that blocks the signal, and may be about
 * to end that, since it is just being started; and how often it is seen whether it is still there.
 * The thread sanitizer has a thread of its own that never listens, and each server waits for it. */
#define PATIENCE_USEC (5 * G_USEC_PER_SEC)
#if STRATA_HAS_THREAD_SANITIZER
#define DEAF_USEC (G_USEC_PER_SEC / 10)
#else
#define DEAF_USEC (1 * G_USEC_PER_SEC)
#endif
#define LOOK_NSEC (20 * 1000 * 1000)

#define MAX_READINGS 1000

#define TASKS "/proc/self/task"

typedef enum {
    ANSWER_AGAIN, /* it had made the call before */
    ANSWER_NEW,
    ANSWER_FAILED,
    ANSWER_GONE,
    ANSWER_NONE,
} Answer;

/* What the thread with the number .thread is to do; the signal handler finds it here. One thread is
 * asked at a time. */
static struct {
    gint thread; /* atomic; 0: nobody */
    EveryThreadFunc func;
    int argument;
    int round;  /* which call of every_thread_call() this is, from 1 on */
    int failed; /* errno of .func; written before .answered is posted */
    gboolean is_new;
    sem_t answered;
} call;

/* The last round of which this thread has made the call. */
static __thread volatile int last_round;

static int
this_thread(void)
{
    return (int)syscall(SYS_gettid);
}

static void
make_call(int number)
{
    int saved_errno = errno;

    if (g_atomic_int_compare_and_exchange(&call.thread, this_thread(), 0)) {
        call.is_new = last_round != call.round;
        call.failed = call.is_new ? call.func(call.argument) : 0;
        if (call.failed == 0)
            last_round = call.round;
        sem_post(&call.answered);
    }
    errno = saved_errno;
}

/* Whether the thread blocks the signal; one that is gone does not. */
static gboolean
is_deaf(int thread)
{
    g_autofree char *path = g_strdup_printf(TASKS "/%d/status", thread);
    g_autofree char *status = NULL;
    const char *line;

    if (!g_file_get_contents(path, &status, NULL, NULL))
        return FALSE;
    line = strstr(status, "\nSigBlk:");
    return line != NULL &&
           (g_ascii_strtoull(line + strlen("\nSigBlk:"), NULL, 16) >> (SIGNAL - 1) & 1) != 0;
}

static gboolean
send_signal(int thread, int number)
{
    return syscall(SYS_tgkill, getpid(), thread, number) == 0;
}

/* Whether the answer came in this little while. */
static gboolean
wait_a_little(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_NSEC;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return sem_timedwait(&call.answered, &until) == 0;
}

static Answer
read_answer(void)
{
    if (call.failed != 0)
        return ANSWER_FAILED;
    return call.is_new ? ANSWER_NEW : ANSWER_AGAIN;
}

static gboolean
is_given_up(int thread, gint64 asked)
{
    gint64 waited = g_get_monotonic_time() - asked;

    return waited >= PATIENCE_USEC || (waited >= DEAF_USEC && is_deaf(thread));
}

static Answer
ask(int thread)
{
    gint64 asked = g_get_monotonic_time();

    g_atomic_int_set(&call.thread, thread);
    if (!send_signal(thread, SIGNAL)) {
        g_atomic_int_set(&call.thread, 0);
        return ANSWER_GONE;
    }
    while (!wait_a_little()) {
        gboolean is_gone = !send_signal(thread, 0);

        if (!is_gone && !is_given_up(thread, asked))
            continue;
        if (g_atomic_int_compare_and_exchange(&call.thread, thread, 0))
            return is_gone ? ANSWER_GONE : ANSWER_NONE;
        while (sem_wait(&call.answered) < 0) /* it is just at it */
            continue;
        break;
    }
    return read_answer();
}

/* (transfer full) (element-type int): NULL with @error */
static GArray *
list_threads(GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(TASKS, 0, NULL);
    g_autoptr(GArray) threads = g_array_new(FALSE, FALSE, sizeof(int));
    const char *name;

    if (dir == NULL) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO,
                    "the threads of the process cannot be listed: there is no /proc");
        return NULL;
    }
    while ((name = g_dir_read_name(dir)) != NULL) {
        guint64 number;

        if (g_ascii_string_to_unsigned(name, 10, 1, G_MAXINT, &number, NULL)) {
            int thread = (int)number;

            g_array_append_val(threads, thread);
        }
    }
    return g_steal_pointer(&threads);
}

static gboolean
throw_answer(Answer answer, int thread, GError **error)
{
    if (answer == ANSWER_FAILED)
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO, "thread %d: %s", thread,
                    g_strerror(call.failed));
    else
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO, "thread %d does not listen to signals",
                    thread);
    return FALSE;
}

/* One reading of the list. @out_is_last: all had made the call before. @error is that of the first
 * thread that cannot; the others are asked nevertheless. */
static gboolean
ask_all(gboolean *out_is_last, GError **error)
{
    g_autoptr(GArray) threads = list_threads(error);
    gboolean succeeded = threads != NULL;

    *out_is_last = TRUE;
    for (guint i = 0; threads != NULL && i < threads->len; i++) {
        int thread = g_array_index(threads, int, i);
        Answer answer = thread == this_thread() ? ANSWER_AGAIN : ask(thread);

        if (answer == ANSWER_NEW || answer == ANSWER_GONE)
            *out_is_last = FALSE;
        else if (answer == ANSWER_FAILED || (answer == ANSWER_NONE && !STRATA_HAS_THREAD_SANITIZER))
            succeeded = succeeded && throw_answer(answer, thread, error);
    }
    return succeeded;
}

static gboolean
call_others(GError **error)
{
    gboolean is_last = FALSE;

    for (guint i = 0; !is_last; i++) {
        if (!ask_all(&is_last, error))
            return FALSE;
        if (i == MAX_READINGS) {
            g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO,
                        "threads are started faster than they can be asked");
            return FALSE;
        }
    }
    return TRUE;
}

gboolean
every_thread_call(EveryThreadFunc func, int argument, GError **error)
{
    struct sigaction action = { .sa_handler = make_call, .sa_flags = SA_RESTART };
    int failed = func(argument);
    gboolean succeeded;

    if (failed != 0) {
        g_set_error_literal(error, STRATA_ERROR, STRATA_ERROR_IO, g_strerror(failed));
        return FALSE;
    }
    call.round++;
    call.func = func;
    call.argument = argument;
    sem_init(&call.answered, 0, 0);
    sigaction(SIGNAL, &action, NULL);
    succeeded = call_others(error);
    signal(SIGNAL, SIG_IGN); /* one that arrives late ends nothing */
    sem_destroy(&call.answered);
    return succeeded;
}
