/* SPDX-License-Identifier: LGPL-2.1-or-later
 * error.h - making errors that say which node, which file, which offset. */
#ifndef STRATA_LIB_ERROR_H
#define STRATA_LIB_ERROR_H

#include <strata/error.h>
#include <strata/graph.h>

/* Sets @error and returns FALSE, so that check and return are one line. The message begins with
 * the node's name and, where there is one below it through file edges, its host file:
 * "node 'base.qcow2' (/images/base.qcow2): ...". */
gboolean strata_throw(GError **error, StrataNode *node, StrataError code, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

/* The same for what a system call refused: ": " and the text of @saved_errno end the message. The
 * code follows from it: ENOENT is NOT_FOUND, all else IO. */
gboolean strata_throw_errno(GError **error, StrataNode *node, int saved_errno, const char *format,
                            ...) G_GNUC_PRINTF(4, 5);

#endif
