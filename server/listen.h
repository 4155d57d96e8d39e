/* SPDX-License-Identifier: LGPL-2.1-or-later
 * listen.h - listening sockets. */
#ifndef STRATA_LISTEN_H
#define STRATA_LISTEN_H

#include <glib.h>
#include <sys/types.h>

typedef struct {
    int fd;     /* non-blocking */
    char *path; /* of a Unix socket, absolute; else NULL */
    dev_t dev;  /* which file stands at the path, so that only ours is removed */
    ino_t inode;
    char *host; /* of a TCP socket, as a URI has it */
    guint port;
} Listener;

/* Closes it, and removes its Unix socket. */
void listener_free(Listener *listener);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Listener, listener_free)

Listener *listener_new_unix(const char *path, GError **error);

/* Adds a listener to @listeners (element-type Listener) for each address of @host: all on the same
 * port, or none at all. */
gboolean listener_add_tcp(GPtrArray *listeners, const char *host, const char *port, GError **error);

/* The NBD URI (uri.md) of @export_name there. Free with g_free(). */
char *listener_get_uri(const Listener *listener, const char *export_name);

#endif
