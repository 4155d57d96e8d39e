/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tls-uri.c - nbd://HOST/ to nbds://NAME@HOST/?tls-psk-file=PATH. */
#include "tls-uri.h"

#include <string.h>

/* What may stand unescaped in a path that is the value of a parameter. */
#define SAFE_IN_PATH "/"

static void
append_parameter(GString *uri, const char *name, const char *value)
{
    g_autofree char *escaped = NULL;

    if (value == NULL)
        return;
    escaped = g_uri_escape_string(value, SAFE_IN_PATH, FALSE);
    g_string_append_printf(uri, "%c%s=%s", strchr(uri->str, '?') == NULL ? '?' : '&', name,
                           escaped);
}

char *
tls_uri_require(const char *uri, const TlsUriParts *parts)
{
    const char *rest = uri + strlen("nbd");
    const char *authority = strstr(rest, "://");
    GString *secure = g_string_new("nbds");

    g_return_val_if_fail(g_str_has_prefix(uri, "nbd") && authority != NULL, NULL);
    authority += strlen("://");
    g_string_append_len(secure, rest, authority - rest);
    if (parts->psk_name != NULL) {
        g_autofree char *name = g_uri_escape_string(parts->psk_name, NULL, FALSE);

        g_string_append_printf(secure, "%s@", name);
    }
    g_string_append(secure, authority);
    append_parameter(secure, "tls-certificates", parts->certificates);
    append_parameter(secure, "tls-psk-file", parts->psk_file);
    return g_string_free(secure, FALSE);
}
