/* SPDX-License-Identifier: LGPL-2.1-or-later
 * option.c - the table of options, and what all handlers share: reading data to the byte, and
 * writing replies. */
#include "option.h"

#include <string.h>

void
negotiation_init(Negotiation *negotiation, StrataExports *exports, const Peer *peer, gboolean alone)
{
    *negotiation = (Negotiation){ .exports = exports, .peer = peer, .alone = alone };
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
    g_clear_pointer(&negotiation->unknown_export, g_free);
}

void
negotiation_reset(Negotiation *negotiation)
{
    negotiation_clear(negotiation);
    negotiation->mode = MODE_SIMPLE;
    negotiation->aborted = FALSE;
    negotiation->refusal = REFUSED_NONE;
}

gboolean
negotiation_is_over(const Negotiation *negotiation)
{
    const TurnTaker *taker = negotiation->taker;

    return taker != NULL && taker->is_unwanted(taker->data);
}

/* Whether a block status may choose among contexts: if there are any, as QEMU has it. An
 * NBD_OPT_INFO is told in advance. */
static gboolean
takes_status_payload(const Negotiation *negotiation, guint32 option)
{
    return negotiation->mode == MODE_EXTENDED &&
           (option == NBD_OPT_INFO ||
            (negotiation->contexts != NULL && negotiation->contexts->len > 0));
}

guint16
negotiation_transmission_flags(const Negotiation *negotiation, guint32 option)
{
    guint16 flags =
        NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_CACHE;

    /* A client that takes it as an invitation would wait for itself to leave. */
    if (!negotiation->alone)
        flags |= NBD_FLAG_CAN_MULTI_CONN;
    if (negotiation->mode != MODE_SIMPLE)
        flags |= NBD_FLAG_SEND_DF;
    if (takes_status_payload(negotiation, option))
        flags |= NBD_FLAG_BLOCK_STATUS_PAYLOAD;
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
    option_reply(option, type, message, proto_string_length(message));
    return OPTION_NEXT;
}

OptionResult
option_refuse_shutdown(Option *option)
{
    g_byte_array_set_size(option->replies, 0);
    return option_refuse(option, NBD_REP_ERR_SHUTDOWN, "the server is shutting down");
}

void
option_complain(Option *option, const char *why)
{
    g_free(option->complaint);
    option->complaint = g_strdup_printf("%s: %s", proto_option_name(option->number), why);
}

/* The client is told what it would be told of a name that leads nowhere; the log tells more. */
static void
note_kept_out(Negotiation *negotiation, Option *option, const char *name)
{
    g_autofree char *shown = strata_escape(name);
    g_autofree char *why = g_strdup_printf("its access rules keep the client from \"%s\"", shown);

    negotiation->refusal = REFUSED_ACCESS;
    option_complain(option, why);
}

/* A client asks for one name by several options. */
static void
note_unknown(Negotiation *negotiation, Option *option, const char *name)
{
    g_autofree char *shown = strata_escape(name);
    g_autofree char *why = g_strdup_printf("there is no export \"%s\"", shown);

    if (g_strcmp0(negotiation->unknown_export, name) == 0)
        return;
    g_free(negotiation->unknown_export);
    negotiation->unknown_export = g_strdup(name);
    option_complain(option, why);
}

void
option_complain_of_export(Negotiation *negotiation, Option *option, const char *name,
                          const GError *error)
{
    g_free(option->asked);
    option->asked = g_strdup(name);
    if (!g_error_matches(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND))
        option_complain(option, error->message);
    else if (exports_keep_out(negotiation->exports, negotiation->peer, name))
        note_kept_out(negotiation, option, name);
    else
        note_unknown(negotiation, option, name);
}

/* Why an export does not open, without the names of files. */
static const char *
describe_trouble(const GError *error)
{
    switch (error->code) {
    case STRATA_ERROR_POLICY:
        return "it names a file or server that it may not lead to";
    case STRATA_ERROR_LOCKED:
        return "somebody else has one of its files open to write";
    case STRATA_ERROR_DAMAGED:
        return "it is damaged";
    case STRATA_ERROR_UNSUPPORTED:
        return "it is of a kind that the server does not read";
    case STRATA_ERROR_REMOTE:
        return "a server that it stands on fails";
    case STRATA_ERROR_LIMIT:
        return "a limit of the server is reached";
    case STRATA_ERROR_CHANGED:
        return "its files are changing";
    case STRATA_ERROR_SPEC:
        return "it does not fit how the server is set up";
    default:
        return "one of its files cannot be opened or read";
    }
}

OptionResult
option_refuse_export(Negotiation *negotiation, Option *option, const char *name,
                     const GError *error)
{
    option_complain_of_export(negotiation, option, name, error);
    if (error->domain == EXPORTS_ERROR_HIDDEN)
        return option_refuse(option, NBD_REP_ERR_UNKNOWN,
                             "cannot open the image: the server's log has the reason");
    if (g_error_matches(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND))
        return option_refuse(option, NBD_REP_ERR_UNKNOWN, "%s", error->message);
    return option_refuse(option, NBD_REP_ERR_UNKNOWN,
                         "cannot open the image: %s; the server's log says more",
                         describe_trouble(error));
}

static OptionResult
handle_abort(Negotiation *negotiation, Option *option)
{
    negotiation->aborted = TRUE;
    option_ack(option); /* whatever data came with it */
    return OPTION_CLOSE;
}

static OptionResult
handle_structured_reply(Negotiation *negotiation, Option *option)
{
    if (!option_at_end(option))
        return option_refuse(option, NBD_REP_ERR_INVALID, "NBD_OPT_STRUCTURED_REPLY takes no data");
    if (negotiation->mode == MODE_EXTENDED)
        return option_refuse(option, NBD_REP_ERR_EXT_HEADER_REQD,
                             "NBD_OPT_EXTENDED_HEADERS was agreed on and stands");
    if (negotiation->mode == MODE_STRUCTURED)
        return option_refuse(option, NBD_REP_ERR_INVALID,
                             "NBD_OPT_STRUCTURED_REPLY was agreed on already");
    negotiation->mode = MODE_STRUCTURED;
    option_ack(option);
    return OPTION_NEXT;
}

static OptionResult
handle_extended_headers(Negotiation *negotiation, Option *option)
{
    if (!option_at_end(option))
        return option_refuse(option, NBD_REP_ERR_INVALID, "NBD_OPT_EXTENDED_HEADERS takes no data");
    if (negotiation->mode == MODE_EXTENDED)
        return option_refuse(option, NBD_REP_ERR_INVALID,
                             "NBD_OPT_EXTENDED_HEADERS was agreed on already");
    negotiation->mode = MODE_EXTENDED;
    option_ack(option);
    return OPTION_NEXT;
}

static const struct {
    guint32 number;
    OptionHandler handle;
} handlers[] = {
    { NBD_OPT_EXPORT_NAME, option_go_export_name },
    { NBD_OPT_ABORT, handle_abort },
    { NBD_OPT_STARTTLS, option_tls_start },
    { NBD_OPT_LIST, option_go_list },
    { NBD_OPT_INFO, option_go_info },
    { NBD_OPT_GO, option_go_go },
    { NBD_OPT_STRUCTURED_REPLY, handle_structured_reply },
    { NBD_OPT_LIST_META_CONTEXT, option_meta_list },
    { NBD_OPT_SET_META_CONTEXT, option_meta_set },
    { NBD_OPT_EXTENDED_HEADERS, handle_extended_headers },
};

OptionResult
option_handle(Negotiation *negotiation, Option *option)
{
    if (option_tls_is_missing(negotiation, option->number)) {
        negotiation->refusal = REFUSED_TLS;
        return option_tls_demand(option);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(handlers); i++)
        if (handlers[i].number == option->number)
            return handlers[i].handle(negotiation, option);
    return option_refuse(option, NBD_REP_ERR_UNSUP, "%s is not supported by this server",
                         proto_option_name(option->number));
}
