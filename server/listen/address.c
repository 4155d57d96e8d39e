/* SPDX-License-Identifier: LGPL-2.1-or-later
 * address.c - unix:PATH, tcp:[HOST:]PORT and vsock:[CID:]PORT. */
#include "address.h"

#include "protocol/proto.h"

#include <string.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h>

static StrataAddress *
refuse(GError **error, const char *text, const char *why)
{
    g_autofree char *escaped = strata_escape(text);

    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC, "'%s' %s", escaped, why);
    return NULL;
}

void
strata_address_free(StrataAddress *address)
{
    g_free(address->path);
    g_free(address->host);
    g_free(address->port);
    g_free(address);
}

StrataAddress *
address_new_unix(const char *path)
{
    StrataAddress *address = g_new0(StrataAddress, 1);

    address->kind = ADDRESS_UNIX;
    address->path = g_strdup(path);
    return address;
}

/* @host without the brackets of an IPv6 address, which belong to URIs. */
static char *
strip_brackets(const char *host)
{
    gsize length = host == NULL ? 0 : strlen(host);

    if (length >= 2 && host[0] == '[' && host[length - 1] == ']')
        return g_strndup(host + 1, length - 2);
    return g_strdup(host);
}

StrataAddress *
address_new_tcp(const char *host, const char *port)
{
    StrataAddress *address = g_new0(StrataAddress, 1);

    address->kind = ADDRESS_TCP;
    address->host = strip_brackets(host);
    address->port = g_strdup(port == NULL ? NBD_DEFAULT_PORT : port);
    return address;
}

static StrataAddress *
parse_unix(const char *text, const char *path, GError **error)
{
    if (*path == '\0')
        return refuse(error, text, "needs the path of a socket, as in unix:/tmp/strata");
    return address_new_unix(path);
}

/* Without a colon, a word that is no number is more likely a host than the name of a service. */
static StrataAddress *
parse_tcp(const char *text, const char *words, GError **error)
{
    const char *colon = strrchr(words, ':');
    const char *port = colon == NULL ? words : colon + 1;
    g_autofree char *host = colon == NULL ? NULL : g_strndup(words, (gsize)(colon - words));

    if (*port == '\0' || strchr(port, ']') != NULL ||
        (colon == NULL && strspn(port, "0123456789") != strlen(port)))
        return refuse(error, text, "names no port; write tcp:[HOST:]PORT");
    if (host != NULL && strchr(host, ':') != NULL && *host != '[')
        return refuse(error, text,
                      "has an IPv6 address without brackets; write it as in tcp:[::1]:10809");
    return address_new_tcp(host == NULL || *host == '\0' ? NULL : host, port);
}

static gboolean
parse_number(const char *word, guint32 *out_number)
{
    guint64 number;

    /* The highest number is the system's word for any. */
    if (!g_ascii_string_to_unsigned(word, 10, 0, G_MAXUINT32 - 1, &number, NULL))
        return FALSE;
    *out_number = (guint32)number;
    return TRUE;
}

static StrataAddress *
parse_vsock(const char *text, const char *words, GError **error)
{
    g_autoptr(StrataAddress) address = g_new0(StrataAddress, 1);
    const char *colon = strchr(words, ':');
    g_autofree char *cid = colon == NULL ? NULL : g_strndup(words, (gsize)(colon - words));

    address->kind = ADDRESS_VSOCK;
    address->cid = VMADDR_CID_ANY;
    if (cid != NULL && *cid != '\0' && !parse_number(cid, &address->cid))
        return refuse(error, text,
                      "has no CID before its port; expected a number up to 4294967294, as in "
                      "vsock:2:10809, or vsock:10809 for whatever CID this machine has");
    if (!parse_number(colon == NULL ? words : colon + 1, &address->slot))
        return refuse(error, text,
                      "names no port; write vsock:[CID:]PORT, with a number up to 4294967294");
    if (address->slot == 0)
        address->slot = VMADDR_PORT_ANY;
    return g_steal_pointer(&address);
}

StrataAddress *
strata_address_parse(const char *text, GError **error)
{
    if (g_str_has_prefix(text, "unix:"))
        return parse_unix(text, text + strlen("unix:"), error);
    if (g_str_has_prefix(text, "tcp:"))
        return parse_tcp(text, text + strlen("tcp:"), error);
    if (g_str_has_prefix(text, "vsock:"))
        return parse_vsock(text, text + strlen("vsock:"), error);
    return refuse(error, text,
                  "is neither unix:PATH nor tcp:[HOST:]PORT nor vsock:[CID:]PORT, which are the "
                  "addresses to listen on");
}
