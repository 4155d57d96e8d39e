/* SPDX-License-Identifier: LGPL-2.1-or-later
 * engine.h - the NBD protocol engine: exports, listeners, start and stop. The one header of
 * server/ that plugins include: nbdkit-strata-plugin runs this engine inside nbdkit. */
#ifndef STRATA_ENGINE_H
#define STRATA_ENGINE_H

#include <strata/strata.h>

G_BEGIN_DECLS

/**
 * StrataExports: what may be served under which name.
 *
 * Each graph that is added has its own name, and NAME@NODE for its nodes: the image as seen from
 * that node down. Only a protocol leaf that merely stores what a format node keeps in it has none,
 * nor has a layer behind a server. NAME@NODE:SNAPSHOT is that image with an internal snapshot of
 * NODE in place of the disk of today, SNAPSHOT being its ID or else its name; it is opened when a
 * client asks for it, and closed when the last has left.
 *
 * Listed are the nodes of the path (strata_node_list_path()) and their snapshots, the first 1024;
 * the others are there when asked for. Filled before the engine starts and not changed afterwards.
 */
typedef struct _StrataExports StrataExports;

StrataExports *strata_exports_new(void);
void strata_exports_free(StrataExports *exports);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StrataExports, strata_exports_free)

/**
 * strata_exports_add:
 * @exports: the exports
 * @name: the export name, at most 4096 bytes of UTF-8; "" is the default export
 * @description: (nullable): what NBD_INFO_DESCRIPTION says of @name itself; %NULL for the chain in
 *   a line, as NAME@NODE always has it
 * @graph: what is served; a reference is taken
 * @error: %STRATA_ERROR_SPEC for a name that cannot be served or stands already
 *
 * Returns: whether it was added
 */
gboolean strata_exports_add(StrataExports *exports, const char *name, const char *description,
                            StrataGraph *graph, GError **error);

/**
 * exports_describe_chain:
 * @node: where a walk begins
 *
 * Returns: (transfer full): the chain that the walk goes down, in one line of bounded length
 */
char *exports_describe_chain(StrataNode *node);

/**
 * StrataEngine: listeners, connections, and the threads that serve them. All functions may be
 * called from any thread; it needs no main loop.
 */
typedef struct _StrataEngine StrataEngine;

/**
 * strata_engine_new:
 * @exports: (transfer full): what to serve
 * @max_clients: how many connections at once, the others wait in the listen queue; 0 for no limit.
 *   With 1, clients are told that they cannot use several connections.
 */
StrataEngine *strata_engine_new(StrataExports *exports, guint max_clients);

/**
 * strata_engine_listen_unix:
 * @path: of the socket; a socket nobody listens on is replaced, anything else there is an error
 * @error: %STRATA_ERROR_IO
 *
 * Binds and listens; a client may connect from now on, and is served once the engine is started.
 */
gboolean strata_engine_listen_unix(StrataEngine *engine, const char *path, GError **error);

/**
 * strata_engine_listen_tcp:
 * @host: (nullable): address, which may stand in brackets, or name to bind to; %NULL for every
 *   interface
 * @port: (nullable): service name or number, "0" for any free one; %NULL for 10809
 * @error: %STRATA_ERROR_IO or %STRATA_ERROR_SPEC
 */
gboolean strata_engine_listen_tcp(StrataEngine *engine, const char *host, const char *port,
                                  GError **error);

/**
 * strata_engine_get_uri:
 * @export_name: which export
 *
 * Returns: (transfer full): the NBD URI (doc/uri.md) of that export on the first listener, with
 *   the port that was really bound
 */
char *strata_engine_get_uri(StrataEngine *engine, const char *export_name);

/**
 * StrataEngineIdleFunc: called, from a thread of the engine, whenever the last client of those that
 * entered transmission has left.
 */
typedef void (*StrataEngineIdleFunc)(gpointer user_data);
void strata_engine_set_idle_func(StrataEngine *engine, StrataEngineIdleFunc func,
                                 gpointer user_data);

/** strata_engine_start: begins to accept. */
gboolean strata_engine_start(StrataEngine *engine, GError **error);

/**
 * strata_engine_stop:
 *
 * Stops accepting, removes Unix sockets, lets what is in flight finish for five seconds, then
 * closes every connection and gives its threads two more to end. May be called more than once.
 *
 * Returns: whether every thread has ended. One has not when it waits for storage that does not
 *   answer, such as a remote server that is gone: it ends when that does, or with the process.
 */
gboolean strata_engine_stop(StrataEngine *engine);

/** strata_engine_free: stops, waits for every thread however long it takes, and frees. */
void strata_engine_free(StrataEngine *engine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StrataEngine, strata_engine_free)

G_END_DECLS

#endif
