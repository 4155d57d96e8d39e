/* SPDX-License-Identifier: LGPL-2.1-or-later
 * objects.c - what the user lends to a graph by ID: secrets, and credentials for TLS.
 *
 * The words are those of QEMU's "--object": a type, and KEY=VALUE divided by commas. A key of
 * QEMU's that means something which is not done here is refused, and never passed over: it was
 * given for safety's sake. */
#include "objects.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "opener.h"
#include "secret.h"
#include "spec.h"

struct _Objects {
    GHashTable *secrets; /* ID -> GBytes, both owned */
    GHashTable *creds;   /* ID -> TlsCreds, which owns the ID */
};

/* What was said of one object; the getters take away what they return. */
typedef struct {
    char *type;
    char *id;
    GHashTable *keys; /* key -> value, both owned: what nobody has asked for yet */
} Words;

/* Keys that QEMU has and that cannot be had here, with the reason. */
typedef struct {
    const char *type;
    const char *key;
    const char *reason;
} Refusal;

static const Refusal refusals[] = {
    { "secret", "data",
      "every user of the machine can read it on the command line; put it into a file that only you "
      "can read and give file=, or give fd=, the number of an open descriptor" },
    { "secret", "keyid", "secrets that are encrypted themselves are not read" },
    { "secret", "iv", "secrets that are encrypted themselves are not read" },
    { "tls-creds-x509", "priority", "GnuTLS priorities are the system's" },
    { "tls-creds-psk", "priority", "GnuTLS priorities are the system's" },
    { "tls-creds-x509", "passwordid", "keys of certificates that are encrypted are not read" },
    { "tls-creds-psk", "verify-peer", "with a pre-shared key both sides prove that they have it" },
};

static void
words_clear(Words *words)
{
    g_free(words->type);
    g_free(words->id);
    g_clear_pointer(&words->keys, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Words, words_clear)

static void
tls_creds_free(TlsCreds *creds)
{
    g_free(creds->id);
    g_free(creds->dir);
    g_free(creds->username);
    g_free(creds);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TlsCreds, tls_creds_free)

static TlsCreds *
tls_creds_copy(const TlsCreds *creds)
{
    TlsCreds *copy = g_new(TlsCreds, 1);

    *copy = *creds;
    copy->id = g_strdup(creds->id);
    copy->dir = g_strdup(creds->dir);
    copy->username = g_strdup(creds->username);
    return copy;
}

Objects *
objects_new(void)
{
    Objects *objects = g_new(Objects, 1);

    objects->secrets =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
    objects->creds =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)tls_creds_free);
    return objects;
}

Objects *
objects_copy(const Objects *objects)
{
    Objects *copy = objects_new();
    GHashTableIter iter;
    gpointer id, value;

    g_hash_table_iter_init(&iter, objects->secrets);
    while (g_hash_table_iter_next(&iter, &id, &value))
        g_hash_table_insert(copy->secrets, g_strdup(id), g_bytes_ref(value));
    g_hash_table_iter_init(&iter, objects->creds);
    while (g_hash_table_iter_next(&iter, &id, &value)) {
        TlsCreds *creds = tls_creds_copy(value);

        g_hash_table_insert(copy->creds, creds->id, creds);
    }
    return copy;
}

void
objects_free(Objects *objects)
{
    g_hash_table_unref(objects->secrets);
    g_hash_table_unref(objects->creds);
    g_free(objects);
}

static gboolean throw_object(GError **error, const Words *words, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* "object secret 'sec0': ..." */
static gboolean
throw_object(GError **error, const Words *words, const char *format, ...)
{
    g_autofree char *id = words->id ? strata_escape(words->id) : NULL;
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC, "object %s%s%s%s: %s", words->type,
                id ? " '" : "", id ? id : "", id ? "'" : "", text);
    return FALSE;
}

/* -- Words -- */

/* Values may be secret ("data="), so no message repeats one before its key is known. */
static gboolean
put_word(Words *words, char *word, GError **error)
{
    char *equals = strchr(word, '=');
    g_autofree char *key = equals ? g_strndup(word, equals - word) : NULL;
    g_autofree char *shown = key ? strata_escape(key) : NULL;

    if (!equals || equals == word)
        return throw_object(error, words,
                            "it is written TYPE,KEY=VALUE,..., and one of its words has no '=' (a "
                            "comma in a value is \",,\")");
    if (g_hash_table_contains(words->keys, key))
        return throw_object(error, words, "the key \"%s\" is given twice", shown);
    g_hash_table_insert(words->keys, g_steal_pointer(&key), g_strdup(equals + 1));
    return TRUE;
}

static char *
take(Words *words, const char *key)
{
    gpointer stolen_key = NULL, value = NULL;

    g_hash_table_steal_extended(words->keys, key, &stolen_key, &value);
    g_free(stolen_key);
    return value;
}

static gboolean
is_valid_id(const char *id)
{
    return g_ascii_isalpha(id[0]) && id[strspn(id, "abcdefghijklmnopqrstuvwxyz"
                                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")] == 0;
}

/* "secret,id=sec0,file=PATH"; QEMU also takes "qom-type=secret,...". */
static gboolean
split_words(const char *text, Words *words, GError **error)
{
    g_autofree char *first = spec_next_word(&text);

    if (!first || strchr("={", first[0]) ||
        (strchr(first, '=') && !g_str_has_prefix(first, "qom-type="))) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "an object is written TYPE,KEY=VALUE,... as in secret,id=sec0,file=PATH");
        return FALSE;
    }
    words->type = strata_escape(first + (g_str_has_prefix(first, "qom-type=") ? 9 : 0));
    words->keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (;;) {
        g_autofree char *word = spec_next_word(&text);

        if (!word)
            break;
        if (!put_word(words, word, error))
            return FALSE;
    }
    words->id = take(words, "id");
    if (!words->id)
        return throw_object(error, words, "it needs an \"id\", by which specs can name it");
    if (!is_valid_id(words->id))
        return throw_object(error, words,
                            "an \"id\" is a letter, and then letters, digits, '-', '.' and '_'");
    return TRUE;
}

/* What nobody has taken: a key that is refused for a reason, or one that nobody knows. */
static gboolean
check_rest(const Words *words, const char *known, GError **error)
{
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(words->keys), (GCompareFunc)strcmp);
    g_autofree char *shown = NULL;

    if (!keys)
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(refusals); i++)
        if (g_str_equal(refusals[i].type, words->type) &&
            g_hash_table_contains(words->keys, refusals[i].key))
            return throw_object(error, words, "\"%s\" is refused: %s", refusals[i].key,
                                refusals[i].reason);
    shown = strata_escape(keys->data);
    return throw_object(error, words, "there is no key \"%s\"; the keys are %s", shown, known);
}

/* -- Secrets -- */

/* Descriptors that are lent to be read are closed then, so that programs started later do not
 * inherit what is left in them; the standard ones stay. */
static GBytes *
read_lent_fd(const Words *words, const char *number, GError **error)
{
    guint64 fd;
    g_autofree char *name = NULL;
    GBytes *secret;

    if (!g_ascii_string_to_unsigned(number, 10, 0, G_MAXINT, &fd, NULL)) {
        throw_object(error, words, "\"fd\" is the number of an open descriptor");
        return NULL;
    }
    name = g_strdup_printf("file descriptor %d", (int)fd);
    secret = secret_read_fd((int)fd, name, error);
    if (secret && fd > STDERR_FILENO)
        close((int)fd);
    return secret;
}

static GBytes *
read_file(const char *path, GError **error)
{
    g_autofree char *shown = strata_escape(path);
    g_autofree char *name = g_strdup_printf("'%s'", shown);
    int fd = open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
    int saved_errno = errno;
    GBytes *secret;

    if (fd < 0) {
        g_set_error(error, STRATA_ERROR,
                    saved_errno == ENOENT ? STRATA_ERROR_NOT_FOUND : STRATA_ERROR_IO,
                    "cannot open the secret's file %s: %s", name, g_strerror(saved_errno));
        return NULL;
    }
    secret = secret_read_fd(fd, name, error);
    close(fd);
    return secret;
}

/* As it stands in the file or, with format=base64, what that stands for. Nothing is taken off: a
 * line end in a raw file is a byte of the key, as it is for QEMU. */
static gboolean
add_secret(Objects *objects, Words *words, GError **error)
{
    g_autofree char *file = take(words, "file");
    g_autofree char *fd = take(words, "fd");
    g_autofree char *format = take(words, "format");
    g_autoptr(GBytes) read = NULL;
    GBytes *secret;

    if (!check_rest(words, "id, file, fd, format", error))
        return FALSE;
    if (!file == !fd)
        return throw_object(error, words, "it needs \"file\" or \"fd\", and only one of them");
    if (format && !g_str_equal(format, "raw") && !g_str_equal(format, "base64"))
        return throw_object(error, words, "\"format\" is raw or base64");
    read = file ? read_file(file, error) : read_lent_fd(words, fd, error);
    if (!read)
        return FALSE;
    secret = g_strcmp0(format, "base64") == 0 ? secret_decode_base64(read) : g_bytes_ref(read);
    if (!secret)
        return throw_object(error, words, "format=base64 is said of it, and it is no base64 text");
    g_hash_table_insert(objects->secrets, g_steal_pointer(&words->id), secret);
    return TRUE;
}

/* -- Credentials -- */

static gboolean
check_endpoint(Words *words, GError **error)
{
    g_autofree char *endpoint = take(words, "endpoint");

    if (!endpoint || g_str_equal(endpoint, "client"))
        return TRUE;
    return throw_object(error, words,
                        "\"endpoint\" can only be client: these are credentials for reading images "
                        "from a server");
}

static gboolean
take_switch(Words *words, const char *key, gboolean *value, GError **error)
{
    g_autofree char *text = take(words, key);
    const char *canonical = text ? spec_parse_switch(text) : NULL;

    if (text && !canonical)
        return throw_object(error, words, "\"%s\" is on or off", key);
    if (text)
        *value = g_str_equal(canonical, "on");
    return TRUE;
}

/* Without it the credentials could not be used: better said now than by a failing handshake. */
static gboolean
check_file(const Words *words, const char *dir, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autofree char *shown = strata_escape(path);

    if (access(path, R_OK) == 0)
        return TRUE;
    g_set_error(error, STRATA_ERROR, errno == ENOENT ? STRATA_ERROR_NOT_FOUND : STRATA_ERROR_IO,
                "object %s '%s': cannot read '%s': %s", words->type, words->id, shown,
                g_strerror(errno));
    return FALSE;
}

static gboolean
add_creds(Objects *objects, Words *words, TlsCreds *creds, const char *needed_file, GError **error)
{
    if (!creds->dir)
        return throw_object(error, words, "it needs \"dir\", the directory of its files");
    if (!check_file(words, creds->dir, needed_file, error))
        return FALSE;
    creds->id = g_steal_pointer(&words->id);
    g_hash_table_insert(objects->creds, creds->id, creds);
    return TRUE;
}

static gboolean
add_x509(Objects *objects, Words *words, GError **error)
{
    g_autoptr(TlsCreds) creds = g_new0(TlsCreds, 1);
    gboolean sanity_check; /* GnuTLS itself refuses certificates that are not sane */

    creds->type = TLS_CREDS_X509;
    creds->dir = take(words, "dir");
    creds->verify_peer = TRUE;
    if (!check_endpoint(words, error) ||
        !take_switch(words, "verify-peer", &creds->verify_peer, error) ||
        !take_switch(words, "sanity-check", &sanity_check, error) ||
        !check_rest(words, "id, dir, endpoint, verify-peer, sanity-check", error) ||
        !add_creds(objects, words, creds, "ca-cert.pem", error))
        return FALSE;
    creds = NULL;
    return TRUE;
}

static gboolean
add_psk(Objects *objects, Words *words, GError **error)
{
    g_autoptr(TlsCreds) creds = g_new0(TlsCreds, 1);

    creds->type = TLS_CREDS_PSK;
    creds->dir = take(words, "dir");
    creds->username = take(words, "username");
    if (!check_endpoint(words, error) || !check_rest(words, "id, dir, endpoint, username", error) ||
        !add_creds(objects, words, creds, "keys.psk", error))
        return FALSE;
    creds = NULL;
    return TRUE;
}

gboolean
objects_add(Objects *objects, const char *text, GError **error)
{
    g_auto(Words) words = { 0 };

    if (!split_words(text, &words, error))
        return FALSE;
    if (objects_get_secret(objects, words.id) || objects_get_tls_creds(objects, words.id))
        return throw_object(error, &words, "there is an object of that \"id\" already");
    if (g_str_equal(words.type, "secret"))
        return add_secret(objects, &words, error);
    if (g_str_equal(words.type, "tls-creds-x509"))
        return add_x509(objects, &words, error);
    if (g_str_equal(words.type, "tls-creds-psk"))
        return add_psk(objects, &words, error);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                "there are no objects of the type '%s'; the types are secret, tls-creds-x509 and "
                "tls-creds-psk",
                words.type);
    return FALSE;
}

GBytes *
objects_get_secret(const Objects *objects, const char *id)
{
    return g_hash_table_lookup(objects->secrets, id);
}

const TlsCreds *
objects_get_tls_creds(const Objects *objects, const char *id)
{
    return g_hash_table_lookup(objects->creds, id);
}

/* -- For drivers -- */

/* Graphs that tests make by hand have no gate. */
static const Objects *
objects_of(const StrataOpener *opener)
{
    return opener->gate ? policy_gate_get_objects(opener->gate) : NULL;
}

GBytes *
strata_opener_get_secret(StrataOpener *opener, StrataNode *node, const char *id, GError **error)
{
    const Objects *objects = objects_of(opener);
    GBytes *secret = objects ? objects_get_secret(objects, id) : NULL;
    g_autofree char *shown = strata_escape(id);

    if (!secret)
        strata_throw(error, node, STRATA_ERROR_SPEC,
                     "there is no secret '%s'; --object secret,id=%s,file=PATH lends one", shown,
                     shown);
    return secret;
}

const TlsCreds *
strata_opener_get_tls_creds(StrataOpener *opener, StrataNode *node, const char *id, GError **error)
{
    const Objects *objects = objects_of(opener);
    const TlsCreds *creds = objects ? objects_get_tls_creds(objects, id) : NULL;
    g_autofree char *shown = strata_escape(id);

    if (!creds)
        strata_throw(error, node, STRATA_ERROR_SPEC,
                     "there are no credentials '%s'; --object tls-creds-x509,id=%s,dir=DIR lends "
                     "some",
                     shown, shown);
    return creds;
}
