/* SPDX-License-Identifier: LGPL-2.1-or-later
 * cover.c - which bytes of a read a server has told (NBD protocol, "Structured reply chunk types":
 * the chunks of a read come in any order, do not overlap, and leave nothing out). */
#include "nbd/cover.h"

/* Pieces with gaps between them. A server may send its chunks in any order, but one that sends
 * crumbs all over the place is not worth the memory. */
#define MAX_PIECES 4096

typedef struct {
    guint64 start;
    guint64 end; /* after the last byte */
} CoverPiece;

void
remote_cover_clear(RemoteCover *cover)
{
    g_clear_pointer(&cover->pieces, g_array_unref);
    cover->wrong = NULL;
}

/* The index of the first piece that begins behind @offset. */
static guint
find_next(const GArray *pieces, guint64 offset)
{
    guint low = 0, high = pieces->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (g_array_index(pieces, CoverPiece, middle).start <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* @next: the index of the piece after @piece, which overlaps none */
static void
join(GArray *pieces, guint next, CoverPiece piece)
{
    CoverPiece *before = next > 0 ? &g_array_index(pieces, CoverPiece, next - 1) : NULL;
    CoverPiece *after = next < pieces->len ? &g_array_index(pieces, CoverPiece, next) : NULL;
    gboolean touches_after = after && after->start == piece.end;

    if (before && before->end == piece.start) {
        before->end = touches_after ? after->end : piece.end;
        if (touches_after)
            g_array_remove_index(pieces, next);
    } else if (touches_after) {
        after->start = piece.start;
    } else {
        g_array_insert_val(pieces, next, piece);
    }
}

void
remote_cover_add(RemoteCover *cover, guint64 offset, guint64 length)
{
    CoverPiece piece = { .start = offset, .end = offset + length };
    guint next;

    if (length == 0 || cover->wrong)
        return;
    if (!cover->pieces)
        cover->pieces = g_array_new(FALSE, FALSE, sizeof(CoverPiece));
    next = find_next(cover->pieces, offset);
    if ((next > 0 && g_array_index(cover->pieces, CoverPiece, next - 1).end > piece.start) ||
        (next < cover->pieces->len &&
         g_array_index(cover->pieces, CoverPiece, next).start < piece.end))
        cover->wrong = "it tells some bytes twice";
    else
        join(cover->pieces, next, piece);
    if (cover->pieces->len > MAX_PIECES)
        cover->wrong = "it comes in too many pieces";
}

const char *
remote_cover_find_fault(const RemoteCover *cover, guint64 offset, guint64 length)
{
    const CoverPiece *piece = cover->pieces && cover->pieces->len == 1
                                  ? &g_array_index(cover->pieces, CoverPiece, 0)
                                  : NULL;

    if (cover->wrong)
        return cover->wrong;
    return piece && piece->start == offset && piece->end == offset + length
               ? NULL
               : "it does not tell all of the bytes";
}
