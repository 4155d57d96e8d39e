/* SPDX-License-Identifier: LGPL-2.1-or-later
 * tls-identity.c - names in certificates and of pre-shared keys. */
#include "tls-identity.h"

#include "inet.h"
#include "late-gnutls.h"
#include "tls-psk.h"

#include <string.h>
#include <sys/socket.h>

/* A subject in pieces of RFC 4514, the most specific one first. One with a zero in it would read
 * shorter than it is. */
static char *
read_subject(gnutls_x509_crt_t certificate)
{
    gnutls_datum_t text = { 0 };
    char *copy = NULL;

    if (gnutls_x509_crt_get_dn3(certificate, &text, 0) < 0)
        return NULL;
    if (text.size > 0 && memchr(text.data, '\0', text.size) == NULL)
        copy = g_strndup((const char *)text.data, text.size);
    gnutls_free(text.data);
    return copy;
}

static char *
format_address(const guint8 *bytes, gsize length)
{
    InetAddress address = { .family = length == 4 ? AF_INET : AF_INET6 };
    g_autofree char *text = NULL;

    if (length != 4 && length != 16)
        return NULL;
    memcpy(address.bytes, bytes, length); /* as the certificate has it, whatever it wears */
    text = inet_address_to_string(&address);
    return g_strconcat("IP:", text, NULL);
}

static char *
format_text(const char *type, const guint8 *bytes, gsize length)
{
    g_autofree char *text = NULL;

    if (length == 0 || memchr(bytes, '\0', length) != NULL)
        return NULL;
    text = g_strndup((const char *)bytes, length);
    return g_strconcat(type, text, NULL);
}

/* Returns NULL for types that no rule can name, and for names that would lie. */
static char *
format_name(unsigned type, const gnutls_datum_t *name)
{
    switch (type) {
    case GNUTLS_SAN_DNSNAME:
        return format_text("DNS:", name->data, name->size);
    case GNUTLS_SAN_RFC822NAME:
        return format_text("email:", name->data, name->size);
    case GNUTLS_SAN_URI:
        return format_text("URI:", name->data, name->size);
    case GNUTLS_SAN_IPADDRESS:
        return format_address(name->data, name->size);
    default:
        return NULL;
    }
}

static void
add_names(GPtrArray *names, gnutls_subject_alt_names_t alternatives)
{
    gnutls_datum_t name;
    unsigned type;

    for (unsigned i = 0; gnutls_subject_alt_names_get(alternatives, i, &type, &name, NULL) >= 0;
         i++) {
        char *text = format_name(type, &name);

        if (text != NULL)
            g_ptr_array_add(names, text);
    }
}

static char **
read_names(gnutls_x509_crt_t certificate)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    gnutls_datum_t extension = { 0 };
    gnutls_subject_alt_names_t alternatives;

    if (gnutls_x509_crt_get_extension_by_oid2(certificate, GNUTLS_X509EXT_OID_SAN, 0, &extension,
                                              NULL) < 0)
        return NULL;
    if (gnutls_subject_alt_names_init(&alternatives) >= 0) {
        if (gnutls_x509_ext_import_subject_alt_names(&extension, alternatives, 0) >= 0)
            add_names(names, alternatives);
        gnutls_subject_alt_names_deinit(alternatives);
    }
    gnutls_free(extension.data);
    if (names->len == 0)
        return NULL;
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}

void
tls_identity_read_certificate(gnutls_x509_crt_t certificate, Peer *peer)
{
    peer->subject = read_subject(certificate);
    peer->names = read_names(certificate);
}

/* The client's own certificate is the first of its chain. One that was not asked for was not
 * verified and tells nothing. */
static void
read_peer_certificate(gnutls_session_t session, Peer *peer)
{
    unsigned length = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &length);
    gnutls_x509_crt_t certificate;

    if (chain == NULL || length == 0 || gnutls_x509_crt_init(&certificate) < 0)
        return;
    if (gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) >= 0)
        tls_identity_read_certificate(certificate, peer);
    gnutls_x509_crt_deinit(certificate);
}

void
tls_identity_read(gnutls_session_t session, Peer *peer)
{
    gnutls_datum_t name;

    if (gnutls_auth_client_get_type(session) == GNUTLS_CRD_PSK) {
        if (gnutls_psk_server_get_username2(session, &name) >= 0)
            peer->psk_identity = psk_name_to_text(name.data, name.size);
    } else if (gnutls_auth_client_get_type(session) == GNUTLS_CRD_CERTIFICATE) {
        read_peer_certificate(session, peer);
    }
}
