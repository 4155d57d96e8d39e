/* SPDX-License-Identifier: LGPL-2.1-or-later
 * option-tls.c - STARTTLS, and what may be said without it (proto.md, "TLS support"). */
#include "protocol/option.h"

static gboolean
is_encrypted(const Negotiation *negotiation)
{
    return negotiation->peer != NULL && negotiation->peer->is_encrypted;
}

gboolean
option_tls_is_missing(const Negotiation *negotiation, guint32 number)
{
    return negotiation->tls_mode == TLS_REQUIRE && !is_encrypted(negotiation) &&
           number != NBD_OPT_STARTTLS && number != NBD_OPT_ABORT;
}

/* The same for every option and every name: nothing was looked up. */
OptionResult
option_tls_demand(Option *option)
{
    if (option->number != NBD_OPT_EXPORT_NAME)
        return option_refuse(option, NBD_REP_ERR_TLS_REQD,
                             "this server wants TLS: NBD_OPT_STARTTLS has to come first");
    option_complain(option, "the client has not begun TLS, which --tls=require wants");
    return OPTION_CLOSE; /* the option has no other answer */
}

OptionResult
option_tls_start(Negotiation *negotiation, Option *option)
{
    if (!option_at_end(option))
        return option_refuse(option, NBD_REP_ERR_INVALID, "NBD_OPT_STARTTLS takes no data");
    if (is_encrypted(negotiation))
        return option_refuse(option, NBD_REP_ERR_INVALID, "TLS has begun already");
    if (negotiation->tls_mode == TLS_OFF)
        return option_refuse(option, NBD_REP_ERR_POLICY, "this server has no TLS");
    option_ack(option);
    return OPTION_START_TLS;
}
