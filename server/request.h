/* SPDX-License-Identifier: LGPL-2.1-or-later
 * request.h - one request of the transmission phase. */
#ifndef STRATA_REQUEST_H
#define STRATA_REQUEST_H

#include "connection.h"

typedef struct {
    guint16 flags;
    guint16 type;
    guint64 handle; /* as it came: only ever sent back */
    guint64 offset;
    guint32 length;
} Request;

typedef enum {
    REQUEST_CAME,
    REQUEST_DISCONNECT, /* the client said good-bye */
    REQUEST_BROKEN,     /* the client left without, or makes no sense */
} RequestResult;

/* Reads the next request, and drops the payload of a write. The caller has the turn to read. */
RequestResult request_receive(Connection *connection, Request *out_request);

/* Returns 0 if @request can be carried out, else the NBD error and in @out_message (transfer
 * none) what is wrong. */
guint32 request_check(const Negotiation *negotiation, const Request *request,
                      const char **out_message);

#endif
