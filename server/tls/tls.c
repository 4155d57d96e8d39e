/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tls.c - the settings of TLS, and the credentials of the day. */
#include "tls.h"

#include "observe/log.h"
#include "throw.h"
#include "tls-session.h"
#include "tls-uri.h"

#include <stdlib.h>

struct _StrataTls {
    TlsMode mode;
    char *certificates; /* absolute, or NULL */
    char *psk_file;     /* absolute, or NULL */
    gboolean verify_peer;
    AccessRules *authz; /* NULL: whoever gets through the handshake may come in */

    GMutex lock; /* guards what follows */
    TlsCredentials *credentials;
};

static const char *const mode_names[] = {
    [TLS_OFF] = "off",
    [TLS_ON] = "on",
    [TLS_REQUIRE] = "require",
};

static gboolean
has_credentials(const TlsSettings *settings)
{
    return settings->certificates != NULL || settings->psk_file != NULL;
}

static gboolean
find_mode(const char *name, TlsMode *out_mode)
{
    for (guint i = 0; i < G_N_ELEMENTS(mode_names); i++)
        if (g_str_equal(name, mode_names[i])) {
            *out_mode = (TlsMode)i;
            return TRUE;
        }
    return FALSE;
}

TlsMode
tls_settings_get_mode(const TlsSettings *settings)
{
    TlsMode mode = settings->authz != NULL     ? TLS_REQUIRE
                   : has_credentials(settings) ? TLS_ON
                                               : TLS_OFF;

    if (settings->mode != NULL)
        find_mode(settings->mode, &mode);
    return mode;
}

static gboolean
needs_certificate(const char *rule)
{
    return g_str_has_prefix(rule, "dn=") || g_str_has_prefix(rule, "san=");
}

static gboolean
check_rule(const TlsSettings *settings, const char *rule, GError **error)
{
    g_autofree char *shown = strata_escape(rule);

    if (!access_word_is_about_identity(rule))
        return throw_error(error, STRATA_ERROR_SPEC,
                           "--tls-authz takes dn=, san= or psk= and what to match, not '%s'",
                           shown);
    if (needs_certificate(rule) && settings->certificates == NULL)
        return throw_error(error, STRATA_ERROR_SPEC,
                           "--tls-authz '%s' is about certificates, which need --tls-certificates",
                           shown);
    if (!needs_certificate(rule) && settings->psk_file == NULL)
        return throw_error(error, STRATA_ERROR_SPEC,
                           "--tls-authz '%s' is about pre-shared keys, which need --tls-psk",
                           shown);
    return TRUE;
}

static gboolean
check_authz(const TlsSettings *settings, GError **error)
{
    g_autoptr(AccessRules) rules = NULL;

    if (settings->authz == NULL)
        return TRUE;
    if (tls_settings_get_mode(settings) != TLS_REQUIRE)
        return throw_error(error, STRATA_ERROR_SPEC,
                           "--tls-authz does not go with --tls=%s: who comes in without TLS is "
                           "nobody in particular",
                           settings->mode);
    for (char **rule = settings->authz; *rule != NULL; rule++)
        if (!check_rule(settings, *rule, error))
            return FALSE;
    rules = access_rules_new((const char *const *)settings->authz, error);
    return rules != NULL;
}

gboolean
tls_settings_check(const TlsSettings *settings, GError **error)
{
    TlsMode mode;
    g_autofree char *shown = settings->mode == NULL ? NULL : strata_escape(settings->mode);

    if (settings->mode != NULL && !find_mode(settings->mode, &mode))
        return throw_error(error, STRATA_ERROR_SPEC, "--tls takes off, on or require, not '%s'",
                           shown);
    if (!check_authz(settings, error))
        return FALSE;
    if (settings->verify_peer && settings->certificates == NULL)
        return throw_error(error, STRATA_ERROR_SPEC,
                           "--tls-verify-peer needs --tls-certificates, where ca-cert.pem is");
    if (tls_settings_get_mode(settings) != TLS_OFF && !has_credentials(settings))
        return throw_error(error, STRATA_ERROR_SPEC,
                           "--tls=%s needs --tls-certificates or --tls-psk", settings->mode);
    return TRUE;
}

static void
add_file(GPtrArray *files, const char *path)
{
    char *found = realpath(path, NULL);

    g_ptr_array_add(files, g_strdup(path));
    if (found != NULL)
        g_ptr_array_add(files, g_strdup(found));
    free(found);
}

char **
tls_settings_list_files(const TlsSettings *settings)
{
    g_autoptr(GPtrArray) files = g_ptr_array_new();
    static const char *const names[] = { TLS_CA_FILE, TLS_REVOKED_FILE, TLS_CERTIFICATE_FILE,
                                         TLS_KEY_FILE };

    for (gsize i = 0; settings->certificates != NULL && i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(settings->certificates, names[i], NULL);

        add_file(files, path);
    }
    if (settings->psk_file != NULL)
        add_file(files, settings->psk_file);
    g_ptr_array_add(files, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&files), FALSE);
}

/* Rules about certificates are for those that were verified. */
static gboolean
demands_certificate(const TlsSettings *settings)
{
    gboolean demands = settings->verify_peer;

    for (char **rule = settings->authz; rule != NULL && *rule != NULL; rule++)
        demands |= needs_certificate(*rule);
    return demands;
}

AccessProofs
tls_settings_get_proofs(const TlsSettings *settings)
{
    gboolean has_tls = tls_settings_get_mode(settings) != TLS_OFF;

    return (AccessProofs){
        .has_tls = has_tls,
        .asks_certificates = has_tls && demands_certificate(settings),
        .has_keys = has_tls && settings->psk_file != NULL,
    };
}

static TlsCredentials *
load(const StrataTls *tls, GError **error)
{
    TlsCredentialFiles files = {
        .certificates = tls->certificates,
        .psk_file = tls->psk_file,
        .verify_peer = tls->verify_peer,
        .had_revocations =
            tls->credentials != NULL && tls_credentials_have_revocations(tls->credentials),
    };

    return tls_credentials_load(&files, error);
}

static char *
absolute(const char *path)
{
    return path == NULL ? NULL : g_canonicalize_filename(path, NULL);
}

StrataTls *
tls_new(const TlsSettings *settings, GError **error)
{
    g_autoptr(StrataTls) tls = g_new0(StrataTls, 1);

    g_mutex_init(&tls->lock);
    tls->mode = tls_settings_get_mode(settings);
    if (tls->mode == TLS_OFF)
        return g_steal_pointer(&tls);
    (void)tls_session_kernel_can(); /* while the process may still make sockets */
    tls->certificates = absolute(settings->certificates);
    tls->psk_file = absolute(settings->psk_file);
    tls->verify_peer = demands_certificate(settings);
    if (settings->authz != NULL)
        tls->authz = access_rules_new((const char *const *)settings->authz, error);
    if (settings->authz != NULL && tls->authz == NULL)
        return NULL;
    tls->credentials = load(tls, error);
    return tls->credentials == NULL ? NULL : g_steal_pointer(&tls);
}

void
tls_free(StrataTls *tls)
{
    g_free(tls->certificates);
    g_free(tls->psk_file);
    g_clear_pointer(&tls->authz, access_rules_free);
    g_clear_pointer(&tls->credentials, tls_credentials_unref);
    g_mutex_clear(&tls->lock);
    g_free(tls);
}

/* Takes @credentials, returns those that they replace. */
static TlsCredentials *
exchange(StrataTls *tls, TlsCredentials *credentials)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&tls->lock);
    TlsCredentials *old = tls->credentials;

    tls->credentials = credentials;
    return old;
}

gboolean
tls_reload(StrataTls *tls, GError **error)
{
    TlsCredentials *credentials;

    if (tls->mode == TLS_OFF)
        return TRUE;
    credentials = load(tls, error);
    if (credentials == NULL)
        return FALSE;
    tls_credentials_unref(exchange(tls, credentials));
    return TRUE;
}

void
tls_reload_or_keep(StrataTls *tls)
{
    g_autoptr(GError) error = NULL;

    if (tls_reload(tls, &error))
        log_event_with(&(LogFields){ .event = "reload" },
                       "TLS: certificates and keys were read anew");
    else
        log_notice("reload", "TLS: certificates and keys stay as they were: %s", error->message);
}

TlsMode
tls_get_mode(const StrataTls *tls)
{
    return tls == NULL ? TLS_OFF : tls->mode;
}

TlsCredentials *
tls_ref_credentials(StrataTls *tls)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&tls->lock);

    return tls_credentials_ref(tls->credentials);
}

gboolean
tls_admits(const StrataTls *tls, const Peer *peer)
{
    return access_rules_admit(tls->authz, peer);
}

char *
tls_take_uri(StrataTls *tls, char *uri)
{
    g_autofree char *plain = uri;
    g_autoptr(TlsCredentials) credentials = NULL;
    TlsUriParts parts = { 0 };

    if (plain == NULL || tls_get_mode(tls) != TLS_REQUIRE)
        return g_steal_pointer(&plain);
    credentials = tls_ref_credentials(tls);
    if (tls->certificates != NULL)
        parts.certificates = tls->certificates;
    else
        parts = (TlsUriParts){
            .psk_file = tls->psk_file,
            .psk_name = tls_credentials_get_psk_name(credentials),
        };
    return tls_uri_require(plain, &parts);
}
