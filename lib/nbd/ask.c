/* SPDX-License-Identifier: LGPL-2.1-or-later
 * ask.c - cuts what is wanted into what the server takes: aligned to its smallest block, and no
 * longer than its longest request (NBD protocol, "Block size constraints"). */
#include "nbd/ask.h"

#include <string.h>

#include "error.h"
#include "nbd/connection.h"

/* A longer read is made of several, so that several connections can work on it, and the first bytes
 * need not wait for the last. */
#define READ_CHUNK (2 * 1024 * 1024)

/* So many of them at once. */
#define MAX_CHUNKS 16

/* The length of a request has 32 bits; this is a multiple of every block size. */
#define MAX_STATUS (G_GUINT64_CONSTANT(0xffff0000))

gboolean
remote_ask_throw(RemotePool *pool, guint64 offset, const char *wrong, GError **error)
{
    return strata_throw(error, pool->node, STRATA_ERROR_REMOTE,
                        "the server's answer about the range at 0x%" G_GINT64_MODIFIER
                        "x cannot be used: %s",
                        offset, wrong);
}

/* @offset and @length widened to what the server can be asked. The end of the export is the end of
 * a request too. */
static void
widen(const RemoteExport *export, guint64 *offset, guint64 *length)
{
    guint64 end = MIN(*offset + *length, export->size);
    guint64 past = end % export->min_block;

    if (past)
        end = export->size - end < export->min_block - past ? export->size
                                                            : end + export->min_block - past;
    *offset -= *offset % export->min_block;
    *length = end - *offset;
}

/* A few bytes that the server cannot be asked for alone. */
static gboolean
read_widened(RemotePool *pool, guint64 offset, gsize length, guint8 *buffer, GError **error)
{
    RemoteRequest request = { .offset = offset, .length = length };
    g_autofree guint8 *bytes = NULL;

    widen(remote_pool_get_export(pool), &request.offset, &request.length);
    bytes = g_malloc(request.length);
    request.buffer = bytes;
    if (!remote_pool_run(pool, &request, 1, error))
        return FALSE;
    memcpy(buffer, bytes + (offset - request.offset), length);
    return TRUE;
}

/* How much of a range that begins at @offset can be read with whole blocks, 0 if not even one; at
 * the export's end the last block need not be whole. */
static gsize
find_aligned_part(const RemoteExport *export, guint64 offset, gsize length)
{
    if (offset % export->min_block)
        return 0;
    return offset + length == export->size ? length : length - length % export->min_block;
}

/* Reads whole blocks into their place, up to MAX_CHUNKS at once. */
static gboolean
read_aligned(RemotePool *pool, guint64 offset, gsize length, guint8 *buffer, GError **error)
{
    guint64 chunk = MIN(READ_CHUNK, remote_pool_get_export(pool)->max_payload);

    /* Moves forward: a chunk is never empty. */
    while (length > 0) {
        RemoteRequest requests[MAX_CHUNKS] = { 0 };
        guint n = 0;

        for (; n < MAX_CHUNKS && length > 0; n++) {
            requests[n].offset = offset;
            requests[n].length = MIN(length, chunk);
            requests[n].buffer = buffer;
            offset += requests[n].length;
            buffer += requests[n].length;
            length -= requests[n].length;
        }
        if (!remote_pool_run(pool, requests, n, error))
            return FALSE;
    }
    return TRUE;
}

/* The head and the tail of the range may need widening; what lies between goes straight to its
 * place. */
gboolean
remote_ask_content(RemotePool *pool, guint64 offset, gsize length, guint8 *buffer, GError **error)
{
    const RemoteExport *export = remote_pool_get_export(pool);
    gsize into_block = offset % export->min_block;
    gsize head = into_block ? MIN(length, export->min_block - into_block) : 0;
    gsize middle = find_aligned_part(export, offset + head, length - head);
    gsize tail = length - head - middle;

    return (head == 0 || read_widened(pool, offset, head, buffer, error)) &&
           read_aligned(pool, offset + head, middle, buffer + head, error) &&
           (tail == 0 ||
            read_widened(pool, offset + head + middle, tail, buffer + head + middle, error));
}

gboolean
remote_ask_status(RemotePool *pool, guint64 offset, guint64 length, RemoteStatus *status,
                  RemoteCursor *out_cursor, GError **error)
{
    const RemoteExport *export = remote_pool_get_export(pool);
    RemoteRequest request = {
        .offset = offset,
        .length = MIN(length, MAX_STATUS),
        .status = status,
    };
    guint64 skip;
    guint32 values[REMOTE_MAX_CONTEXTS];

    widen(export, &request.offset, &request.length);
    request.length = MIN(request.length, MAX_STATUS);
    if (!remote_pool_run(pool, &request, 1, error))
        return FALSE;
    *out_cursor = (RemoteCursor){ .status = status, .n_contexts = export->contexts->len };
    skip = offset - request.offset;
    /* Moves forward: no extent is empty. */
    while (!status->wrong && skip > 0) {
        guint64 step = MIN(skip, remote_cursor_peek(out_cursor, values));

        if (step == 0)
            break;
        remote_cursor_advance(out_cursor, step);
        skip -= step;
    }
    if (!status->wrong && remote_cursor_peek(out_cursor, values) == 0)
        status->wrong = "it says nothing about it";
    return !status->wrong || remote_ask_throw(pool, request.offset, status->wrong, error);
}
