/* SPDX-License-Identifier: LGPL-2.1-or-later
 * dict.c - putting into a dictionary what a driver tells of its node. */
#include "dict.h"

void
dict_insert_text(GVariantDict *dict, const char *key, const char *text)
{
    g_autofree char *valid = NULL;

    if (text == NULL)
        return;
    valid = g_utf8_make_valid(text, -1);
    g_variant_dict_insert(dict, key, "s", valid);
}
