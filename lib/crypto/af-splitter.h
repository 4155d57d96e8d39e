/* SPDX-License-Identifier: LGPL-2.1-or-later
 * af-splitter.h - the anti-forensic splitter of LUKS: a key, spread over so many bytes that losing
 * any of them loses the key. */
#ifndef STRATA_CRYPTO_AF_SPLITTER_H
#define STRATA_CRYPTO_AF_SPLITTER_H

#include "key.h"

/* Merges @stripes stripes of @key_bytes each, at most SUITE_MAX_KEY, into @out_key. Returns 0 or
 * one of GnuTLS's codes. */
int af_merge(gnutls_digest_algorithm_t digest, const guint8 *split, guint key_bytes, guint stripes,
             Key *out_key);

#endif
