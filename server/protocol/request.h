/* SPDX-License-Identifier: LGPL-2.1-or-later
 * request.h - one request of the transmission phase. */
#ifndef STRATA_REQUEST_H
#define STRATA_REQUEST_H

#include "engine/connection.h"

typedef struct {
    guint16 flags;
    guint16 type;
    guint64 handle; /* as it came: only ever sent back */
    guint64 offset;
    guint64 length; /* of the range, whatever came behind the header */
    guint64 came;   /* when; by counters_clock() */

    /* The payload of an NBD_CMD_BLOCK_STATUS: what is wrong with it, or which contexts it chooses,
     * each by its place in negotiation.contexts. None chosen: all of them are meant. */
    const char *fault;
    guint n_chosen;
    guint64 chosen[CONTEXTS_MAX_SELECTED / 64];
} Request;

typedef enum {
    REQUEST_CAME,
    REQUEST_DISCONNECT, /* the client said good-bye */
    REQUEST_BROKEN,     /* the client left without, or makes no sense */
} RequestResult;

/* Whether the next request has been received as far as request_receive() reads it, which then waits
 * for nothing. The caller has the turn to read. */
gboolean request_is_there(const Connection *connection);

/* How many have been received, if all are without payload. The caller has the turn to read. */
gsize request_count(const Connection *connection);

/* Reads the next request with its payload, which is dropped but for what it says of contexts. The
 * caller has the turn to read. */
RequestResult request_receive(Connection *connection, Request *out_request);

/* Whether a block status shall tell of the context at that place. */
gboolean request_chooses(const Request *request, guint place);

/* Returns 0 if @request can be carried out, else the NBD error and in @out_message (transfer
 * none) what is wrong. */
guint32 request_check(const Negotiation *negotiation, const Request *request,
                      const char **out_message);

#endif
