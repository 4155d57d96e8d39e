/* SPDX-License-Identifier: LGPL-2.1-or-later
 * late-gnutls.c - GnuTLS, loaded for encrypted images and for TLS. */
#define LATE_GNUTLS_IS_DEFINED_HERE
#include "late-gnutls.h"

LATE_GNUTLS_SYMBOLS(LATE_DEFINE)

static const LateSymbol symbols[] = { LATE_GNUTLS_SYMBOLS(LATE_SYMBOL) };

static LateLibrary library = LATE_LIBRARY("libgnutls.so.30", symbols);

gboolean
late_gnutls_load(GError **error)
{
    return late_load(&library, error);
}
