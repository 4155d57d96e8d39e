/* SPDX-License-Identifier: LGPL-2.1-or-later
 * size.h - sizes and offsets as people write and read them. */
#ifndef STRATA_TOOL_SIZE_H
#define STRATA_TOOL_SIZE_H

#include <glib.h>

/* "4096", "0x1000", "64k", "10M", "1.5G" is refused: whole numbers only; suffixes b k M G T P E in
 * either case are powers of 1024. What is none is a G_OPTION_ERROR. */
gboolean size_parse(const char *text, guint64 *out_size, GError **error);

/* "10 MiB", "1.5 GiB", "512 bytes": rounded down to a tenth. Free with g_free(). */
char *size_to_human(guint64 size);

#endif
