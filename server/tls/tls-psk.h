/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tls-psk.h - the keys of a file as psktool(1) writes it: a line NAME:KEY each, the key in
 * hexadecimal; a name that begins with '#' is hexadecimal too. */
#ifndef STRATA_TLS_PSK_H
#define STRATA_TLS_PSK_H

#include <glib.h>

/* Immutable, so that threads may share it. */
typedef struct _PskKeys PskKeys;

/* Returns NULL with @error (STRATA_ERROR_SPEC), which names no part of a key.
 * @filename: for messages */
PskKeys *psk_keys_parse(const char *text, gsize length, const char *filename, GError **error);
void psk_keys_free(PskKeys *keys);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PskKeys, psk_keys_free)

/* Returns: (transfer none) (nullable): the key of that name; NULL if there is none */
const GByteArray *psk_keys_find(const PskKeys *keys, gconstpointer name, gsize length);

/* The first name of the file, as psk_name_to_text() has it. */
const char *psk_keys_first_name(const PskKeys *keys);

/* Returns: (transfer full): a name as the file would have it: text where it is some, else '#' and
 * hexadecimal digits */
char *psk_name_to_text(gconstpointer name, gsize length);

#endif
