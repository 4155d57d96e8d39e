/* SPDX-License-Identifier: LGPL-2.1-or-later
 * size.c - sizes and offsets as people write and read them. */
#include "size.h"

#include <errno.h>
#include <string.h>

#include <strata/strata.h>

static const char suffixes[] = "bkmgtpe";

/* How many times 1024 the suffix means, or -1. */
static int
size_suffix_power(const char *suffix)
{
    const char *found;

    if (suffix[0] == '\0')
        return 0;
    if (suffix[1] != '\0')
        return -1;
    found = strchr(suffixes, g_ascii_tolower(suffix[0]));
    return found == NULL ? -1 : (int)(found - suffixes);
}

static gboolean
size_refuse(const char *text, const char *why, GError **error)
{
    g_autofree char *shown = strata_escape(text);

    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "'%s' is no size or offset: %s; write a whole number of bytes, or one with a "
                "suffix k, M, G, T, P or E",
                shown, why);
    return FALSE;
}

gboolean
size_parse(const char *text, guint64 *out_size, GError **error)
{
    gboolean is_hex = g_ascii_strncasecmp(text, "0x", 2) == 0;
    char *end = NULL;
    guint64 number;
    int power;

    if (is_hex ? !g_ascii_isxdigit(text[2]) : !g_ascii_isdigit(text[0]))
        return size_refuse(text, "it does not begin with a digit", error);
    errno = 0;
    number = g_ascii_strtoull(text, &end, is_hex ? 16 : 10);
    if (errno == ERANGE)
        return size_refuse(text, "it is beyond 2^64", error);
    power = size_suffix_power(end);
    if (power < 0)
        return size_refuse(text, "its end is not understood", error);
    if (number > G_MAXUINT64 >> (10 * power))
        return size_refuse(text, "it is beyond 2^64", error);
    *out_size = number << (10 * power);
    return TRUE;
}

char *
size_to_human(guint64 size)
{
    static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    guint power = 0;
    guint64 tenths;

    while (power + 1 < G_N_ELEMENTS(units) && size >> (10 * (power + 1)) != 0)
        power++;
    if (power == 0)
        return g_strdup_printf("%" G_GUINT64_FORMAT " %s", size, size == 1 ? "byte" : "bytes");
    tenths = ((size >> (10 * (power - 1))) & 1023) * 10 / 1024;
    if (tenths == 0)
        return g_strdup_printf("%" G_GUINT64_FORMAT " %s", size >> (10 * power), units[power]);
    return g_strdup_printf("%" G_GUINT64_FORMAT ".%d %s", size >> (10 * power), (int)tenths,
                           units[power]);
}
