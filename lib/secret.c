/* SPDX-License-Identifier: LGPL-2.1-or-later
 * secret.c - bytes that are wiped before their memory goes back. */
#include "secret.h"

#include <errno.h>
#include <strata/error.h>
#include <string.h>
#include <unistd.h>

#define FIRST_CAPACITY 4096

/* Who to free, and how much of it to wipe. */
typedef struct {
    guint8 *bytes;
    gsize length;
} Holder;

static void
holder_free(Holder *holder)
{
    explicit_bzero(holder->bytes, holder->length);
    g_free(holder->bytes);
    g_free(holder);
}

GBytes *
secret_take(guint8 *bytes, gsize length)
{
    Holder *holder = g_new(Holder, 1);

    *holder = (Holder){ bytes, length };
    return g_bytes_new_with_free_func(bytes, length, (GDestroyNotify)holder_free, holder);
}

/* realloc() would leave a copy behind. */
static guint8 *
move_to_larger(guint8 *bytes, gsize length, gsize capacity)
{
    guint8 *larger = g_malloc(capacity);

    memcpy(larger, bytes, length);
    explicit_bzero(bytes, length);
    g_free(bytes);
    return larger;
}

static ssize_t
read_some(int fd, guint8 *bytes, gsize length)
{
    ssize_t n;

    do
        n = read(fd, bytes, length);
    while (n < 0 && errno == EINTR);
    return n;
}

static void
throw_unread(GError **error, const char *name, int saved_errno)
{
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_IO, "cannot read the secret from %s: %s", name,
                g_strerror(saved_errno));
}

GBytes *
secret_read_fd(int fd, const char *name, GError **error)
{
    gsize capacity = FIRST_CAPACITY, length = 0;
    guint8 *bytes = g_malloc(capacity);
    ssize_t n;

    while ((n = read_some(fd, bytes + length, capacity - length)) > 0) {
        length += n;
        if (length > SECRET_MAX_BYTES)
            break;
        if (length == capacity)
            bytes = move_to_larger(bytes, length, capacity *= 2);
    }
    if (n == 0)
        return secret_take(bytes, length);
    if (n < 0)
        throw_unread(error, name, errno);
    else
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_LIMIT,
                    "the secret from %s is longer than %u bytes, and that is the limit", name,
                    SECRET_MAX_BYTES);
    g_bytes_unref(secret_take(bytes, length));
    return NULL;
}

/* g_base64_decode_step() skips what it does not know; a key that is read so is another key. */
static gboolean
is_base64(const char *chars, gsize length)
{
    gsize n = 0;

    for (gsize i = 0; i < length; i++) {
        if (chars[i] == '\r' || chars[i] == '\n')
            continue;
        if (!g_ascii_isalnum(chars[i]) && (chars[i] == '\0' || !strchr("+/=", chars[i])))
            return FALSE;
        n++;
    }
    return n % 4 == 0;
}

GBytes *
secret_decode_base64(GBytes *text)
{
    gsize length, n;
    const char *chars = g_bytes_get_data(text, &length);
    guint8 *bytes;
    gint state = 0;
    guint save = 0;

    if (!is_base64(chars, length))
        return NULL;
    bytes = g_malloc(length / 4 * 3 + 3); /* what g_base64_decode_step() may fill */
    n = g_base64_decode_step(chars, length, bytes, &state, &save);
    return secret_take(bytes, n);
}
