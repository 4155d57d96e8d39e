/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-content.h - what a server's reads say: a digest that does not depend on the order of the
 * pieces, nor on whether zeros come as data or as holes; and comparison with a file. */
#ifndef STRATA_CLIENT_CONTENT_H
#define STRATA_CLIENT_CONTENT_H

#include <glib.h>

/* A sum over all 8-byte words at their places in the export, by their value and by value times
 * place: pieces add up in any order, and zeros add nothing. */
typedef struct {
    guint64 sum, placed;
} ContentDigest;

void content_digest_add(ContentDigest *digest, guint64 offset, const guint8 *data, gsize length);

/* Adds up what two connections have read. */
void content_digest_join(ContentDigest *digest, const ContentDigest *other);
guint64 content_digest_value(const ContentDigest *digest);

/* A file that is mapped into memory; may be used by any number of threads. */
typedef struct {
    const guint8 *bytes;
    guint64 size;
} ContentFile;

/* Fatal if it cannot be had, or is not of @size. */
void content_file_open(ContentFile *file, const char *path, guint64 size);
void content_file_close(ContentFile *file);

/* Fatal where @data is not what the file has at @offset; NULL is zeros. */
void content_file_compare(const ContentFile *file, guint64 offset, const guint8 *data,
                          guint64 length);

#endif
