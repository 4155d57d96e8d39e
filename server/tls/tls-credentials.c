/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tls-credentials.c - certificates and keys of the server, and the CA of its clients. */
#include "tls-credentials.h"

#include "late-gnutls.h"
#include "observe/log.h"
#include "tls-file.h"
#include "tls-psk.h"

#include <errno.h>
#include <strata/strata.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* TLS 1.2 at the least. Without RSA key exchange and without SHA-1, every cipher suite that is left
 * has forward secrecy and authenticated data of today's strength; NORMAL has no suite without
 * encryption or without authentication, and heeds what the system's configuration forbids. */
#define PRIORITY_X509 "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-SHA1"
/* Plain PSK is left out: without a Diffie-Hellman exchange, whoever learns the key can read what
 * was recorded before. */
#define PRIORITY_BOTH PRIORITY_X509 ":+ECDHE-PSK:+DHE-PSK"
#define PRIORITY_PSK  PRIORITY_X509 ":-KX-ALL:+ECDHE-PSK:+DHE-PSK"

/* A chain that a client sends: certificates, and bits of a key (which cost time). */
#define MAX_CHAIN    8
#define MAX_KEY_BITS 8200

struct _TlsCredentials {
    gint ref_count;                        /* atomic */
    gnutls_certificate_credentials_t x509; /* or NULL */
    gnutls_psk_server_credentials_t psk;   /* or NULL */
    PskKeys *keys;                         /* of psk */
    gnutls_priority_t priority;
    gboolean verify_peer;
    gboolean has_revocations;
};

#define CERTIFICATES "certificates in PEM form"
#define A_KEY        "a private key in PEM form that no password protects"
#define REVOCATIONS  "lists of revoked certificates in PEM form"

/* What went wrong with a file that could be read, and what it should have in it. */
static gboolean
refuse_file(const char *path, int code, const char *expected, GError **error)
{
    g_autofree char *shown = strata_escape(path);

    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC, "cannot use '%s': %s It should have %s.",
                shown, gnutls_strerror(code), expected);
    return FALSE;
}

static gboolean
refuse_memory(int code, GError **error)
{
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT, "cannot set TLS up: %s",
                gnutls_strerror(code));
    return FALSE;
}

static gnutls_datum_t
to_datum(const TlsFile *file)
{
    return (gnutls_datum_t){ .data = (guint8 *)file->text, .size = (unsigned)file->length };
}

typedef struct {
    gnutls_x509_crt_t *list;
    unsigned length;
} Chain;

static void
chain_clear(Chain *chain)
{
    for (unsigned i = 0; i < chain->length; i++)
        gnutls_x509_crt_deinit(chain->list[i]);
    gnutls_free(chain->list);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Chain, chain_clear)

static char *
format_time(time_t when)
{
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_utc(when);

    return date == NULL ? g_strdup("a time that cannot be told")
                        : g_date_time_format(date, "%Y-%m-%d %H:%M UTC");
}

/* It is used all the same: a clock may be wrong, and clients say no by themselves. */
static void
warn_of_date(const char *path, gnutls_x509_crt_t certificate)
{
    time_t now = time(NULL);
    time_t from = gnutls_x509_crt_get_activation_time(certificate);
    time_t until = gnutls_x509_crt_get_expiration_time(certificate);
    g_autofree char *shown = strata_escape(path);
    g_autofree char *date = format_time(now < from ? from : until);

    if (now > until)
        log_notice("credentials",
                   "the certificate in '%s' has expired (%s): clients will refuse it", shown, date);
    else if (now < from)
        log_notice("credentials",
                   "the certificate in '%s' is not valid yet (%s): clients will refuse it", shown,
                   date);
}

static gboolean
read_chain(const char *path, Chain *out_chain, GError **error)
{
    g_auto(TlsFile) file = { 0 };
    gnutls_datum_t datum;
    int status;

    if (!tls_file_read(path, TLS_FILE_PUBLIC, &file, error))
        return FALSE;
    datum = to_datum(&file);
    status = gnutls_x509_crt_list_import2(&out_chain->list, &out_chain->length, &datum,
                                          GNUTLS_X509_FMT_PEM, 0);
    if (status < 0) {
        out_chain->length = 0;
        return refuse_file(path, status, CERTIFICATES, error);
    }
    warn_of_date(path, out_chain->list[0]);
    return TRUE;
}

static gboolean
read_private_key(const char *path, gnutls_x509_privkey_t key, GError **error)
{
    g_auto(TlsFile) file = { 0 };
    gnutls_datum_t datum;
    int status;

    if (!tls_file_read(path, TLS_FILE_SECRET, &file, error))
        return FALSE;
    datum = to_datum(&file);
    status = gnutls_x509_privkey_import2(key, &datum, GNUTLS_X509_FMT_PEM, NULL, 0);
    return status < 0 ? refuse_file(path, status, A_KEY, error) : TRUE;
}

static gboolean
use_identity(TlsCredentials *credentials, Chain *chain, gnutls_x509_privkey_t key,
             const char *certificate_path, const char *key_path, GError **error)
{
    int status =
        gnutls_certificate_set_x509_key(credentials->x509, chain->list, (int)chain->length, key);
    g_autofree char *certificate_shown = strata_escape(certificate_path);
    g_autofree char *key_shown = strata_escape(key_path);

    if (status >= 0)
        return TRUE;
    if (status == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "the key in '%s' is not that of the certificate in '%s'", key_shown,
                    certificate_shown);
    else
        refuse_file(certificate_path, status, CERTIFICATES, error);
    return FALSE;
}

static gboolean
load_identity(TlsCredentials *credentials, const char *directory, GError **error)
{
    g_autofree char *certificate_path = g_build_filename(directory, TLS_CERTIFICATE_FILE, NULL);
    g_autofree char *key_path = g_build_filename(directory, TLS_KEY_FILE, NULL);
    g_auto(Chain) chain = { 0 };
    gnutls_x509_privkey_t key;
    gboolean done;

    if (!read_chain(certificate_path, &chain, error))
        return FALSE;
    if (gnutls_x509_privkey_init(&key) < 0)
        return refuse_memory(GNUTLS_E_MEMORY_ERROR, error);
    done = read_private_key(key_path, key, error) &&
           use_identity(credentials, &chain, key, certificate_path, key_path, error);
    gnutls_x509_privkey_deinit(key);
    return done;
}

typedef int (*SetFromMemory)(gnutls_certificate_credentials_t credentials,
                             const gnutls_datum_t *data, gnutls_x509_crt_fmt_t format);

/* A file of certificates or of revocation lists, of which there has to be one. */
static gboolean
load_list(TlsCredentials *credentials, const char *path, SetFromMemory set, const char *expected,
          GError **error)
{
    g_auto(TlsFile) file = { 0 };
    gnutls_datum_t datum;
    int status;

    if (!tls_file_read(path, TLS_FILE_PUBLIC, &file, error))
        return FALSE;
    datum = to_datum(&file);
    status = set(credentials->x509, &datum, GNUTLS_X509_FMT_PEM);
    if (status <= 0)
        return refuse_file(path, status < 0 ? status : GNUTLS_E_NO_CERTIFICATE_FOUND, expected,
                           error);
    return TRUE;
}

/* Missing is what has no name: neither a link that leads nowhere nor what may not be looked at. */
static gboolean
is_missing(const char *path)
{
    struct stat status;

    return lstat(path, &status) < 0 && errno == ENOENT;
}

/* Whoever takes the list away may mean to put another in its place. */
static gboolean
allow_missing(const char *path, gboolean had_revocations, GError **error)
{
    g_autofree char *shown = strata_escape(path);

    if (!had_revocations)
        return TRUE;
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO,
                "the list of revoked certificates '%s' is gone; to do without one, put one there "
                "that revokes nothing, or start the server anew",
                shown);
    return FALSE;
}

/* The list of revoked certificates may be missing; but one that is there is heeded or an error, and
 * one that is in force does not go by itself. */
static gboolean
load_revocations(TlsCredentials *credentials, const char *directory, gboolean had_revocations,
                 GError **error)
{
    g_autofree char *path = g_build_filename(directory, TLS_REVOKED_FILE, NULL);

    if (is_missing(path))
        return allow_missing(path, had_revocations, error);
    credentials->has_revocations =
        load_list(credentials, path, gnutls_certificate_set_x509_crl_mem, REVOCATIONS, error);
    return credentials->has_revocations;
}

static gboolean
load_trust(TlsCredentials *credentials, const char *directory, GError **error)
{
    g_autofree char *path = g_build_filename(directory, TLS_CA_FILE, NULL);

    return load_list(credentials, path, gnutls_certificate_set_x509_trust_mem, CERTIFICATES, error);
}

static gboolean
load_x509(TlsCredentials *credentials, const TlsCredentialFiles *files, GError **error)
{
    int status = gnutls_certificate_allocate_credentials(&credentials->x509);

    if (status < 0)
        return refuse_memory(status, error);
    gnutls_certificate_set_verify_limits(credentials->x509, MAX_KEY_BITS, MAX_CHAIN);
    return load_trust(credentials, files->certificates, error) &&
           load_revocations(credentials, files->certificates, files->had_revocations, error) &&
           load_identity(credentials, files->certificates, error);
}

/* GnuTLS calls it in a handshake, with the session's keys. */
static int
find_key(gnutls_session_t session, const gnutls_datum_t *name, gnutls_datum_t *out_key)
{
    const TlsCredentials *credentials = gnutls_session_get_ptr(session);
    const GByteArray *key = psk_keys_find(credentials->keys, name->data, name->size);

    if (key == NULL)
        return 1; /* goes on with a random key, so that names cannot be tried out */
    out_key->data = gnutls_malloc(key->len);
    if (out_key->data == NULL)
        return -1;
    memcpy(out_key->data, key->data, key->len);
    out_key->size = key->len;
    return 0;
}

static gboolean
load_psk(TlsCredentials *credentials, const char *path, GError **error)
{
    g_auto(TlsFile) file = { 0 };
    int status;

    if (!tls_file_read(path, TLS_FILE_SECRET, &file, error))
        return FALSE;
    credentials->keys = psk_keys_parse(file.text, file.length, path, error);
    if (credentials->keys == NULL)
        return FALSE;
    status = gnutls_psk_allocate_server_credentials(&credentials->psk);
    if (status < 0)
        return refuse_memory(status, error);
    gnutls_psk_set_server_credentials_function2(credentials->psk, find_key);
    return TRUE;
}

static gboolean
load_priority(TlsCredentials *credentials, GError **error)
{
    const char *priority = credentials->psk == NULL    ? PRIORITY_X509
                           : credentials->x509 == NULL ? PRIORITY_PSK
                                                       : PRIORITY_BOTH;
    int status = gnutls_priority_init(&credentials->priority, priority, NULL);

    return status < 0 ? refuse_memory(status, error) : TRUE;
}

TlsCredentials *
tls_credentials_load(const TlsCredentialFiles *files, GError **error)
{
    g_autoptr(TlsCredentials) credentials = g_new0(TlsCredentials, 1);

    credentials->ref_count = 1;
    credentials->verify_peer = files->verify_peer;
    if (!late_gnutls_load(error))
        return NULL;
    if (files->certificates != NULL && !load_x509(credentials, files, error))
        return NULL;
    if (files->psk_file != NULL && !load_psk(credentials, files->psk_file, error))
        return NULL;
    if (!load_priority(credentials, error))
        return NULL;
    return g_steal_pointer(&credentials);
}

TlsCredentials *
tls_credentials_ref(TlsCredentials *credentials)
{
    g_atomic_int_inc(&credentials->ref_count);
    return credentials;
}

void
tls_credentials_unref(TlsCredentials *credentials)
{
    if (!g_atomic_int_dec_and_test(&credentials->ref_count))
        return;
    if (credentials->x509 != NULL)
        gnutls_certificate_free_credentials(credentials->x509);
    if (credentials->psk != NULL)
        gnutls_psk_free_server_credentials(credentials->psk);
    if (credentials->priority != NULL)
        gnutls_priority_deinit(credentials->priority);
    g_clear_pointer(&credentials->keys, psk_keys_free);
    g_free(credentials);
}

gboolean
tls_credentials_have_revocations(const TlsCredentials *credentials)
{
    return credentials->has_revocations;
}

const char *
tls_credentials_get_psk_name(const TlsCredentials *credentials)
{
    return credentials->keys == NULL ? NULL : psk_keys_first_name(credentials->keys);
}

/* A certificate for something else, such as one of a server, is none of a client. */
static void
demand_certificate(gnutls_session_t session)
{
    /* GnuTLS reads it in the handshake. */
    static gnutls_typed_vdata_st purpose = {
        .type = GNUTLS_DT_KEY_PURPOSE_OID,
        .data = (guint8 *)GNUTLS_KP_TLS_WWW_CLIENT,
    };

    gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
    gnutls_session_set_verify_cert2(session, &purpose, 1, 0);
}

int
tls_credentials_apply(const TlsCredentials *credentials, gnutls_session_t session)
{
    int status = gnutls_priority_set(session, credentials->priority);

    gnutls_session_set_ptr(session, (gpointer)credentials);
    if (status >= 0 && credentials->x509 != NULL)
        status = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials->x509);
    if (status >= 0 && credentials->psk != NULL)
        status = gnutls_credentials_set(session, GNUTLS_CRD_PSK, credentials->psk);
    if (status >= 0 && credentials->x509 != NULL && credentials->verify_peer)
        demand_certificate(session);
    return status;
}
