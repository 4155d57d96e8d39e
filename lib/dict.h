/* SPDX-License-Identifier: LGPL-2.1-or-later
 * dict.h - putting into a dictionary what a driver tells of its node. */
#ifndef STRATA_DICT_H
#define STRATA_DICT_H

#include <glib.h>

/* Adds @text (nullable: nothing is added then). A GVariant string must be UTF-8; an image's bytes
 * need not be: what is not becomes U+FFFD. */
void dict_insert_text(GVariantDict *dict, const char *key, const char *text);

#endif
