/* SPDX-License-Identifier: LGPL-2.1-or-later
 * single.h - --single: the one client on standard input and output. */
#ifndef STRATA_SINGLE_H
#define STRATA_SINGLE_H

#include <glib.h>

/* Makes one socket of standard input and output, for strata_engine_serve(): either is /dev/null
 * from now on, and so is standard error if it was the client, too. Returns its descriptor, or -1.
 * To be called once. */
int single_open(GError **error);

/* Begins to pass on what the pipes bring. To be called once, when rights are given up: the threads
 * need few. */
gboolean single_start(GError **error);

/* For a connected socket that was handed over otherwise. */
gboolean single_check_socket(int fd, GError **error);

/* After the engine has stopped: what it sent is passed on, if the client takes it in time. */
void single_close(void);

#endif
