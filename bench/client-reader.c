/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-reader.c - one connection that reads with a number of requests in flight. */
#include "client-reader.h"

#include <inttypes.h>
#include <string.h>

#include "client-fail.h"
#include "client-reply.h"
#include "protocol/proto.h"

typedef struct {
    guint64 begin, end;
} ReaderPiece;

/* Steele, Lea, Flood: SplitMix64. Fast, and the same numbers everywhere. */
static guint64
random_number(guint64 *state)
{
    guint64 z = *state += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static guint64
next_offset(Reader *reader)
{
    guint64 offset = reader->next;

    if (reader->plan->is_random) {
        guint64 n = (reader->end - reader->begin) / reader->plan->bytes;

        return reader->begin + random_number(&reader->state) % n * reader->plan->bytes;
    }
    reader->next += reader->plan->bytes;
    if (reader->next >= reader->end)
        reader->next = reader->begin;
    return offset;
}

static gboolean
is_over(const Reader *reader)
{
    if (reader->n_wanted > 0 && reader->n_sent == reader->n_wanted)
        return TRUE;
    return clock_is_over(reader->plan->clock, reader->session.wire.received_at);
}

/* Cookies tell the place and count on, so that an old one is never taken for a new one. */
static void
send_request(Reader *reader, guint place)
{
    ReaderSlot *slot = &reader->slots[place];
    guint64 offset = next_offset(reader);
    Request request = { .type = NBD_CMD_READ,
                        .flags = reader->plan->dont_fragment ? NBD_CMD_FLAG_DF : 0,
                        .cookie = reader->n_sent * READER_MAX_DEPTH + place,
                        .offset = offset,
                        .length = MIN(reader->plan->bytes, reader->end - offset) };

    slot->cookie = request.cookie;
    slot->offset = request.offset;
    slot->length = request.length;
    slot->n_chunks = 0;
    slot->is_used = TRUE;
    g_array_set_size(slot->told, 0);
    request_queue(&reader->session, &request, &slot->sent_at);
    reader->n_sent++;
}

static ReaderSlot *
find_slot(Reader *reader, guint64 cookie)
{
    ReaderSlot *slot = &reader->slots[cookie % READER_MAX_DEPTH];

    if (!slot->is_used || slot->cookie != cookie)
        fail("a reply has the cookie %" PRIu64 ", which no request in flight has", cookie);
    return slot;
}

/* The piece that begins at @i and the one behind it, if they touch, become one. */
static void
join_pieces(GArray *told, guint i)
{
    ReaderPiece *piece = &g_array_index(told, ReaderPiece, i);

    if (i + 1 < told->len && piece[1].begin == piece->end) {
        piece->end = piece[1].end;
        g_array_remove_index(told, i + 1);
    }
}

/* Notes that a chunk told of @length bytes from @begin: fatal if they were told already. */
static void
note_piece(GArray *told, guint64 begin, guint64 length)
{
    ReaderPiece piece = { begin, begin + length };
    guint i = told->len;

    while (i > 0 && g_array_index(told, ReaderPiece, i - 1).begin >= piece.end)
        i--;
    if (i > 0 && g_array_index(told, ReaderPiece, i - 1).end > begin)
        fail("two chunks tell of the same bytes near 0x%" PRIx64, begin);
    g_array_insert_val(told, i, piece);
    join_pieces(told, i);
    if (i > 0)
        join_pieces(told, i - 1);
}

static void
check_piece(const Reader *reader, ReaderSlot *slot, guint64 begin, guint64 length)
{
    if (length == 0)
        fail("a chunk of no length at 0x%" PRIx64, begin);
    if (begin < slot->offset || begin - slot->offset > slot->length ||
        length > slot->length - (begin - slot->offset))
        fail("a chunk of %" PRIu64 " bytes at 0x%" PRIx64 " in reply to a read of %" PRIu64
             " at 0x%" PRIx64,
             length, begin, slot->length, slot->offset);
    if (++slot->n_chunks > 1 && reader->plan->dont_fragment)
        fail("more than one chunk in reply to a read at 0x%" PRIx64 " with NBD_CMD_FLAG_DF",
             slot->offset);
    note_piece(slot->told, begin, length);
}

static void
take_data(Reader *reader, guint64 offset, guint64 length)
{
    const ReaderPlan *plan = reader->plan;
    Wire *wire = &reader->session.wire;

    reader->n_bytes += length;
    if (!plan->has_digest && plan->file == NULL) {
        wire_skip(wire, length);
        return;
    }
    while (length > 0) {
        gsize n;
        const guint8 *data = wire_some(wire, MIN(length, WIRE_BUFFER), &n);

        if (plan->has_digest)
            content_digest_add(&reader->digest, offset, data, n);
        if (plan->file != NULL)
            content_file_compare(plan->file, offset, data, n);
        wire_take(wire, n);
        offset += n;
        length -= n;
    }
}

static void
take_data_chunk(Reader *reader, ReaderSlot *slot, const Reply *reply)
{
    guint64 offset;

    if (reply->length <= sizeof offset)
        fail("an NBD_REPLY_TYPE_OFFSET_DATA of %" PRIu64 " bytes", reply->length);
    memcpy(&offset, wire_need(&reader->session.wire, sizeof offset), sizeof offset);
    wire_take(&reader->session.wire, sizeof offset);
    offset = GUINT64_FROM_BE(offset);
    check_piece(reader, slot, offset, reply->length - sizeof offset);
    take_data(reader, offset, reply->length - sizeof offset);
}

static void
take_hole_chunk(Reader *reader, ReaderSlot *slot, const Reply *reply)
{
    NbdHole hole;

    if (reply->length != sizeof hole)
        fail("an NBD_REPLY_TYPE_OFFSET_HOLE of %" PRIu64 " bytes", reply->length);
    memcpy(&hole, wire_need(&reader->session.wire, sizeof hole), sizeof hole);
    wire_take(&reader->session.wire, sizeof hole);
    hole.offset = GUINT64_FROM_BE(hole.offset);
    hole.length = GUINT32_FROM_BE(hole.length);
    check_piece(reader, slot, hole.offset, hole.length);
    reader->n_bytes += hole.length;
    reader->n_hole_bytes += hole.length;
    if (reader->plan->file != NULL)
        content_file_compare(reader->plan->file, hole.offset, NULL, hole.length);
}

static void
take_payload(Reader *reader, ReaderSlot *slot, const Reply *reply)
{
    reader->n_chunks++;
    if (reply->is_simple) {
        check_piece(reader, slot, slot->offset, slot->length);
        take_data(reader, slot->offset, slot->length);
    } else if (reply->type == NBD_REPLY_TYPE_OFFSET_DATA) {
        take_data_chunk(reader, slot, reply);
    } else if (reply->type == NBD_REPLY_TYPE_OFFSET_HOLE) {
        take_hole_chunk(reader, slot, reply);
    } else if (reply->type != NBD_REPLY_TYPE_NONE) {
        fail("a chunk of type %u in reply to NBD_CMD_READ", reply->type);
    }
}

/* Nothing overlaps, so all is told if there is one piece of the right length. */
static void
finish_request(Reader *reader, ReaderSlot *slot)
{
    const ReaderPiece *piece = &g_array_index(slot->told, ReaderPiece, 0);

    if (slot->told->len != 1 || piece->end - piece->begin != slot->length)
        fail("the reply to a read of %" PRIu64 " bytes at 0x%" PRIx64 " does not tell all of them",
             slot->length, slot->offset);
    slot->is_used = FALSE;
    reader->n_done++;
    latency_add(&reader->latency, reader->session.wire.received_at - slot->sent_at);
}

static void
receive_reply(Reader *reader)
{
    Reply reply = reply_receive(&reader->session);
    ReaderSlot *slot = find_slot(reader, reply.cookie);
    Request request = { .type = NBD_CMD_READ, .offset = slot->offset, .length = slot->length };

    reply_check(&reader->session, &reply, &request);
    take_payload(reader, slot, &reply);
    if (!reply.is_done)
        return;
    finish_request(reader, slot);
    if (!is_over(reader))
        send_request(reader, (guint)(slot - reader->slots));
}

void
reader_run(Reader *reader)
{
    reader->next = reader->begin;
    for (guint i = 0; i < READER_MAX_DEPTH; i++)
        reader->slots[i].told = g_array_new(FALSE, FALSE, sizeof(ReaderPiece));
    for (guint i = 0; i < reader->plan->depth && !is_over(reader); i++)
        send_request(reader, i);
    while (reader->n_done < reader->n_sent)
        receive_reply(reader);
    for (guint i = 0; i < READER_MAX_DEPTH; i++)
        g_array_unref(reader->slots[i].told);
}
