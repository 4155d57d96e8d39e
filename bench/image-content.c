/* SPDX-License-Identifier: LGPL-2.1-or-later
 * image-content.c - the bytes of made clusters, plain or compressed. */
#include "image-content.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define MAX_TEXTS    1024
#define N_WORDS      512
#define LONGEST_WORD 12
#define WINDOW_BITS  12 /* of deflate: what QEMU can read */
#define ZSTD_LEVEL   3

struct _Content {
    const Plan *plan;
    Compression compression;
    char words[N_WORDS][LONGEST_WORD + 1];
    guint n_texts;         /* 0 without compression */
    GPtrArray *texts;      /* of GBytes */
    GPtrArray *compressed; /* of GBytes, in the same order */
};

static void
die(const char *what)
{
    fprintf(stderr, "make-image: %s\n", what);
    exit(EXIT_FAILURE);
}

/* -- Texts -- */

static void
make_words(Content *content)
{
    for (guint i = 0; i < N_WORDS; i++) {
        guint64 hash = plan_hash(content->plan->seed, i);
        guint length = 2 + hash % (LONGEST_WORD - 2);

        for (guint k = 0; k < length; k++)
            content->words[i][k] = (char)('a' + plan_hash(hash, k) % 26);
        content->words[i][length] = ' ';
    }
}

/* Words, and a share of @noise among them that no program can compress. */
static GBytes *
make_text(const Content *content, guint number, double noise)
{
    gsize size = plan_cluster_size(content->plan), at = 0;
    guint8 *text = g_malloc(size);
    guint64 seed = plan_hash(content->plan->seed, number);

    for (guint64 i = 0; at < size; i++) {
        guint64 hash = plan_hash(seed, i);
        const char *word = content->words[hash % N_WORDS];
        gsize length = MIN(strlen(word), size - at);

        if ((double)(hash >> 11) * 0x1p-53 < noise) {
            length = MIN(sizeof hash, size - at);
            hash = plan_hash(hash, i);
            word = (const char *)&hash;
        }
        memcpy(text + at, word, length);
        at += length;
    }
    return g_bytes_new_take(text, size);
}

static gsize
deflate_text(const guint8 *text, gsize size, guint8 *out, gsize room)
{
    z_stream stream = {
        .next_in = (guint8 *)text, .avail_in = (uInt)size, .next_out = out, .avail_out = (uInt)room
    };
    int result;

    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -WINDOW_BITS, MAX_MEM_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        die("zlib cannot begin");
    result = deflate(&stream, Z_FINISH);
    deflateEnd(&stream);
    return result == Z_STREAM_END ? room - stream.avail_out : 0;
}

static GBytes *
compress_text(const Content *content, GBytes *text)
{
    gsize size, room = plan_cluster_size(content->plan), length;
    const guint8 *bytes = g_bytes_get_data(text, &size);
    guint8 *out = g_malloc(room);

    if (content->compression == COMPRESS_ZLIB)
        length = deflate_text(bytes, size, out, room);
    else
        length = ZSTD_compress(out, room, bytes, size, ZSTD_LEVEL);
    if (length == 0 || ZSTD_isError(length))
        die("a text does not become smaller by compression; choose a higher ratio");
    return g_bytes_new_take(g_realloc(out, length), length);
}

static double
measure_ratio(const Content *content, double noise)
{
    g_autoptr(GBytes) text = make_text(content, 0, noise);
    g_autoptr(GBytes) compressed = compress_text(content, text);

    return (double)g_bytes_get_size(text) / (double)g_bytes_get_size(compressed);
}

/* The share of noise that brings about @ratio, by halving where it may lie. */
static double
find_noise(const Content *content, double ratio)
{
    double least = 0, most = 0.9;

    for (guint i = 0; i < 12; i++) {
        double middle = (least + most) / 2;

        if (measure_ratio(content, middle) > ratio)
            least = middle;
        else
            most = middle;
    }
    return least;
}

static void
make_texts(Content *content, double ratio)
{
    guint64 n_clusters = 1 + content->plan->size / plan_cluster_size(content->plan);
    double noise;

    make_words(content);
    noise = find_noise(content, ratio);
    content->n_texts = (guint)MIN(MAX_TEXTS, n_clusters);
    for (guint i = 0; i < content->n_texts; i++) {
        GBytes *text = make_text(content, i, noise);

        g_ptr_array_add(content->texts, text);
        g_ptr_array_add(content->compressed, compress_text(content, text));
    }
}

/* -- Contents -- */

static void
unref_bytes(gpointer bytes)
{
    g_bytes_unref(bytes);
}

Content *
content_new(const Plan *plan, Compression compression, double ratio)
{
    Content *content = g_new0(Content, 1);

    content->plan = plan;
    content->compression = compression;
    content->texts = g_ptr_array_new_with_free_func(unref_bytes);
    content->compressed = g_ptr_array_new_with_free_func(unref_bytes);
    if (compression != COMPRESS_NOT)
        make_texts(content, ratio);
    return content;
}

void
content_free(Content *content)
{
    g_ptr_array_unref(content->texts);
    g_ptr_array_unref(content->compressed);
    g_free(content);
}

static guint64
hash_cluster(const Content *content, guint layer, guint64 cluster)
{
    return plan_hash(plan_hash(~content->plan->seed, layer), cluster);
}

const guint8 *
content_plain(const Content *content, guint layer, guint64 cluster, guint8 *buffer)
{
    guint64 hash = hash_cluster(content, layer, cluster);
    guint64 *words = (guint64 *)(void *)buffer;
    gsize n_words = plan_cluster_size(content->plan) / sizeof *words;

    if (content->n_texts > 0)
        return g_bytes_get_data(g_ptr_array_index(content->texts, hash % content->n_texts), NULL);
    for (gsize i = 0; i < n_words; i++)
        words[i] = plan_hash(hash, i);
    return buffer;
}

GBytes *
content_compressed(const Content *content, guint layer, guint64 cluster)
{
    guint64 hash = hash_cluster(content, layer, cluster);

    return g_ptr_array_index(content->compressed, hash % content->n_texts);
}
