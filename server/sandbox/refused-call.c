/* SPDX-License-Identifier: LGPL-2.1-or-later
 * refused-call.c - the handler of SIGSYS: says which call was refused, and has it fail.
 *
 * The kernel has put the registers back as they were before the call; the handler puts a result in.
 * A thread that blocks SIGSYS is ended by the kernel, with the process: none of ours does. */
#include "refused-call.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* More than any kernel has; numbers beyond have no name. */
#define MAX_CALLS 1024

/* NULL: none that was known when this program was built. */
static const char *const names[MAX_CALLS] = {
#include <call-names.h>
};

static gint said[MAX_CALLS]; /* atomic; whether the log knows of the call */

static gboolean in_json; /* constant once calls are refused */

/* Where the result of a call goes. */
#if defined(__x86_64__)
#define RESULT(context) ((context)->uc_mcontext.gregs[REG_RAX])
#elif defined(__i386__)
#define RESULT(context) ((context)->uc_mcontext.gregs[REG_EAX])
#elif defined(__aarch64__)
#define RESULT(context) ((context)->uc_mcontext.regs[0])
#elif defined(__arm__)
#define RESULT(context) ((context)->uc_mcontext.arm_r0)
#elif defined(__riscv)
#define RESULT(context) ((context)->uc_mcontext.__gregs[REG_A0])
#elif defined(__s390__)
#define RESULT(context) ((context)->uc_mcontext.gregs[2])
#endif

#ifdef RESULT

typedef struct {
    char text[320];
    gsize length;
} Line;

static void
add(Line *line, const char *text)
{
    gsize length = MIN(strlen(text), sizeof line->text - line->length);

    memcpy(line->text + line->length, text, length);
    line->length += length;
}

/* With @width digits at the least. */
static void
add_padded(Line *line, guint64 number, guint width)
{
    char digits[24];
    char *end = &digits[sizeof digits - 1];
    char *first = end;

    *first = '\0';
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0 || end - first < (int)width);
    add(line, first);
}

static void
add_number(Line *line, guint number)
{
    add_padded(line, number, 1);
}

/* From days since 1970. Years are counted from March on here, so that a leap day is the last of
 * one, and 719468 days lead from the 1st of March of the year 0 to 1970. The C library's functions
 * take locks, which a signal handler may not. */
static void
add_date(Line *line, guint64 days)
{
    guint64 since_0 = days + 719468;
    guint64 era = since_0 / 146097; /* 400 years */
    guint64 day = since_0 % 146097;
    guint64 year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    guint64 day_of_year = day - (365 * year + year / 4 - year / 100);
    guint64 month = (5 * day_of_year + 2) / 153; /* 0: March */
    gboolean is_next_year = month >= 10;

    add_padded(line, era * 400 + year + (is_next_year ? 1 : 0), 4);
    add(line, "-");
    add_padded(line, is_next_year ? month - 9 : month + 3, 2);
    add(line, "-");
    add_padded(line, day_of_year - (153 * month + 2) / 5 + 1, 2);
}

/* As log-json.c has it. */
static void
add_time(Line *line)
{
    struct timespec now = { 0 };
    guint64 seconds;

    clock_gettime(CLOCK_REALTIME, &now);
    seconds = now.tv_sec > 0 ? (guint64)now.tv_sec : 0;
    add_date(line, seconds / 86400);
    add(line, "T");
    add_padded(line, seconds / 3600 % 24, 2);
    add(line, ":");
    add_padded(line, seconds / 60 % 60, 2);
    add(line, ":");
    add_padded(line, seconds % 60, 2);
    add(line, ".");
    add_padded(line, (guint64)now.tv_nsec / 1000, 6);
    add(line, "Z");
}

static void
add_beginning(Line *line)
{
    if (!in_json) {
        add(line, "strata-nbd: ");
        return;
    }
    add(line, "{\"time\":\"");
    add_time(line);
    add(line, "\",\"level\":\"warning\",\"message\":\"");
}

static void
say(guint number, const char *name)
{
    Line line = { .length = 0 };

    add_beginning(&line);
    add(&line, "the sandbox refused the system call ");
    add(&line, name != NULL ? name : "number");
    add(&line, name != NULL ? " (" : " ");
    add_number(&line, number);
    add(&line, name != NULL ? ")" : "");
    add(&line, "; if it was rightly made, --sandbox=off turns the sandbox off");
    add(&line, in_json ? "\",\"event\":\"sandbox\"}\n" : "\n");
    if (write(STDERR_FILENO, line.text, line.length) < 0)
        return;
}

static void
on_refused(int number, siginfo_t *info, void *data)
{
    ucontext_t *context = data;
    guint call = (guint)info->si_syscall;
    const char *name = call < MAX_CALLS ? names[call] : NULL;
    int saved_errno = errno;

    if (call < MAX_CALLS && g_atomic_int_compare_and_exchange(&said[call], FALSE, TRUE))
        say(call, name);
    RESULT(context) = name != NULL ? -EPERM : -ENOSYS;
    errno = saved_errno;
}

void
refused_call_tell_in_json(void)
{
    in_json = TRUE;
}

gboolean
refused_call_watch(void)
{
    struct sigaction action = { .sa_sigaction = on_refused, .sa_flags = SA_SIGINFO };

    return sigaction(SIGSYS, &action, NULL) == 0;
}

#else

void
refused_call_tell_in_json(void)
{
}

gboolean
refused_call_watch(void)
{
    return FALSE;
}

#endif
