/* SPDX-License-Identifier: LGPL-2.1-or-later
 * sandbox-needs.h - what the server still has to do once it is confined: the rules of the sandbox
 * are made from this, and from nothing else. */
#ifndef STRATA_SANDBOX_NEEDS_H
#define STRATA_SANDBOX_NEEDS_H

#include <strata/strata.h>
#include <sys/types.h>

/* All zero: nothing but to serve what is open on sockets that are open. */
typedef struct {
    GPtrArray *readable;  /* (nullable) (element-type utf8): files, and folders with all beneath */
    GPtrArray *removable; /* (nullable) (element-type utf8): folders where files are removed at the
                             end: a socket, the pid file */
    GPtrArray *emptied;   /* (nullable) (element-type utf8): folders where folders are removed */
    GArray *ports;        /* (nullable) (element-type guint64): of TCP servers that are layers */
    gboolean any_server;  /* which servers will be layers shows later only */
    gboolean uses_unix;   /* some server is, or may be, at a socket with a path */
    gboolean uses_ip;     /* likewise elsewhere */
    gboolean uses_vsock;  /* likewise on another machine of this host */
    gboolean has_keys;    /* there is key material in memory */
    pid_t child;          /* the command of --run, which may have to be ended; 0: none */
} SandboxNeeds;

void sandbox_needs_clear(SandboxNeeds *needs);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SandboxNeeds, sandbox_needs_clear)

/* A file that is read later, or a folder in which files are. @path: (nullable): nothing is added */
void sandbox_needs_read(SandboxNeeds *needs, const char *path);

/* As above, for the folder that @path is in, and the one that it leads to by symbolic links: an
 * image and its neighbours. Where it leads to a device, that alone. */
void sandbox_needs_read_around(SandboxNeeds *needs, const char *path);

/* A file, and a folder, that is removed when the server ends. @path: (nullable) */
void sandbox_needs_remove(SandboxNeeds *needs, const char *path);
void sandbox_needs_remove_dir(SandboxNeeds *needs, const char *path);

/* A server that is a layer. @uri: as "nbd" nodes have it (NBD's uri.md) */
void sandbox_needs_add_server(SandboxNeeds *needs, const char *uri);

/* The servers that @graph stands on: its layers reconnect to them. */
void sandbox_needs_add_graph(SandboxNeeds *needs, StrataGraph *graph);

/* What is lent to images: @objects: (nullable): as strata_policy_add_object() takes them. The files
 * of TLS credentials are read at each connection. */
void sandbox_needs_add_objects(SandboxNeeds *needs, char **objects);

/* Images that are not open yet may stand on any server. */
void sandbox_needs_any_server(SandboxNeeds *needs);

#endif
