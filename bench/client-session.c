/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-session.c - the handshake of a client: fixed newstyle, to NBD_OPT_GO. */
#include "client-session.h"

#include <string.h>

#include "client-fail.h"
#include "client-reply.h"
#include "protocol/proto.h"

#define MAX_OPTION_REPLY (64 * 1024)
#define DEFAULT_MOST     (32 * 1024 * 1024) /* where the server tells no maximum block size */

typedef struct {
    guint32 type;
    guint32 length;
    const guint8 *data; /* until the next reply */
} OptionReply;

static void
greet(Wire *wire)
{
    NbdGreeting greeting;
    guint32 flags = GUINT32_TO_BE(NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);
    guint16 needed = NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES;

    memcpy(&greeting, wire_need(wire, sizeof greeting), sizeof greeting);
    wire_take(wire, sizeof greeting);
    if (GUINT64_FROM_BE(greeting.magic) != NBD_MAGIC ||
        GUINT64_FROM_BE(greeting.option_magic) != NBD_OPTION_MAGIC)
        fail("the greeting is not that of a newstyle NBD server");
    if ((GUINT16_FROM_BE(greeting.flags) & needed) != needed)
        fail("the server knows no fixed newstyle without zeroes: handshake flags 0x%x",
             GUINT16_FROM_BE(greeting.flags));
    wire_queue(wire, &flags, sizeof flags, NULL);
}

static void
send_option(Wire *wire, guint32 option, const GByteArray *data)
{
    guint32 length = data != NULL ? data->len : 0;
    NbdOptionHeader header = { .magic = GUINT64_TO_BE(NBD_OPTION_MAGIC),
                               .option = GUINT32_TO_BE(option),
                               .length = GUINT32_TO_BE(length) };

    wire_queue(wire, &header, sizeof header, NULL);
    if (length > 0)
        wire_queue(wire, data->data, length, NULL);
}

/* A reply to @option that is no error; it is wire_take()n by the next call or by the caller. */
static OptionReply
receive_reply(Wire *wire, guint32 option)
{
    NbdOptionReplyHeader header;
    OptionReply reply;

    memcpy(&header, wire_need(wire, sizeof header), sizeof header);
    wire_take(wire, sizeof header);
    reply.type = GUINT32_FROM_BE(header.type);
    reply.length = GUINT32_FROM_BE(header.length);
    if (GUINT64_FROM_BE(header.magic) != NBD_OPTION_REPLY_MAGIC)
        fail("the reply to %s has a wrong magic", proto_option_name(option));
    if (GUINT32_FROM_BE(header.option) != option)
        fail("a reply to %s was expected, but one to option %u came", proto_option_name(option),
             GUINT32_FROM_BE(header.option));
    if (reply.length > MAX_OPTION_REPLY)
        fail("the reply to %s has %u bytes", proto_option_name(option), reply.length);
    reply.data = wire_need(wire, reply.length);
    wire_take(wire, reply.length); /* what was taken stays in place until more is received */
    if ((reply.type & 0x80000000u) != 0)
        fail("the server refuses %s with error 0x%x: %.*s", proto_option_name(option), reply.type,
             (int)reply.length, (const char *)reply.data);
    if (reply.type == NBD_REP_ACK && reply.length != 0)
        fail("NBD_REP_ACK to %s with %u bytes", proto_option_name(option), reply.length);
    return reply;
}

static void
agree(Wire *wire, guint32 option)
{
    guint32 type;

    send_option(wire, option, NULL);
    type = receive_reply(wire, option).type;
    if (type != NBD_REP_ACK)
        fail("the reply to %s has type %u", proto_option_name(option), type);
}

static void
append_u32(GByteArray *data, guint32 value)
{
    value = GUINT32_TO_BE(value);
    g_byte_array_append(data, (const guint8 *)&value, sizeof value);
}

static void
append_string(GByteArray *data, const char *text)
{
    append_u32(data, (guint32)strlen(text));
    g_byte_array_append(data, (const guint8 *)text, (guint)strlen(text));
}

static void
take_context(Session *session, char **names, gboolean *given, const OptionReply *reply)
{
    guint32 id;

    if (reply->type != NBD_REP_META_CONTEXT || reply->length < sizeof id)
        fail("the reply to NBD_OPT_SET_META_CONTEXT has type %u and %u bytes", reply->type,
             reply->length);
    memcpy(&id, reply->data, sizeof id);
    for (guint i = 0; names[i] != NULL; i++) {
        if (given[i] && session->context_ids[i] == GUINT32_FROM_BE(id))
            fail("two contexts have the id %u", GUINT32_FROM_BE(id));
        if (strlen(names[i]) == reply->length - sizeof id &&
            memcmp(names[i], reply->data + sizeof id, strlen(names[i])) == 0) {
            if (given[i])
                fail("the server gives context '%s' twice", names[i]);
            session->context_ids[i] = GUINT32_FROM_BE(id);
            given[i] = TRUE;
            return;
        }
    }
    fail("the server gives a context that was not asked for: '%.*s'",
         (int)(reply->length - sizeof id), (const char *)reply->data + sizeof id);
}

static void
select_contexts(Session *session, const char *export_name, char **names)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    g_autofree gboolean *given = g_new0(gboolean, g_strv_length(names));
    OptionReply reply;

    session->context_ids = g_new0(guint32, g_strv_length(names));
    append_string(data, export_name);
    append_u32(data, g_strv_length(names));
    for (guint i = 0; names[i] != NULL; i++)
        append_string(data, names[i]);
    if (data->len > WIRE_QUEUE)
        fail("the names of the contexts are too long");
    send_option(&session->wire, NBD_OPT_SET_META_CONTEXT, data);
    while (reply = receive_reply(&session->wire, NBD_OPT_SET_META_CONTEXT),
           reply.type != NBD_REP_ACK)
        take_context(session, names, given, &reply);
    for (guint i = 0; names[i] != NULL; i++)
        if (!given[i])
            fail("the server has no context '%s'", names[i]);
}

static void
take_info(Session *session, const OptionReply *reply, gboolean *has_export)
{
    guint16 type = 0;
    NbdInfoExport export;
    NbdInfoBlockSize sizes;

    if (reply->type != NBD_REP_INFO || reply->length < sizeof type)
        fail("the reply to NBD_OPT_GO has type %u and %u bytes", reply->type, reply->length);
    memcpy(&type, reply->data, sizeof type);
    type = GUINT16_FROM_BE(type);
    if ((type == NBD_INFO_EXPORT && reply->length != sizeof export) ||
        (type == NBD_INFO_BLOCK_SIZE && reply->length != sizeof sizes))
        fail("the information %u in reply to NBD_OPT_GO has %u bytes", type, reply->length);
    if (type == NBD_INFO_EXPORT) {
        memcpy(&export, reply->data, sizeof export);
        session->size = GUINT64_FROM_BE(export.size);
        session->flags = GUINT16_FROM_BE(export.flags);
        *has_export = TRUE;
        if ((session->flags & NBD_FLAG_HAS_FLAGS) == 0)
            fail("transmission flags 0x%x, without NBD_FLAG_HAS_FLAGS", session->flags);
    } else if (type == NBD_INFO_BLOCK_SIZE) {
        memcpy(&sizes, reply->data, sizeof sizes);
        session->least = GUINT32_FROM_BE(sizes.minimum);
        session->most = GUINT32_FROM_BE(sizes.maximum);
        if (session->least == 0 || (session->least & (session->least - 1)) != 0)
            fail("a minimum block size of %u", session->least);
    }
}

static void
go(Session *session, const char *export_name)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    const guint16 wanted[] = { GUINT16_TO_BE(1), GUINT16_TO_BE(NBD_INFO_BLOCK_SIZE) };
    gboolean has_export = FALSE;
    OptionReply reply;

    append_string(data, export_name);
    g_byte_array_append(data, (const guint8 *)wanted, sizeof wanted);
    send_option(&session->wire, NBD_OPT_GO, data);
    while (reply = receive_reply(&session->wire, NBD_OPT_GO), reply.type != NBD_REP_ACK)
        take_info(session, &reply, &has_export);
    if (!has_export)
        fail("NBD_OPT_GO was answered without NBD_INFO_EXPORT");
}

void
session_init(Session *session, int fd, const char *export_name, const SessionWants *wants)
{
    *session = (Session){ .mode = wants->mode, .least = 1, .most = DEFAULT_MOST };
    wire_init(&session->wire, fd);
    greet(&session->wire);
    if (wants->mode != SESSION_SIMPLE)
        agree(&session->wire, wants->mode == SESSION_EXTENDED ? NBD_OPT_EXTENDED_HEADERS
                                                              : NBD_OPT_STRUCTURED_REPLY);
    if (wants->contexts != NULL)
        select_contexts(session, export_name, wants->contexts);
    go(session, export_name);
}

void
session_open(Session *session, const Address *address, const SessionWants *wants)
{
    session_init(session, address_connect(address), address->export_name, wants);
}

void
session_close(Session *session)
{
    request_queue(session, &(Request){ .type = NBD_CMD_DISC }, NULL);
    wire_expect_end(&session->wire);
    wire_clear(&session->wire);
    g_clear_pointer(&session->context_ids, g_free);
}
