/* SPDX-License-Identifier: LGPL-2.1-or-later
 * option-go.c - the options that tell of exports and choose one: EXPORT_NAME, LIST, INFO, GO. */
#include "option.h"

#include <string.h>

/* What an NBD_OPT_INFO or NBD_OPT_GO asks to be told beyond NBD_INFO_EXPORT. */
typedef struct {
    char *name;
    gboolean wants_name;
    gboolean wants_description;
    gboolean wants_block_size;
} InfoQuery;

/* Contexts count only for the export that they were selected on. */
static void
forget_contexts_of_others(Negotiation *negotiation, const char *name)
{
    if (g_strcmp0(negotiation->meta_export, name) != 0)
        negotiation_forget_contexts(negotiation);
}

/* Contexts that were selected are about the graph as it was then; who goes on with that export gets
 * that graph, too. */
static ExportView *
find_export(const Negotiation *negotiation, const char *name, GError **error)
{
    if (negotiation->meta_view != NULL && g_strcmp0(negotiation->meta_export, name) == 0)
        return export_view_ref(negotiation->meta_view);
    return exports_find(negotiation->exports, negotiation->peer, name, error);
}

OptionResult
option_go_export_name(Negotiation *negotiation, Option *option)
{
    g_autoptr(ExportView) view = NULL;
    g_autofree char *name = NULL;
    g_autoptr(GError) error = NULL;
    NbdExportReply reply = { 0 };
    guint size = sizeof reply;

    /* There is no way to say no to this option but to hang up. */
    if (negotiation->mode == MODE_EXTENDED) {
        option_complain(option, "not after NBD_OPT_EXTENDED_HEADERS: hanging up");
        return OPTION_CLOSE;
    }
    if (!option_read_string(option, option->length, &name))
        return OPTION_CLOSE;
    view = find_export(negotiation, name, &error);
    if (view == NULL) {
        option_complain_of_export(negotiation, option, name, error);
        return OPTION_CLOSE;
    }
    forget_contexts_of_others(negotiation, name);
    reply.size = GUINT64_TO_BE(strata_node_get_size(view->node));
    reply.flags = GUINT16_TO_BE(negotiation_transmission_flags(negotiation, option->number));
    if (negotiation->no_zeroes)
        size -= sizeof reply.zeroes;
    g_byte_array_append(option->replies, (const guint8 *)&reply, size);
    negotiation->view = g_steal_pointer(&view);
    return OPTION_TRANSMIT;
}

/* What NBD_OPT_LIST is answered with. */
typedef struct {
    Negotiation *negotiation;
    Option *option;
    Turn turn;
} ListAnswer;

/* An ExportsFunc. */
static gboolean
reply_server(const char *name, const char *description, gpointer user_data)
{
    ListAnswer *answer = user_data;
    Option *option = answer->option;
    guint32 length = GUINT32_TO_BE((guint32)strlen(name));
    g_autoptr(GByteArray) data = g_byte_array_new();

    g_byte_array_append(data, (const guint8 *)&length, sizeof length);
    g_byte_array_append(data, (const guint8 *)name, (guint)strlen(name));
    g_byte_array_append(data, (const guint8 *)description, (guint)strlen(description));
    option_reply(option, NBD_REP_SERVER, data->data, data->len);
    return turn_continue(&answer->turn, answer->negotiation->taker) &&
           !negotiation_is_over(answer->negotiation);
}

/* Of exports_list(), before and while it reads or waits, for which nobody has a turn. */
static gboolean
is_over(gpointer user_data)
{
    ListAnswer *answer = user_data;

    turn_end(&answer->turn);
    return negotiation_is_over(answer->negotiation);
}

OptionResult
option_go_list(Negotiation *negotiation, Option *option)
{
    ListAnswer answer = { .negotiation = negotiation, .option = option };
    gboolean all_told;

    if (!option_at_end(option))
        return option_refuse(option, NBD_REP_ERR_INVALID, "NBD_OPT_LIST takes no data");
    all_told =
        exports_list(negotiation->exports, negotiation->peer, reply_server, is_over, &answer);
    turn_end(&answer.turn);
    if (!all_told)
        return option_refuse_shutdown(option);
    option_ack(option);
    return OPTION_NEXT;
}

static void
note_wish(InfoQuery *query, guint16 type)
{
    if (type == NBD_INFO_NAME)
        query->wants_name = TRUE;
    else if (type == NBD_INFO_DESCRIPTION)
        query->wants_description = TRUE;
    else if (type == NBD_INFO_BLOCK_SIZE)
        query->wants_block_size = TRUE;
}

static gboolean
read_query(Option *option, InfoQuery *query)
{
    guint32 name_length;
    guint16 n_types;

    if (!option_read_u32(option, &name_length) ||
        !option_read_string(option, name_length, &query->name) ||
        !option_read_u16(option, &n_types))
        return FALSE;
    for (guint i = 0; i < n_types; i++) {
        guint16 type;

        if (!option_read_u16(option, &type))
            return FALSE;
        note_wish(query, type);
    }
    return option_at_end(option);
}

static void
reply_info_text(Option *option, guint16 type, const char *text)
{
    guint16 type_be = GUINT16_TO_BE(type);
    g_autoptr(GByteArray) data = g_byte_array_new();

    g_byte_array_append(data, (const guint8 *)&type_be, sizeof type_be);
    g_byte_array_append(data, (const guint8 *)text, (guint)strlen(text));
    option_reply(option, NBD_REP_INFO, data->data, data->len);
}

static void
reply_block_size(Option *option)
{
    NbdInfoBlockSize info = {
        .type = GUINT16_TO_BE(NBD_INFO_BLOCK_SIZE),
        .minimum = GUINT32_TO_BE(NBD_MIN_BLOCK),
        .preferred = GUINT32_TO_BE(NBD_PREFERRED_BLOCK),
        .maximum = GUINT32_TO_BE(NBD_MAX_BLOCK),
    };

    option_reply(option, NBD_REP_INFO, &info, sizeof info);
}

static void
reply_infos(const Negotiation *negotiation, Option *option, const InfoQuery *query,
            const ExportView *view)
{
    NbdInfoExport info = {
        .type = GUINT16_TO_BE(NBD_INFO_EXPORT),
        .size = GUINT64_TO_BE(strata_node_get_size(view->node)),
        .flags = GUINT16_TO_BE(negotiation_transmission_flags(negotiation, option->number)),
    };

    option_reply(option, NBD_REP_INFO, &info, sizeof info);
    if (query->wants_name)
        reply_info_text(option, NBD_INFO_NAME, view->name);
    if (query->wants_description)
        reply_info_text(option, NBD_INFO_DESCRIPTION, view->description);
    if (query->wants_block_size)
        reply_block_size(option);
    option_ack(option);
}

/* The half that INFO and GO share. Returns: (transfer full) (nullable): the export; NULL when the
 * option was refused */
static ExportView *
tell_export(Negotiation *negotiation, Option *option)
{
    InfoQuery query = { 0 };
    gboolean valid = read_query(option, &query);
    g_autofree char *name = query.name;
    g_autoptr(GError) error = NULL;
    ExportView *view;

    if (!valid) {
        option_refuse(option, NBD_REP_ERR_INVALID, "%s: the data is malformed",
                      proto_option_name(option->number));
        return NULL;
    }
    view = find_export(negotiation, name, &error);
    if (view == NULL) {
        option_refuse_export(negotiation, option, name, error);
        return NULL;
    }
    if (option->number == NBD_OPT_GO)
        forget_contexts_of_others(negotiation, name);
    reply_infos(negotiation, option, &query, view);
    return view;
}

OptionResult
option_go_info(Negotiation *negotiation, Option *option)
{
    g_autoptr(ExportView) view G_GNUC_UNUSED = tell_export(negotiation, option);

    return OPTION_NEXT;
}

OptionResult
option_go_go(Negotiation *negotiation, Option *option)
{
    negotiation->view = tell_export(negotiation, option);
    return negotiation->view != NULL ? OPTION_TRANSMIT : OPTION_NEXT;
}
