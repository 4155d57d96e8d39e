/* SPDX-License-Identifier: LGPL-2.1-or-later
 * option.c - the table of options, and what all handlers share: reading data to the byte, and
 * writing replies. */
#include "option.h"

#include <string.h>

void
negotiation_init(Negotiation *negotiation, StrataExports *exports, gboolean alone)
{
    *negotiation = (Negotiation){ .exports = exports, .alone = alone };
}

void
negotiation_forget_contexts(Negotiation *negotiation)
{
    g_clear_pointer(&negotiation->contexts, g_ptr_array_unref);
    g_clear_pointer(&negotiation->meta_view, export_view_free);
    g_clear_pointer(&negotiation->meta_export, g_free);
}

void
negotiation_clear(Negotiation *negotiation)
{
    negotiation_forget_contexts(negotiation);
    g_clear_pointer(&negotiation->view, export_view_free);
}

guint16
negotiation_transmission_flags(const Negotiation *negotiation)
{
    guint16 flags =
        NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_CACHE;

    /* A client that takes it as an invitation would wait for itself to leave. */
    if (!negotiation->alone)
        flags |= NBD_FLAG_CAN_MULTI_CONN;
    if (negotiation->structured)
        flags |= NBD_FLAG_SEND_DF;
    return flags;
}

static gboolean
read_bytes(Option *option, gpointer buffer, guint32 size)
{
    if (size > option->length - option->position)
        return FALSE;
    if (size > 0)
        memcpy(buffer, option->data + option->position, size);
    option->position += size;
    return TRUE;
}

gboolean
option_read_u16(Option *option, guint16 *out_value)
{
    guint16 value;

    if (!read_bytes(option, &value, sizeof value))
        return FALSE;
    *out_value = GUINT16_FROM_BE(value);
    return TRUE;
}

gboolean
option_read_u32(Option *option, guint32 *out_value)
{
    guint32 value;

    if (!read_bytes(option, &value, sizeof value))
        return FALSE;
    *out_value = GUINT32_FROM_BE(value);
    return TRUE;
}

gboolean
option_read_string(Option *option, guint32 length, char **out_text)
{
    g_autofree char *text = NULL;

    if (length > NBD_MAX_STRING)
        return FALSE;
    text = g_malloc0((gsize)length + 1);
    if (!read_bytes(option, text, length) || !g_utf8_validate_len(text, length, NULL))
        return FALSE;
    *out_text = g_steal_pointer(&text);
    return TRUE;
}

gboolean
option_at_end(const Option *option)
{
    return option->position == option->length;
}

void
option_reply(Option *option, guint32 type, gconstpointer data, gsize size)
{
    NbdOptionReplyHeader header = {
        .magic = GUINT64_TO_BE(NBD_OPTION_REPLY_MAGIC),
        .option = GUINT32_TO_BE(option->number),
        .type = GUINT32_TO_BE(type),
        .length = GUINT32_TO_BE((guint32)size),
    };

    g_byte_array_append(option->replies, (const guint8 *)&header, sizeof header);
    if (size > 0)
        g_byte_array_append(option->replies, data, (guint)size);
}

void
option_ack(Option *option)
{
    option_reply(option, NBD_REP_ACK, NULL, 0);
}

OptionResult
option_refuse(Option *option, guint32 type, const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list arguments;

    va_start(arguments, format);
    message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    option_reply(option, type, message, strlen(message));
    return OPTION_NEXT;
}

void
option_complain(Option *option, const char *why)
{
    g_free(option->complaint);
    option->complaint = g_strdup_printf("%s: %s", proto_option_name(option->number), why);
}

void
option_complain_of_export(Option *option, const GError *error)
{
    if (!g_error_matches(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND))
        option_complain(option, error->message);
}

OptionResult
option_refuse_export(Option *option, const GError *error)
{
    option_complain_of_export(option, error);
    return option_refuse(option, NBD_REP_ERR_UNKNOWN, "%s", error->message);
}

static OptionResult
handle_abort(Negotiation *negotiation, Option *option)
{
    option_ack(option); /* whatever data came with it */
    return OPTION_CLOSE;
}

static OptionResult
handle_structured_reply(Negotiation *negotiation, Option *option)
{
    if (!option_at_end(option))
        return option_refuse(option, NBD_REP_ERR_INVALID, "NBD_OPT_STRUCTURED_REPLY takes no data");
    negotiation->structured = TRUE;
    option_ack(option);
    return OPTION_NEXT;
}

static const struct {
    guint32 number;
    OptionHandler handle;
} handlers[] = {
    { NBD_OPT_EXPORT_NAME, option_go_export_name },
    { NBD_OPT_ABORT, handle_abort },
    { NBD_OPT_LIST, option_go_list },
    { NBD_OPT_INFO, option_go_info },
    { NBD_OPT_GO, option_go_go },
    { NBD_OPT_STRUCTURED_REPLY, handle_structured_reply },
    { NBD_OPT_LIST_META_CONTEXT, option_meta_list },
    { NBD_OPT_SET_META_CONTEXT, option_meta_set },
};

OptionResult
option_handle(Negotiation *negotiation, Option *option)
{
    for (gsize i = 0; i < G_N_ELEMENTS(handlers); i++)
        if (handlers[i].number == option->number)
            return handlers[i].handle(negotiation, option);
    return option_refuse(option, NBD_REP_ERR_UNSUP, "%s is not supported by this server",
                         proto_option_name(option->number));
}
