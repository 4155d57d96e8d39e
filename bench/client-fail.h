/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-fail.h - how the load client ends when something is wrong. */
#ifndef STRATA_CLIENT_FAIL_H
#define STRATA_CLIENT_FAIL_H

#include <glib.h>

/* Prints the sentence and ends the program with EXIT_FAILURE; from any thread. */
G_NORETURN void fail(const char *format, ...) G_GNUC_PRINTF(1, 2);

#endif
