/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-load.h - the loads, and what their command lines have in common. */
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

/* With @waits, says "connected" and goes on when a line has come. */
void load_wait(gboolean waits);

#endif
