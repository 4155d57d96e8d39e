/* SPDX-License-Identifier: LGPL-2.1-or-later
 * target.c - the options of an "nbd" node. The words are those of QEMU's BlockdevOptionsNbd and
 * SocketAddress (qapi/block-core.json, qapi/sockets.json); "answer-timeout" and "connections" are
 * ours. */
#include "nbd/target.h"

#include <string.h>

#include "error.h"
#include "nbd/name.h"
#include "node.h"
#include "objects.h"
#include "spec.h"

const char *const remote_target_options[] = {
    "server.type",  "server.path",    "server.host",  "server.port",
    "server.cid",   "path",           "host",         "port",
    "export",       "tls-creds",      "tls-hostname", "reconnect-delay",
    "open-timeout", "answer-timeout", "connections",  NULL,
};
const char *const remote_target_ignored_options[] = {
    "server.keep-alive",
    "server.numeric",
    NULL,
};

/* A server that is started anew, or a machine that moves, is back sooner; a client of ours waits
 * longer than that for an answer. */
#define DEFAULT_RECONNECT_SECONDS 30

/* QEMU's default, too: the first failure is told. */
#define DEFAULT_OPEN_SECONDS 0

/* What a server may need for one answer: it may have to fetch it over the Internet. */
#define DEFAULT_ANSWER_SECONDS 60

/* More than that gained nothing in measurements of others (nbdcopy has the same number). */
#define DEFAULT_CONNECTIONS 4
#define MAX_CONNECTIONS     16

/* A day: so that no sum of times can overflow. */
#define MAX_SECONDS 86400

#define DEFAULT_PORT       "10809"
#define DEFAULT_VSOCK_PORT 10809

void
remote_target_free(RemoteTarget *target)
{
    if (!target)
        return;
    g_free(target->path);
    g_free(target->host);
    g_free(target->port);
    g_free(target->export);
    g_free(target->uri);
    g_free(target->certificates);
    g_free(target);
}

static gboolean
read_count(StrataNode *node, const char *key, guint64 minimum, guint64 maximum, guint64 *count,
           GError **error)
{
    spec_get_size(node->spec, key, count);
    return (*count >= minimum && *count <= maximum) ||
           strata_throw(error, node, STRATA_ERROR_SPEC,
                        "\"%s\" is %" G_GUINT64_FORMAT ", expected %" G_GUINT64_FORMAT
                        " to %" G_GUINT64_FORMAT,
                        key, *count, minimum, maximum);
}

static gboolean
read_seconds(StrataNode *node, const char *key, guint64 fallback, guint64 minimum, gint64 *out_usec,
             GError **error)
{
    guint64 seconds = fallback;

    if (!read_count(node, key, minimum, MAX_SECONDS, &seconds, error))
        return FALSE;
    *out_usec = (gint64)seconds * G_USEC_PER_SEC;
    return TRUE;
}

static gboolean
read_patience(StrataNode *node, RemoteTarget *target, GError **error)
{
    guint64 connections = DEFAULT_CONNECTIONS;

    if (!read_seconds(node, "reconnect-delay", DEFAULT_RECONNECT_SECONDS, 0,
                      &target->reconnect_usec, error) ||
        !read_seconds(node, "open-timeout", DEFAULT_OPEN_SECONDS, 0, &target->open_usec, error) ||
        !read_seconds(node, "answer-timeout", DEFAULT_ANSWER_SECONDS, 1, &target->answer_usec,
                      error) ||
        !read_count(node, "connections", 1, MAX_CONNECTIONS, &connections, error))
        return FALSE;
    target->max_connections = connections;
    return TRUE;
}

static gboolean
read_number(StrataNode *node, const char *key, guint32 fallback, guint32 *out_number,
            GError **error)
{
    const char *text = spec_get_text(node->spec, key);
    guint64 number = fallback;

    if (text && !g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT32, &number, NULL)) {
        g_autofree char *shown = strata_escape(text);

        return strata_throw(error, node, STRATA_ERROR_SPEC, "\"%s\" is '%s', expected a number",
                            key, shown);
    }
    *out_number = number;
    return TRUE;
}

/* "server.path" and the like of this version; "path" and the like are QEMU's older words. */
static gboolean
check_one_notation(StrataNode *node, const char *const *foreign, const char *type, GError **error)
{
    for (gsize i = 0; foreign[i]; i++)
        if (spec_get_text(node->spec, foreign[i]))
            return strata_throw(error, node, STRATA_ERROR_SPEC,
                                "\"%s\" does not go with a server of type %s", foreign[i], type);
    return TRUE;
}

static gboolean
read_unix(StrataNode *node, RemoteTarget *target, const char *path, GError **error)
{
    static const char *const foreign[] = { "server.host", "server.port", "server.cid",
                                           "host",        "port",        NULL };

    if (!check_one_notation(node, foreign, "unix", error))
        return FALSE;
    if (!path || !*path)
        return strata_throw(error, node, STRATA_ERROR_SPEC,
                            "a server of type unix needs its \"server.path\"");
    target->transport = REMOTE_UNIX;
    target->path = g_canonicalize_filename(path, NULL);
    return TRUE;
}

static gboolean
read_inet(StrataNode *node, RemoteTarget *target, const char *host, const char *port,
          GError **error)
{
    static const char *const foreign[] = { "server.path", "server.cid", "path", NULL };

    if (!check_one_notation(node, foreign, "inet", error))
        return FALSE;
    if (!host || !*host)
        return strata_throw(error, node, STRATA_ERROR_SPEC,
                            "a server of type inet needs its \"server.host\"");
    target->transport = REMOTE_INET;
    target->host = g_strdup(host);
    target->port = g_strdup(port && *port ? port : DEFAULT_PORT);
    return TRUE;
}

static gboolean
read_vsock(StrataNode *node, RemoteTarget *target, GError **error)
{
    static const char *const foreign[] = { "server.path", "server.host", "path",
                                           "host",        "port",        NULL };

    target->transport = REMOTE_VSOCK;
    if (!check_one_notation(node, foreign, "vsock", error))
        return FALSE;
    if (!spec_get_text(node->spec, "server.cid"))
        return strata_throw(error, node, STRATA_ERROR_SPEC,
                            "a server of type vsock needs its \"server.cid\"");
    return read_number(node, "server.cid", 0, &target->cid, error) &&
           read_number(node, "server.port", DEFAULT_VSOCK_PORT, &target->vsock_port, error);
}

static gboolean
read_server(StrataNode *node, RemoteTarget *target, GError **error)
{
    StrataSpec *spec = node->spec;
    const char *type = spec_get_text(spec, "server.type");
    const char *old_path = spec_get_text(spec, "path");
    const char *old_host = spec_get_text(spec, "host");
    g_autofree char *shown = NULL;

    if (!type && old_path)
        return read_unix(node, target, old_path, error);
    if (!type && old_host)
        return read_inet(node, target, old_host, spec_get_text(spec, "port"), error);
    if (!type)
        return strata_throw(error, node, STRATA_ERROR_SPEC,
                            "where is the server? Say server.type=unix,server.path=PATH or "
                            "server.type=inet,server.host=HOST,server.port=PORT");
    if (g_str_equal(type, "unix"))
        return read_unix(node, target, spec_get_text(spec, "server.path"), error);
    if (g_str_equal(type, "inet"))
        return read_inet(node, target, spec_get_text(spec, "server.host"),
                         spec_get_text(spec, "server.port"), error);
    if (g_str_equal(type, "vsock"))
        return read_vsock(node, target, error);
    shown = strata_escape(type);
    return strata_throw(error, node, STRATA_ERROR_SPEC,
                        "\"server.type\" is '%s', expected unix, inet or vsock", shown);
}

/* The NBD protocol limits strings to 4096 bytes, in UTF-8. */
static gboolean
read_export(StrataNode *node, RemoteTarget *target, GError **error)
{
    const char *export = spec_get_text(node->spec, "export");

    target->export = g_strdup(export ? export : "");
    return (strlen(target->export) <= 4096 && g_utf8_validate(target->export, -1, NULL)) ||
           strata_throw(error, node, STRATA_ERROR_SPEC,
                        "the name of an export is UTF-8 text of at most 4096 bytes");
}

/* A server's certificate is checked for a name, and libnbd knows no name but the host that it
 * connects to: elsewhere it would check nothing at all. What cannot be kept is not promised. */
static gboolean
check_can_verify(StrataNode *node, const RemoteTarget *target, GError **error)
{
    const char *name = spec_get_text(node->spec, "tls-hostname");
    g_autofree char *shown = name ? strata_escape(name) : NULL;

    if (!target->creds)
        return !name || strata_throw(error, node, STRATA_ERROR_SPEC,
                                     "\"tls-hostname\" goes with \"tls-creds\"");
    if (target->creds->type != TLS_CREDS_X509 || !target->creds->verify_peer)
        return TRUE;
    if (name && g_strcmp0(name, target->host) != 0)
        return strata_throw(error, node, STRATA_ERROR_UNSUPPORTED,
                            "the name that the server has to prove can only be that of its host "
                            "here, and \"tls-hostname\" is '%s'; connect to that host",
                            shown);
    return target->transport == REMOTE_INET ||
           strata_throw(error, node, STRATA_ERROR_UNSUPPORTED,
                        "a server that has no host name cannot prove it by its certificate; lend "
                        "credentials with verify-peer=off, or of type tls-creds-psk");
}

/* The files that libnbd reads, each time it connects: by absolute names, because a server may
 * change its directory. Without ca-cert.pem it would go on with the certificates of the system, and
 * verify nothing: objects.c has seen to it that the file is there. */
static gboolean
read_credentials(StrataNode *node, RemoteTarget *target, StrataOpener *opener, GError **error)
{
    const char *id = spec_get_text(node->spec, "tls-creds");
    g_autofree char *dir = NULL;

    if (id) {
        target->creds = strata_opener_get_tls_creds(opener, node, id, error);
        if (!target->creds)
            return FALSE;
        dir = g_canonicalize_filename(target->creds->dir, NULL);
        target->certificates = target->creds->type == TLS_CREDS_PSK
                                   ? g_build_filename(dir, "keys.psk", NULL)
                                   : g_steal_pointer(&dir);
    }
    return check_can_verify(node, target, error);
}

RemoteTarget *
remote_target_new(StrataNode *node, StrataOpener *opener, GError **error)
{
    g_autoptr(RemoteTarget) target = g_new0(RemoteTarget, 1);

    node->uri = remote_name_to_uri(node->spec);
    target->uri = g_strdup(node->uri);
    if (!read_export(node, target, error) || !read_server(node, target, error) ||
        !read_patience(node, target, error) || !read_credentials(node, target, opener, error))
        return NULL;
    return g_steal_pointer(&target);
}
