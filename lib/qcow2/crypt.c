/* SPDX-License-Identifier: LGPL-2.1-or-later
 * crypt.c - the data clusters of an encrypted qcow2 image: section "Data encryption".
 *
 * Two methods. LUKS: a LUKS header stands where an extension of the qcow2 header says, and the
 * number of a sector is that of the host's, in the file that keeps it. The older AES: the key is
 * the passphrase itself, nothing tells whether it is right, and sectors have the guest's numbers.
 * Compressed clusters are never encrypted (seen with QEMU, which writes and reads them so). */
#include "crypt.h"

#include "crypto/key.h"
#include "crypto/luks.h"
#include "error.h"
#include "format.h"
#include "late-gnutls.h"
#include "node.h"
#include "opener.h"
#include "spec.h"

#define AES_KEY_BYTES 16

struct _Qcow2Crypt {
    Luks *luks; /* NULL for the method AES */
    SectorCipher *cipher;
    StrataRole role; /* of the child that keeps the clusters */
};
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qcow2Crypt, qcow2_crypt_free)

/* In QEMU's words, as in "encrypt.format". */
static const char *const format_names[] = {
    [QCOW2_CRYPT_NONE] = "none",
    [QCOW2_CRYPT_AES] = "aes",
    [QCOW2_CRYPT_LUKS] = "luks",
};

static const char *
option(StrataNode *node, const char *key)
{
    return node->spec ? spec_get_text(node->spec, key) : NULL;
}

/* What the user expects of the image: one that is not encrypted after all may be another image. */
static gboolean
check_expected(StrataNode *node, guint32 method, GError **error)
{
    const char *format = option(node, "encrypt.format");
    g_autofree char *shown = format ? strata_escape(format) : NULL;

    if (format && !g_str_equal(format, "aes") && !g_str_equal(format, "luks"))
        return strata_throw(error, node, STRATA_ERROR_SPEC,
                            "\"encrypt.format\" is '%s', expected aes or luks", shown);
    if (method == QCOW2_CRYPT_NONE && (format || option(node, "encrypt.key-secret")))
        return strata_throw(error, node, STRATA_ERROR_SPEC,
                            "\"encrypt\" says how the image is encrypted, and it is not encrypted; "
                            "leave it out");
    if (format && !g_str_equal(format, format_names[method]))
        return strata_throw(error, node, STRATA_ERROR_SPEC,
                            "\"encrypt.format\" is %s, and the image is encrypted with %s", format,
                            format_names[method]);
    return TRUE;
}

static GBytes *
find_secret(StrataNode *node, StrataOpener *opener, guint32 method, GError **error)
{
    const char *id = option(node, "encrypt.key-secret");

    if (id)
        return strata_opener_get_secret(opener, node, id, error);
    strata_throw(error, node, STRATA_ERROR_SPEC,
                 "the image is encrypted (%s), and \"encrypt.key-secret\" does not say with which "
                 "key: lend it with --object secret,id=sec0,file=PATH and name it, as in "
                 "--image-opts driver=qcow2,encrypt.key-secret=sec0,file.filename=NAME",
                 format_names[method]);
    return NULL;
}

/* (nullable) (transfer none): of the same disk, where it is open already. */
static SectorCipher *
find_open_cipher(const StrataOpener *opener, const Luks *luks)
{
    const Qcow2 *open = opener->again && opener->again->driver == &strata_driver_qcow2
                            ? opener->again->state
                            : NULL;
    const Qcow2Crypt *crypt = open ? open->crypt : NULL;

    return crypt && crypt->luks && luks_has_key_of(luks, crypt->luks) ? crypt->cipher : NULL;
}

static gboolean
open_luks(StrataNode *node, const StrataOpener *opener, const Qcow2Header *header, GBytes *secret,
          Qcow2Crypt *crypt, GError **error)
{
    const LuksPlace place = {
        .node = node,
        .storage = node->children[STRATA_ROLE_FILE],
        .offset = header->luks_offset,
        .length = header->luks_length,
    };

    SectorCipher *cipher;

    crypt->luks = luks_read(&place, error);
    if (!crypt->luks)
        return FALSE;
    cipher = find_open_cipher(opener, crypt->luks);
    crypt->cipher =
        cipher ? sector_cipher_ref(cipher)
               : luks_unlock(crypt->luks, secret, option(node, "encrypt.key-secret"), error);
    return crypt->cipher != NULL;
}

/* The first 16 bytes of the passphrase, with zeros behind if there are fewer. */
static gboolean
open_aes(StrataNode *node, GBytes *secret, Qcow2Crypt *crypt, GError **error)
{
    const CipherSuite suite = { .algorithm = GNUTLS_CIPHER_AES_128_CBC, .iv = IV_PLAIN64 };
    g_auto(Key) key = { 0 };
    gsize size;
    gconstpointer bytes = g_bytes_get_data(secret, &size);
    int status;

    if (!late_gnutls_load(error))
        return FALSE;
    if (size > 0)
        memcpy(key.bytes, bytes, MIN(size, AES_KEY_BYTES));
    crypt->cipher = sector_cipher_new(&suite, key.bytes, &status);
    if (crypt->cipher)
        return TRUE;
    return strata_throw(error, node, STRATA_ERROR_UNSUPPORTED,
                        "GnuTLS does not decrypt AES-128-CBC: %s", gnutls_strerror(status));
}

gboolean
qcow2_crypt_open(StrataNode *node, StrataOpener *opener, const Qcow2Header *header,
                 Qcow2Crypt **out_crypt, GError **error)
{
    g_autoptr(Qcow2Crypt) crypt = g_new0(Qcow2Crypt, 1);
    guint32 method = header->crypt_method;
    GBytes *secret;

    *out_crypt = NULL;
    if (!check_expected(node, method, error))
        return FALSE;
    if (method == QCOW2_CRYPT_NONE)
        return TRUE;
    secret = find_secret(node, opener, method, error);
    if (!secret)
        return FALSE;
    crypt->role = header->has_data_file ? STRATA_ROLE_DATA_FILE : STRATA_ROLE_FILE;
    if (method == QCOW2_CRYPT_LUKS ? !open_luks(node, opener, header, secret, crypt, error)
                                   : !open_aes(node, secret, crypt, error))
        return FALSE;
    *out_crypt = g_steal_pointer(&crypt);
    return TRUE;
}

void
qcow2_crypt_free(Qcow2Crypt *crypt)
{
    g_clear_pointer(&crypt->cipher, sector_cipher_unref);
    g_free(crypt->luks);
    g_free(crypt);
}

gboolean
qcow2_crypt_read(StrataNode *node, const Qcow2Crypt *crypt, guint64 guest, guint64 host,
                 gsize length, guint8 *buffer, GError **error)
{
    const CipherText from = {
        .storage = node->children[crypt->role],
        .offset = host,
        .tweak = crypt->luks ? host : guest,
    };

    return sector_cipher_read(crypt->cipher, node, &from, length, buffer, error);
}

gboolean
qcow2_crypt_still_holds(const Qcow2Crypt *crypt, GError **error)
{
    return !crypt->luks || luks_still_holds(crypt->luks, error);
}

void
qcow2_crypt_describe(const Qcow2Crypt *crypt, GVariantDict *dict)
{
    g_variant_dict_insert(dict, "encrypted", "b", TRUE);
    g_variant_dict_insert(dict, "encryption-format", "s", crypt->luks ? "luks" : "aes");
    if (crypt->luks)
        luks_describe(crypt->luks, dict);
    else
        g_variant_dict_insert(dict, "cipher", "s", "aes-128-cbc-plain64");
}
