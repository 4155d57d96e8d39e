/* SPDX-License-Identifier: LGPL-2.1-or-later
 * secret.h - bytes that are wiped before their memory goes back. */
#ifndef STRATA_SECRET_H
#define STRATA_SECRET_H

#include <glib.h>

/* No secret is longer than this, which is also the most that cryptsetup reads of a key file. */
#define SECRET_MAX_BYTES (8u << 20)

/* What is left to read of @fd, at most SECRET_MAX_BYTES; @name says in messages what it is. The
 * descriptor stays open. Freeing the bytes wipes them. IO, LIMIT. */
GBytes *secret_read_fd(int fd, const char *name, GError **error);

/* What base64 text stands for, in the alphabet and with the padding of RFC 4648, line ends
 * anywhere. NULL if it is none. */
GBytes *secret_decode_base64(GBytes *text);

/* @bytes becomes the content of the result, which wipes and frees it (g_free()). */
GBytes *secret_take(guint8 *bytes, gsize length);

#endif
