/* SPDX-License-Identifier: LGPL-2.1-or-later
 * libraries.c - what opening an image may need to load. */
#include <strata/policy.h>

#include "late-gnutls.h"
#include "late-json.h"
#include "late-nbd.h"

gboolean
strata_load_libraries(GError **error)
{
    return late_gnutls_load(error) && late_json_load(error) && late_nbd_load(error);
}
