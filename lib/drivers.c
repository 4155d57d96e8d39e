/* SPDX-License-Identifier: LGPL-2.1-or-later
 * drivers.c - the table of drivers by name. */
#include "driver.h"

/* In the order of their names, because messages list them so. */
static const StrataDriver *const drivers[] = {
    &strata_driver_file,  &strata_driver_luks, &strata_driver_nbd,
    &strata_driver_qcow2, &strata_driver_raw,
};

const StrataDriver *
strata_driver_find(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(drivers); i++)
        if (g_str_equal(drivers[i]->name, name))
            return drivers[i];
    return NULL;
}

char *
strata_driver_list_names(void)
{
    GString *names = g_string_new(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(drivers); i++)
        g_string_append_printf(names, "%s%s", i ? ", " : "", drivers[i]->name);
    return g_string_free(names, FALSE);
}
