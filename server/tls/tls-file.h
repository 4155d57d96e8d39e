/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tls-file.h - a small file that may hold a secret: read whole, wiped when it is done with. */
#ifndef STRATA_TLS_FILE_H
#define STRATA_TLS_FILE_H

#include <glib.h>

typedef struct {
    char *text; /* ends with a zero that length does not count */
    gsize length;
} TlsFile;

typedef enum {
    TLS_FILE_PUBLIC,
    TLS_FILE_SECRET, /* it is logged that every user can read it, if that is so */
} TlsFileKind;

/* @out_file: all zero before. Errors: STRATA_ERROR_IO and _SPEC, naming the file. */
gboolean tls_file_read(const char *path, TlsFileKind kind, TlsFile *out_file, GError **error);

void tls_file_clear(TlsFile *file);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TlsFile, tls_file_clear)

#endif
