/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-fail.c - how the load client ends when something is wrong. */
#include "client-fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void
fail(const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    fprintf(stderr, "load: %s\n", text);
    _exit(EXIT_FAILURE); /* other threads go on until then, so no handlers are run */
}
