/* SPDX-License-Identifier: LGPL-2.1-or-later
 * target.h - where an NBD server is, which of its exports is meant, and how patient we are. */
#ifndef STRATA_NBD_TARGET_H
#define STRATA_NBD_TARGET_H

#include "driver.h"

typedef enum {
    REMOTE_UNIX,
    REMOTE_INET,
    REMOTE_VSOCK,
} RemoteTransport;

/* Immutable once made. */
typedef struct {
    RemoteTransport transport;
    char *path; /* UNIX: absolute, because a server may change its directory */
    char *host; /* INET */
    char *port; /* INET: a number or the name of a service */
    guint32 cid, vsock_port;
    char *export;
    char *uri; /* the canonical one, for people */

    const struct _TlsCreds *creds; /* (nullable) of the policy, which the graph holds */
    char *certificates;            /* (nullable) the directory or PSK file of .creds, absolute */

    gint64 reconnect_usec; /* how long a request waits for a lost connection */
    gint64 open_usec;      /* how long opening tries again; 0: one attempt */
    gint64 answer_usec;    /* how long a server may be silent with requests before it */
    guint max_connections;
} RemoteTarget;

/* NULL-terminated: what a spec may say of an "nbd" node, and QEMU's keys that change nothing. */
extern const char *const remote_target_options[];
extern const char *const remote_target_ignored_options[];

/* Reads the options of @node's spec, and sets node->uri. NULL with @error: SPEC, UNSUPPORTED. */
RemoteTarget *remote_target_new(StrataNode *node, StrataOpener *opener, GError **error);

/* @target: (nullable) */
void remote_target_free(RemoteTarget *target);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RemoteTarget, remote_target_free)

#endif
