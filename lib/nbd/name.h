/* SPDX-License-Identifier: LGPL-2.1-or-later
 * name.h - NBD servers as file names: "nbd://host/export" and QEMU's older "nbd:host:port". */
#ifndef STRATA_NBD_NAME_H
#define STRATA_NBD_NAME_H

#include "spec.h"

/* Whether @filename is meant as the name of an NBD server. */
gboolean remote_name_matches(const char *filename);

/* @driver on the export that @name names; @driver NULL is left to be recognised, and that of a
 * protocol is the export itself. @from_header: whether an image header, and not the user, names it.
 * NULL with @error: SPEC. */
StrataSpec *remote_name_to_spec(const char *driver, const char *name, gboolean from_header,
                                GError **error);

/* What nodes are called after: the export's base name, else the socket's, else the host. Free with
 * g_free(). */
char *remote_name_suggest(StrataSpec *spec);

/* The canonical URI of a spec of driver "nbd" that has been checked. Free with g_free(). */
char *remote_name_to_uri(StrataSpec *spec);

#endif
