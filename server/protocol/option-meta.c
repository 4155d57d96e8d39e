/* SPDX-License-Identifier: LGPL-2.1-or-later
 * option-meta.c - listing and selecting metadata contexts. */
#include "option.h"

#include <string.h>

typedef struct {
    char *export_name;
    GPtrArray *queries;
} MetaRequest;

static void
meta_request_clear(MetaRequest *request)
{
    g_free(request->export_name);
    g_ptr_array_unref(request->queries);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MetaRequest, meta_request_clear)

static gboolean
read_counted_string(Option *option, char **out_text)
{
    guint32 length;

    return option_read_u32(option, &length) && option_read_string(option, length, out_text);
}

static gboolean
read_queries(Option *option, guint32 n_queries, GPtrArray *queries)
{
    for (guint32 i = 0; i < n_queries; i++) {
        char *query;

        if (!read_counted_string(option, &query))
            return FALSE;
        g_ptr_array_add(queries, query);
    }
    return option_at_end(option);
}

/* Returns FALSE when the option was refused. */
static gboolean
read_request(Option *option, MetaRequest *request)
{
    guint32 n_queries;

    if (!read_counted_string(option, &request->export_name) ||
        !option_read_u32(option, &n_queries)) {
        option_refuse(option, NBD_REP_ERR_INVALID, "%s: the data is malformed",
                      proto_option_name(option->number));
        return FALSE;
    }
    if (n_queries > CONTEXTS_MAX_SELECTED) {
        option_refuse(option, NBD_REP_ERR_TOO_BIG, "%s: %u queries, but %d are the limit",
                      proto_option_name(option->number), n_queries, CONTEXTS_MAX_SELECTED);
        return FALSE;
    }
    if (!read_queries(option, n_queries, request->queries)) {
        option_refuse(option, NBD_REP_ERR_INVALID, "%s: the queries are malformed",
                      proto_option_name(option->number));
        return FALSE;
    }
    return TRUE;
}

/* Returns: (nullable): the export that @request is about; NULL when the option was refused */
static ExportView *
find_export(Negotiation *negotiation, Option *option, const MetaRequest *request)
{
    g_autoptr(GError) error = NULL;
    ExportView *view =
        exports_find(negotiation->exports, negotiation->peer, request->export_name, &error);

    if (view == NULL)
        option_refuse_export(negotiation, option, request->export_name, error);
    return view;
}

/* A client that asks for a bitmap and gets none would not know why; the user shall. */
static void
complain_of_refused(const Negotiation *negotiation, Option *option, const ExportView *view,
                    GPtrArray *queries)
{
    g_autofree char *why =
        contexts_explain_refusal(view, queries, negotiation->mode == MODE_EXTENDED);

    if (why != NULL)
        option_complain(option, why);
}

static void
reply_context(Option *option, guint32 id, const Context *context)
{
    guint32 id_be = GUINT32_TO_BE(id);
    g_autoptr(GByteArray) data = g_byte_array_new();

    g_byte_array_append(data, (const guint8 *)&id_be, sizeof id_be);
    g_byte_array_append(data, (const guint8 *)context->name, (guint)strlen(context->name));
    option_reply(option, NBD_REP_META_CONTEXT, data->data, data->len);
}

OptionResult
option_meta_list(Negotiation *negotiation, Option *option)
{
    g_auto(MetaRequest) request = { .queries = g_ptr_array_new_with_free_func(g_free) };
    g_autoptr(ExportView) view = NULL;
    g_autoptr(GPtrArray) contexts = NULL;
    gboolean wide = negotiation->mode == MODE_EXTENDED;
    g_auto(Turn) turn = { 0 };

    if (!read_request(option, &request))
        return OPTION_NEXT;
    view = find_export(negotiation, option, &request);
    if (view == NULL)
        return OPTION_NEXT;
    if (!turn_begin(&turn, negotiation->taker))
        return option_refuse_shutdown(option);
    contexts = request.queries->len == 0 ? contexts_list(view, wide)
                                         : contexts_query(view, request.queries, wide);
    for (guint i = 0; i < contexts->len; i++)
        reply_context(option, 0, g_ptr_array_index(contexts, i));
    complain_of_refused(negotiation, option, view, request.queries);
    option_ack(option);
    return OPTION_NEXT;
}

OptionResult
option_meta_set(Negotiation *negotiation, Option *option)
{
    g_auto(MetaRequest) request = { .queries = g_ptr_array_new_with_free_func(g_free) };
    g_auto(Turn) turn = { 0 };

    /* What was selected before is replaced, even where this fails. */
    negotiation_forget_contexts(negotiation);
    if (negotiation->mode == MODE_SIMPLE)
        return option_refuse(option, NBD_REP_ERR_INVALID,
                             "NBD_OPT_SET_META_CONTEXT comes after NBD_OPT_STRUCTURED_REPLY");
    if (!read_request(option, &request))
        return OPTION_NEXT;
    negotiation->meta_view = find_export(negotiation, option, &request);
    if (negotiation->meta_view == NULL)
        return OPTION_NEXT;
    if (!turn_begin(&turn, negotiation->taker)) {
        negotiation_forget_contexts(negotiation);
        return option_refuse_shutdown(option);
    }
    negotiation->meta_export = g_steal_pointer(&request.export_name);
    negotiation->contexts = contexts_select(negotiation->meta_view, request.queries,
                                            negotiation->mode == MODE_EXTENDED);
    for (guint i = 0; i < negotiation->contexts->len; i++)
        reply_context(option, i + 1, g_ptr_array_index(negotiation->contexts, i));
    complain_of_refused(negotiation, option, negotiation->meta_view, request.queries);
    option_ack(option);
    return OPTION_NEXT;
}
