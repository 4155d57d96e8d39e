/* SPDX-License-Identifier: LGPL-2.1-or-later
 * option.h - one option of the handshake: its data, its replies, what it changes. */
#ifndef STRATA_OPTION_H
#define STRATA_OPTION_H

#include "contexts.h"
#include "engine/peer.h"
#include "engine/turnstile.h"
#include "exports/exports.h"
#include "observe/counters.h"
#include "proto.h"
#include "tls/tls.h"

/* Which messages the transmission phase is made of: replies in one piece; replies in chunks; the
 * same with 64-bit headers in both directions (NBD_OPT_EXTENDED_HEADERS). */
typedef enum {
    MODE_SIMPLE,
    MODE_STRUCTURED,
    MODE_EXTENDED,
} NegotiationMode;

/* What option haggling settles. Constant in the transmission phase. */
typedef struct {
    StrataExports *exports; /* not owned */
    const Peer *peer;       /* not owned */
    TurnTaker *taker;       /* not owned; NULL: nobody waits for turns */
    gboolean alone;         /* no further connection is accepted while this one lasts */
    gboolean fixed;         /* the client understands replies to options */
    gboolean no_zeroes;
    TlsMode tls_mode;
    NegotiationMode mode;

    ExportView *view;     /* chosen by GO or EXPORT_NAME */
    char *unknown_export; /* (nullable) owned: the last name that led nowhere */

    /* The last NBD_OPT_SET_META_CONTEXT: for which export, seen how, and what it selected. The id
     * of a context is its place in the list, counted from 1. */
    char *meta_export;
    ExportView *meta_view;
    GPtrArray *contexts; /* Context; NULL for none */

    /* For the counters, if it ends without an export. */
    gboolean aborted;      /* the client wished it so */
    RefusedReason refusal; /* what it was last refused for */
} Negotiation;

void negotiation_init(Negotiation *negotiation, StrataExports *exports, const Peer *peer,
                      gboolean alone);
void negotiation_clear(Negotiation *negotiation);
void negotiation_forget_contexts(Negotiation *negotiation);

/* Back to where the client's flags left it: what options have settled is forgotten. */
void negotiation_reset(Negotiation *negotiation);

/* The export's flags as an answer to @option tells them. */
guint16 negotiation_transmission_flags(const Negotiation *negotiation, guint32 option);

/* An option as it arrived, how far it has been read, and the replies that it gets. */
typedef struct {
    guint32 number;
    const guint8 *data;
    guint32 length;
    guint32 position;
    GByteArray *replies; /* sent when the handler has returned */
    char *complaint; /* (nullable) owned: for the log: what the client could not have, and why */
    char *asked;     /* (nullable) owned: the export that the complaint is about */
} Option;

typedef enum {
    OPTION_NEXT,      /* go on haggling */
    OPTION_START_TLS, /* the replies go out, then TLS begins, and the haggling anew */
    OPTION_TRANSMIT,  /* negotiation->view is set: enter the transmission phase */
    OPTION_CLOSE,     /* hang up */
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

/* For an @error of exports_find() with @name: complains of it, once in a row of one name that leads
 * nowhere, and notes where access rules keep the client out. option_refuse_export() tells the
 * client the kind of trouble, without what is the server's own: names of files. */
void option_complain_of_export(Negotiation *negotiation, Option *option, const char *name,
                               const GError *error);
OptionResult option_refuse_export(Negotiation *negotiation, Option *option, const char *name,
                                  const GError *error);

/* Whether the client is waited for no longer: what is long ends early. Any time. */
gboolean negotiation_is_over(const Negotiation *negotiation);

/* Forgets what @option was answered so far, and tells that the server shuts down. */
OptionResult option_refuse_shutdown(Option *option);

/* Handles one option, known or not, whose data was read whole. */
OptionResult option_handle(Negotiation *negotiation, Option *option);

/* option-go.c */
OptionResult option_go_export_name(Negotiation *negotiation, Option *option);
OptionResult option_go_list(Negotiation *negotiation, Option *option);
OptionResult option_go_info(Negotiation *negotiation, Option *option);
OptionResult option_go_go(Negotiation *negotiation, Option *option);

/* option-tls.c */
OptionResult option_tls_start(Negotiation *negotiation, Option *option);

/* Whether the option of that number has to wait for TLS; and the answer that it then gets. */
gboolean option_tls_is_missing(const Negotiation *negotiation, guint32 number);
OptionResult option_tls_demand(Option *option);

/* option-meta.c */
OptionResult option_meta_list(Negotiation *negotiation, Option *option);
OptionResult option_meta_set(Negotiation *negotiation, Option *option);

#endif
