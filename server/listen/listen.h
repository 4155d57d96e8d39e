/* SPDX-License-Identifier: LGPL-2.1-or-later
 * listen.h - listening sockets. */
#ifndef STRATA_LISTEN_H
#define STRATA_LISTEN_H

#include "address.h"

#include <sys/types.h>

typedef struct {
    AddressKind kind;
    int fd;             /* non-blocking */
    gboolean is_chosen; /* the system chose the port */
    guint32 port;       /* of TCP and vsock */
    char *path;         /* of a Unix socket: absolute; "@NAME" if it is abstract (unix(7)) */
    dev_t dev;          /* which file stands at the path, so that only ours is removed */
    ino_t inode;        /* 0: not ours to remove */
    char *host;         /* of a TCP socket, as a URI has it */
    guint32 cid;        /* of a vsock socket */
} Listener;

/* Closes it, and removes its Unix socket. */
void listener_free(Listener *listener);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Listener, listener_free)

/* Binds and listens, and adds what came of it to @listeners (element-type Listener): one socket, or
 * with TCP one for each address of the host, all on the same port. On failure nothing is added.
 * @rights: of a Unix socket; NULL: as the umask has it */
gboolean listener_add(GPtrArray *listeners, const StrataAddress *address,
                      const StrataSocketRights *rights, GError **error);

/* A socket that listens already, made by somebody else, who removes its path. Takes @fd over if it
 * is one; NULL with @error: @fd is still the caller's. */
Listener *listener_new_from_fd(int fd, GError **error);

/* From where clients can come. */
typedef enum {
    REACH_MACHINE, /* and, by vsock, its virtual machines */
    REACH_NETWORK,
    REACH_EVERY_INTERFACE,
} ListenerReach;

ListenerReach listener_get_reach(const Listener *listener);

/* The NBD URI (uri.md) of @export_name there. Free with g_free(). */
char *listener_get_uri(const Listener *listener, const char *export_name);

#endif
