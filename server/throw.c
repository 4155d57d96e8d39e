/* SPDX-License-Identifier: LGPL-2.1-or-later
 * throw.c - an error of STRATA_ERROR, and FALSE, in one line. */
#include "throw.h"

gboolean
throw_error(GError **error, StrataError code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_propagate_error(error, g_error_new_valist(STRATA_ERROR, code, format, arguments));
    va_end(arguments);
    return FALSE;
}
