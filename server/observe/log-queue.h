/* SPDX-License-Identifier: LGPL-2.1-or-later
 * log-queue.h - lines of the log on their way out: a thread of its own writes them, so that a pipe
 * that nobody reads stops that thread and nothing else.
 *
 * Who puts a line in waits until it is written, for a short while: as long as they are read, lines
 * are out before what they tell of goes on. Once that took too long nobody waits until all that
 * waits is written; what finds the queue full is lost, and counted in its place. */
#ifndef STRATA_LOG_QUEUE_H
#define STRATA_LOG_QUEUE_H

#include <glib.h>

/* Writes one line; any thread, but no two at once. */
typedef void (*LogQueueWrite)(gpointer line);

/* Once. @lost_line makes a line (transfer full) that tells of @n lost ones. Until
 * log_queue_start() lines are written by who puts them in. */
void log_queue_init(LogQueueWrite write, GDestroyNotify free_line, gpointer (*lost_line)(guint n));

/* Without a thread, it goes on as before. */
void log_queue_start(void);

/* @line: (transfer full). Any thread. */
void log_queue_put(gpointer line);

/* Waits until all is written, for two seconds; then what is left is lost, and what is put in later.
 * If all was, lines are written by who puts them in once more. */
void log_queue_stop(void);

#endif
