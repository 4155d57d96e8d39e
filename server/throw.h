/* SPDX-License-Identifier: LGPL-2.1-or-later
 * throw.h - an error of STRATA_ERROR, and FALSE, in one line. */
#ifndef STRATA_THROW_H
#define STRATA_THROW_H

#include <strata/error.h>

/* Sets @error (nullable). Returns FALSE. */
gboolean throw_error(GError **error, StrataError code, const char *format, ...) G_GNUC_PRINTF(3, 4);

#endif
