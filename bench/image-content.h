/* SPDX-License-Identifier: LGPL-2.1-or-later
 * image-content.h - the bytes of made clusters, plain or compressed. */
#ifndef BENCH_IMAGE_CONTENT_H
#define BENCH_IMAGE_CONTENT_H

#include "image-plan.h"

typedef enum {
    COMPRESS_NOT,
    COMPRESS_ZLIB,
    COMPRESS_ZSTD,
} Compression;

/* Random bytes, each cluster of each layer its own; with compression, texts. There is a limited
 * number of different texts, so that making them takes seconds; which cluster has which is random.
 */
typedef struct _Content Content;

/* @ratio: what texts are to be compressed to, as in 3 for a third. */
Content *content_new(const Plan *plan, Compression compression, double ratio);
void content_free(Content *content);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Content, content_free)

/* The bytes of a cluster: in @buffer, which has room for one, or elsewhere until content_free(). */
const guint8 *content_plain(const Content *content, guint layer, guint64 cluster, guint8 *buffer);

/* The same, compressed; lives as long as @content. */
GBytes *content_compressed(const Content *content, guint layer, guint64 cluster);

#endif
