/* SPDX-License-Identifier: LGPL-2.1-or-later
 * key.h - room for a key on the stack or in a struct, which is wiped when it is left. */
#ifndef STRATA_CRYPTO_KEY_H
#define STRATA_CRYPTO_KEY_H

#include <string.h>

#include "suite.h"

typedef struct {
    guint8 bytes[SUITE_MAX_KEY];
} Key;

static inline void
key_wipe(Key *key)
{
    explicit_bzero(key, sizeof *key);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Key, key_wipe)

#endif
