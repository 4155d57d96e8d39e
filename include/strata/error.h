/* SPDX-License-Identifier: LGPL-2.1-or-later
 * error.h - the one GError domain of libstrata, and its codes. */
#ifndef STRATA_ERROR_H
#define STRATA_ERROR_H

#include <glib.h>

G_BEGIN_DECLS

/**
 * STRATA_ERROR:
 * The domain of every GError that libstrata sets. The message is one sentence that names the node
 * or file, the offset where there is one (in hex), what was found, what was expected, and the
 * option that changes it where one does. Text that came out of an image is escaped in it.
 */
#define STRATA_ERROR (strata_error_quark())

/**
 * StrataError: what the user can do next.
 *
 * @STRATA_ERROR_SPEC: the words that name the graph are wrong; mend them
 * @STRATA_ERROR_POLICY: an image names something that policy does not let it reach; allow it or not
 * @STRATA_ERROR_NOT_FOUND: a file or node is not there
 * @STRATA_ERROR_LOCKED: somebody else holds the file
 * @STRATA_ERROR_DAMAGED: an image breaks its format's rules
 * @STRATA_ERROR_UNSUPPORTED: valid, but not something this version reads
 * @STRATA_ERROR_IO: the operating system failed a read or an open
 * @STRATA_ERROR_REMOTE: a remote server failed or broke its protocol
 * @STRATA_ERROR_LIMIT: a hard limit of strata was reached (see the message for which)
 * @STRATA_ERROR_INTERNAL: a driver broke its contract: a bug in strata, please report it
 * @STRATA_ERROR_CHANGED: an image is not the one any more that was opened; open the graph again
 */
typedef enum {
    STRATA_ERROR_SPEC,
    STRATA_ERROR_POLICY,
    STRATA_ERROR_NOT_FOUND,
    STRATA_ERROR_LOCKED,
    STRATA_ERROR_DAMAGED,
    STRATA_ERROR_UNSUPPORTED,
    STRATA_ERROR_IO,
    STRATA_ERROR_REMOTE,
    STRATA_ERROR_LIMIT,
    STRATA_ERROR_INTERNAL,
    STRATA_ERROR_CHANGED,
} StrataError;

GQuark strata_error_quark(void);

/**
 * strata_escape:
 * @text: text that came out of an image, off a socket or from anywhere else that is not trusted
 *
 * Thread-safe.
 *
 * Returns: (transfer full): @text as it may be printed to a terminal or a log: control characters,
 *   backslashes and what is not UTF-8 become escapes; cut to 1024 bytes. Free with g_free(). The
 *   messages of #STRATA_ERROR are already made of such text.
 */
char *strata_escape(const char *text);

G_END_DECLS

#endif
