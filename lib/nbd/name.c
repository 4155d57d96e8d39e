/* SPDX-License-Identifier: LGPL-2.1-or-later
 * name.c - the names of NBD servers, to options of a spec and back (NBD URI specification, and what
 * QEMU's manual calls the legacy syntax). */
#include "nbd/name.h"

#include <string.h>

#include "error.h"
#include "spec-tree.h"

#define DEFAULT_PORT "10809"
#define DEFAULT_CID  "2" /* of the host of a virtual machine: vsock(7) */

#define UNIX_PREFIX   "nbd:unix:"
#define EXPORT_SUFFIX ":exportname="

static const char *const schemes[] = {
    "nbd:", "nbds:", "nbd+unix:", "nbds+unix:", "nbd+vsock:", "nbds+vsock:",
};

gboolean
remote_name_matches(const char *filename)
{
    for (gsize i = 0; i < G_N_ELEMENTS(schemes); i++)
        if (g_ascii_strncasecmp(filename, schemes[i], strlen(schemes[i])) == 0)
            return TRUE;
    return FALSE;
}

static gboolean
is_uri(const char *name)
{
    const char *colon = strchr(name, ':');

    return g_ascii_strncasecmp(name, "nbd:", 4) != 0 || g_str_has_prefix(colon, "://");
}

static void
put(StrataSpec *spec, const char *key, const char *text)
{
    g_hash_table_insert(spec->options, g_strdup(key), spec_value_new(SPEC_TEXT, text));
}

static gboolean
throw_name(GError **error, const char *name, const char *reason)
{
    g_autofree char *shown = strata_escape(name);

    return spec_throw(error, "'%s' does not name an NBD server: %s", shown, reason);
}

/* "nbd:unix:PATH", "nbd:HOST:PORT", either with ":exportname=NAME" behind it. */
static gboolean
put_legacy(StrataSpec *spec, const char *name, GError **error)
{
    const char *suffix = strstr(name, EXPORT_SUFFIX);
    g_autofree char *place = suffix ? g_strndup(name, suffix - name) : g_strdup(name);
    char *host, *port;

    if (suffix)
        put(spec, "export", suffix + strlen(EXPORT_SUFFIX));
    if (g_str_has_prefix(place, UNIX_PREFIX)) {
        put(spec, "server.type", "unix");
        put(spec, "server.path", place + strlen(UNIX_PREFIX));
        return place[strlen(UNIX_PREFIX)] || throw_name(error, name, "the path is empty");
    }
    port = strrchr(place, ':');
    if (port - place < (gssize)strlen("nbd:h") || !port[1])
        return throw_name(error, name,
                          "write nbd://HOST:PORT/EXPORT, nbd+unix:///EXPORT?socket=PATH, or as "
                          "QEMU has it nbd:HOST:PORT or nbd:unix:PATH");
    *port = '\0';
    host = place + strlen("nbd:");
    if (*host == '[' && port[-1] == ']') {
        host++;
        port[-1] = '\0';
    }
    put(spec, "server.type", "inet");
    put(spec, "server.host", host);
    put(spec, "server.port", port + 1);
    return TRUE;
}

/* One "key=value" of a URI's query. */
static gboolean
put_parameter(StrataSpec *spec, gboolean is_unix, const char *name, const char *key,
              const char *value, GError **error)
{
    if (g_str_equal(key, "socket") && is_unix && *value) {
        put(spec, "server.path", value);
        return TRUE;
    }
    if (g_str_equal(key, "socket"))
        return throw_name(error, name, "\"socket\" is a path, and goes with nbd+unix: alone");
    if (g_str_equal(key, "tls-creds") || g_str_equal(key, "tls-hostname")) {
        put(spec, key, value);
        return TRUE;
    }
    if (g_str_has_prefix(key, "tls-"))
        return throw_name(error, name,
                          "credentials are lent by --object (nbdkit: object=) and named by their "
                          "ID, as in tls-creds=ID");
    return throw_name(error, name,
                      "it has a parameter that is none of socket, tls-creds and "
                      "tls-hostname");
}

static gboolean
put_query(StrataSpec *spec, gboolean is_unix, const char *name, const char *query, GError **error)
{
    GUriParamsIter iter;
    g_autoptr(GError) reason = NULL;
    char *key, *value;

    if (!query)
        return TRUE;
    g_uri_params_iter_init(&iter, query, -1, "&;", G_URI_PARAMS_NONE);
    while (g_uri_params_iter_next(&iter, &key, &value, &reason)) {
        g_autofree char *owned_key = key;
        g_autofree char *owned_value = value;

        if (!put_parameter(spec, is_unix, name, owned_key, owned_value, error))
            return FALSE;
    }
    return !reason || throw_name(error, name, "its parameters are not KEY=VALUE&KEY=VALUE");
}

static void
put_address(StrataSpec *spec, gboolean is_vsock, GUri *uri)
{
    const char *host = g_uri_get_host(uri);
    gboolean has_host = host && *host;
    g_autofree char *port = g_strdup_printf("%d", g_uri_get_port(uri));

    put(spec, "server.type", is_vsock ? "vsock" : "inet");
    put(spec, is_vsock ? "server.cid" : "server.host",
        has_host   ? host
        : is_vsock ? DEFAULT_CID
                   : "localhost");
    put(spec, "server.port", g_uri_get_port(uri) > 0 ? port : DEFAULT_PORT);
}

static gboolean
put_uri(StrataSpec *spec, const char *name, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(GUri) uri =
        g_uri_parse(name, G_URI_FLAGS_ENCODED_QUERY | G_URI_FLAGS_NON_DNS, &reason);
    gboolean is_unix, is_vsock;

    if (!uri)
        return throw_name(error, name, reason->message);
    is_unix = g_str_has_suffix(g_uri_get_scheme(uri), "+unix");
    is_vsock = g_str_has_suffix(g_uri_get_scheme(uri), "+vsock");
    if (g_uri_get_userinfo(uri))
        return throw_name(error, name,
                          "the user is told with the credentials, as in --object "
                          "tls-creds-psk,id=ID,dir=DIR,username=NAME");
    if (g_uri_get_fragment(uri))
        return throw_name(error, name, "a '#' in the export's name is written %23");
    if (is_unix)
        put(spec, "server.type", "unix");
    else
        put_address(spec, is_vsock, uri);
    if (g_uri_get_path(uri)[0] == '/')
        put(spec, "export", g_uri_get_path(uri) + 1);
    if (!put_query(spec, is_unix, name, g_uri_get_query(uri), error))
        return FALSE;
    if (is_unix && !spec_get_text(spec, "server.path"))
        return throw_name(error, name,
                          "nbd+unix: needs its socket, as in nbd+unix:///?socket=PATH");
    if (g_str_has_prefix(g_uri_get_scheme(uri), "nbds") && !spec_get_text(spec, "tls-creds"))
        return throw_name(error, name,
                          "TLS needs credentials: lend them with --object tls-creds-x509,id=ID,"
                          "dir=DIR (nbdkit: object=...) and add tls-creds=ID to the URI");
    if (!g_str_has_prefix(g_uri_get_scheme(uri), "nbds") && spec_get_text(spec, "tls-creds"))
        return throw_name(error, name, "credentials are for TLS: the URI then begins with nbds");
    return TRUE;
}

StrataSpec *
remote_name_to_spec(const char *driver, const char *name, gboolean from_header, GError **error)
{
    const StrataDriver *found = driver ? strata_driver_find(driver) : NULL;
    g_autoptr(StrataSpec) spec = spec_new();
    StrataSpec *leaf = spec;

    if (!found || !found->is_protocol) {
        spec->driver = g_strdup(driver);
        leaf = spec_ensure_child(spec, STRATA_ROLE_FILE);
    }
    leaf->driver = g_strdup(strata_driver_nbd.name);
    spec->from_header = leaf->from_header = from_header;
    if (!(is_uri(name) ? put_uri(leaf, name, error) : put_legacy(leaf, name, error)))
        return NULL;
    return g_steal_pointer(&spec);
}

/* An option by QEMU's word or by its older one. */
static const char *
either(StrataSpec *spec, const char *key, const char *older_key)
{
    const char *text = spec_get_text(spec, key);

    return text ? text : spec_get_text(spec, older_key);
}

char *
remote_name_suggest(StrataSpec *spec)
{
    const char *export = spec_get_text(spec, "export");
    const char *path = either(spec, "server.path", "path");
    const char *host = either(spec, "server.host", "host");

    if (export && *export)
        return g_path_get_basename(export);
    if (path)
        return g_path_get_basename(path);
    return g_strdup(host ? host : strata_driver_nbd.name);
}

/* What may stand in a URI as it is, besides letters, digits and "-._~". */
#define SAFE_IN_PATH  "/!$'()*+,;:@="
#define SAFE_IN_QUERY "/!$'()*,:@"

static void
append_address(GString *uri, StrataSpec *spec)
{
    const char *host = either(spec, "server.host", "host");
    const char *cid = spec_get_text(spec, "server.cid");
    const char *port = either(spec, "server.port", "port");
    g_autofree char *escaped = g_uri_escape_string(host  ? host
                                                   : cid ? cid
                                                         : "",
                                                   "!$'()*,;:=", TRUE);
    gboolean needs_brackets = strchr(escaped, ':') != NULL;

    g_string_append_printf(uri, needs_brackets ? "[%s]" : "%s", escaped);
    if (port && !g_str_equal(port, DEFAULT_PORT)) {
        g_autofree char *escaped_port = g_uri_escape_string(port, NULL, FALSE);

        g_string_append_printf(uri, ":%s", escaped_port);
    }
}

char *
remote_name_to_uri(StrataSpec *spec)
{
    const char *export = spec_get_text(spec, "export");
    const char *path = either(spec, "server.path", "path");
    GString *uri = g_string_new(spec_get_text(spec, "tls-creds") ? "nbds" : "nbd");
    g_autofree char *escaped_export =
        g_uri_escape_string(export ? export : "", SAFE_IN_PATH, FALSE);

    g_string_append(uri, path                                ? "+unix://"
                         : spec_get_text(spec, "server.cid") ? "+vsock://"
                                                             : "://");
    if (!path)
        append_address(uri, spec);
    g_string_append_printf(uri, "/%s", escaped_export);
    if (path) {
        g_autofree char *escaped_path = g_uri_escape_string(path, SAFE_IN_QUERY, FALSE);

        g_string_append_printf(uri, "?socket=%s", escaped_path);
    }
    return g_string_free(uri, FALSE);
}
