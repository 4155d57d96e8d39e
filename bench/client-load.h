/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-load.h - the loads, and what they have in common. */
#ifndef STRATA_CLIENT_LOAD_H
#define STRATA_CLIENT_LOAD_H

#include <glib.h>

/* Each takes its command line, whose first word is its name. */
void load_map(int argc, char **argv);
void load_read(int argc, char **argv);
void load_connect(int argc, char **argv);
void load_churn(int argc, char **argv);
void load_ready(int argc, char **argv);

/* Reads @argv by @entries. Other words must be @n_words many, or more than that if @takes_more. */
char **load_parse(int argc, char **argv, const GOptionEntry *entries, const char *usage,
                  const char *summary, guint n_words, gboolean takes_more);

/* Runs @run on each of @n items of @size bytes, all at the same time: the first on the caller's
 * thread, the others on their own. Returns when all have ended. */
void load_run_all(GThreadFunc run, gpointer items, gsize size, guint n);

/* With @waits, says "connected" and goes on when a line has come. */
void load_wait(gboolean waits);

#endif
