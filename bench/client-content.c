/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-content.c - what a server's reads say: a digest, and comparison with a file. */
#include "client-content.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client-fail.h"

#define WORD sizeof(guint64)

/* The bytes of one word that a piece has; the others count as zeros, and come with their piece. */
static void
add_part(ContentDigest *digest, guint64 offset, const guint8 *data, gsize length)
{
    guint8 bytes[WORD] = { 0 };
    guint64 word;

    memcpy(bytes + offset % WORD, data, length);
    memcpy(&word, bytes, sizeof word);
    word = GUINT64_FROM_LE(word);
    digest->sum += word;
    digest->placed += word * (offset / WORD + 1);
}

/* Whole words. Sums of sums instead of a product for each: the last word counts once, the one
 * before it twice, and so on, so what is wanted is the difference to a place behind the last. */
static void
add_words(ContentDigest *digest, guint64 offset, const guint8 *data, gsize n_words)
{
    guint64 sum = 0, sums = 0;

    for (gsize i = 0; i < n_words; i++) {
        guint64 word;

        memcpy(&word, data + i * WORD, sizeof word);
        sum += GUINT64_FROM_LE(word);
        sums += sum;
    }
    digest->sum += sum;
    digest->placed += sum * (offset / WORD + 1 + n_words) - sums;
}

void
content_digest_add(ContentDigest *digest, guint64 offset, const guint8 *data, gsize length)
{
    gsize head = MIN(length, (WORD - offset % WORD) % WORD);
    gsize n_words = (length - head) / WORD, tail = (length - head) % WORD;

    if (head > 0)
        add_part(digest, offset, data, head);
    add_words(digest, offset + head, data + head, n_words);
    if (tail > 0)
        add_part(digest, offset + length - tail, data + length - tail, tail);
}

void
content_digest_join(ContentDigest *digest, const ContentDigest *other)
{
    digest->sum += other->sum;
    digest->placed += other->placed;
}

guint64
content_digest_value(const ContentDigest *digest)
{
    return digest->sum * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15) ^ digest->placed;
}

void
content_file_open(ContentFile *file, const char *path, guint64 size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0)
        fail("%s: %s", path, g_strerror(errno));
    if ((guint64)status.st_size != size)
        fail("%s has %" PRIu64 " bytes, the export %" PRIu64, path, (guint64)status.st_size, size);
    file->size = size;
    file->bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (file->bytes == MAP_FAILED)
        fail("%s: mmap: %s", path, g_strerror(errno));
    close(fd);
}

void
content_file_close(ContentFile *file)
{
    munmap((void *)file->bytes, file->size);
}

void
content_file_compare(const ContentFile *file, guint64 offset, const guint8 *data, guint64 length)
{
    const guint8 *expected = file->bytes + offset;

    if (data != NULL && memcmp(expected, data, length) == 0)
        return;
    for (guint64 i = 0; i < length; i++) {
        guint8 found = data != NULL ? data[i] : 0;

        if (found != expected[i])
            fail("the byte at 0x%" PRIx64 " is 0x%02x, the file has 0x%02x", offset + i, found,
                 expected[i]);
    }
}
