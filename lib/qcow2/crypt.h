/* SPDX-License-Identifier: LGPL-2.1-or-later
 * crypt.h - the data clusters of an encrypted qcow2 image. */
#ifndef STRATA_QCOW2_CRYPT_H
#define STRATA_QCOW2_CRYPT_H

#include "qcow2.h"

/* Finds the key of @node, whose header is @header, by "encrypt.format" and "encrypt.key-secret" of
 * its spec. *@out_crypt is NULL where the image is not encrypted. FALSE with @error: SPEC, or as
 * luks_read() and luks_unlock(). */
gboolean qcow2_crypt_open(StrataNode *node, StrataOpener *opener, const Qcow2Header *header,
                          Qcow2Crypt **out_crypt, GError **error);
void qcow2_crypt_free(Qcow2Crypt *crypt);

/* Reads @length bytes that lie at @guest for the guest and at @host in the node's storage,
 * consecutively in both. Thread-safe. */
gboolean qcow2_crypt_read(StrataNode *node, const Qcow2Crypt *crypt, guint64 guest, guint64 host,
                          gsize length, guint8 *buffer, GError **error);

/* Part of StrataDriver.still_holds. */
gboolean qcow2_crypt_still_holds(const Qcow2Crypt *crypt, GError **error);

/* Adds "encrypted", "encryption-format" and what luks_describe() tells. */
void qcow2_crypt_describe(const Qcow2Crypt *crypt, GVariantDict *dict);

#endif
