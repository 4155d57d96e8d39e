/* SPDX-License-Identifier: LGPL-2.1-or-later
 * option.h - one option of the handshake: its data, its replies, what it changes. */
#ifndef STRATA_OPTION_H
#define STRATA_OPTION_H

#include "contexts.h"
#include "exports.h"
#include "proto.h"

/* What option haggling settles. Constant in the transmission phase. */
typedef struct {
    StrataExports *exports; /* not owned */
    gboolean alone;         /* no further connection is accepted while this one lasts */
    gboolean fixed;         /* the client understands replies to options */
    gboolean no_zeroes;
    gboolean structured;

    ExportView *view; /* chosen by GO or EXPORT_NAME */

    /* The last NBD_OPT_SET_META_CONTEXT: for which export, seen how, and what it selected. The id
     * of a context is its place in the list, counted from 1. */
    char *meta_export;
    ExportView *meta_view;
    GPtrArray *contexts; /* Context; NULL for none */
} Negotiation;

void negotiation_init(Negotiation *negotiation, StrataExports *exports, gboolean alone);
void negotiation_clear(Negotiation *negotiation);
void negotiation_forget_contexts(Negotiation *negotiation);

/* The export's size and flags, as EXPORT_NAME and GO tell them. */
guint16 negotiation_transmission_flags(const Negotiation *negotiation);

/* An option as it arrived, how far it has been read, and the replies that it gets. */
typedef struct {
    guint32 number;
    const guint8 *data;
    guint32 length;
    guint32 position;
    GByteArray *replies; /* sent when the handler has returned */
    char *complaint; /* (nullable) owned: for the log: what the client could not have, and why */
} Option;

typedef enum {
    OPTION_NEXT,     /* go on haggling */
    OPTION_TRANSMIT, /* negotiation->view is set: enter the transmission phase */
    OPTION_CLOSE,    /* hang up */
} OptionResult;

typedef OptionResult (*OptionHandler)(Negotiation *negotiation, Option *option);

/* Each returns FALSE if the option's data ends before it, or is no string as proto.md has it. */
gboolean option_read_u16(Option *option, guint16 *out_value);
gboolean option_read_u32(Option *option, guint32 *out_value);
gboolean option_read_string(Option *option, guint32 length, char **out_text);
gboolean option_at_end(const Option *option);

void option_reply(Option *option, guint32 type, gconstpointer data, gsize size);
void option_ack(Option *option);
/* Returns OPTION_NEXT, so that check and return are one line. */
OptionResult option_refuse(Option *option, guint32 type, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* Has it logged why the client does not get what is there. */
void option_complain(Option *option, const char *why);

/* For an @error of exports_find(): complains of all but a name that leads nowhere. */
void option_complain_of_export(Option *option, const GError *error);
OptionResult option_refuse_export(Option *option, const GError *error);

/* Handles one option, known or not, whose data was read whole. */
OptionResult option_handle(Negotiation *negotiation, Option *option);

/* option-go.c */
OptionResult option_go_export_name(Negotiation *negotiation, Option *option);
OptionResult option_go_list(Negotiation *negotiation, Option *option);
OptionResult option_go_info(Negotiation *negotiation, Option *option);
OptionResult option_go_go(Negotiation *negotiation, Option *option);

/* option-meta.c */
OptionResult option_meta_list(Negotiation *negotiation, Option *option);
OptionResult option_meta_set(Negotiation *negotiation, Option *option);

#endif
