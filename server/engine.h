/* SPDX-License-Identifier: LGPL-2.1-or-later
 * engine.h - the NBD protocol engine: exports, listeners, start and stop. The one header of
 * server/ that plugins include: nbdkit-strata-plugin runs this engine inside nbdkit. */
#ifndef STRATA_ENGINE_H
#define STRATA_ENGINE_H

#include <strata/strata.h>
#include <sys/types.h>

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
 * the others are there when asked for. With this interface they are filled before the engine starts
 * and not changed afterwards; strata-nbd puts whole tables in their place (exports.h).
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
 * StrataEngineLimits: what clients may cost. 0 is no limit, where nothing else is said.
 *
 * @shared: connections at once; the others wait in the listen queue. With 1, clients are told that
 *   they cannot use several connections.
 * @max_connections: connections at once; the others are turned away
 * @max_connections_per_peer: the same, for those of one address (an IPv6 network of 64 bits) or
 *   virtual machine
 * @max_connections_per_user: the same, for those of one user through Unix sockets
 * @handshake_seconds: from being accepted to the transmission phase
 * @idle_seconds: without a byte in either direction, while no request is being carried out
 * @max_requests: that one connection has carried out at a time, the others wait; 0 is 1
 * @max_bytes: of memory for requests and replies in flight on one connection
 * @stop_seconds: for what is in flight when the engine stops; 0 is no time at all
 * @busy_poll_usec: for which a worker that has answered looks out for more before it sleeps, while
 * a processor is to spare; 0: it sleeps at once
 * @are_options: whether the log may call them by the options of strata-nbd
 */
typedef struct {
    guint shared;
    guint max_connections;
    guint max_connections_per_peer;
    guint max_connections_per_user;
    guint handshake_seconds;
    guint idle_seconds;
    guint max_requests;
    guint64 max_bytes;
    guint stop_seconds;
    guint busy_poll_usec;
    gboolean are_options;
} StrataEngineLimits;

/** strata_engine_limits_init: Sets the defaults, which strata-nbd(8) tells. */
void strata_engine_limits_init(StrataEngineLimits *limits);

/**
 * strata_engine_new:
 * @exports: (transfer full): what to serve
 * @limits: (nullable): copied; %NULL for the defaults
 */
StrataEngine *strata_engine_new(StrataExports *exports, const StrataEngineLimits *limits);

/** StrataTls: the server's side of TLS; only strata-nbd knows how to make one. */
typedef struct _StrataTls StrataTls;

/**
 * strata_engine_set_tls:
 * @tls: (nullable): not owned, outlives @engine; %NULL, which is the default: no TLS
 *
 * Before the engine starts.
 */
void strata_engine_set_tls(StrataEngine *engine, StrataTls *tls);

/** StrataAddress: where to listen. */
typedef struct _StrataAddress StrataAddress;

/**
 * strata_address_parse:
 * @text: unix:PATH, tcp:[HOST:]PORT with an IPv6 address in brackets, or vsock:[CID:]PORT. Without
 *   a host it is every interface, without a CID any; port 0 is any free one.
 * @error: %STRATA_ERROR_SPEC
 *
 * Reads only: whether one can listen there is not known yet.
 */
StrataAddress *strata_address_parse(const char *text, GError **error);
void strata_address_free(StrataAddress *address);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StrataAddress, strata_address_free)

/**
 * StrataSocketRights: who may connect to a Unix socket.
 *
 * @mode: permissions, -1: as the umask has it
 * @group: (gid_t)-1: as the directory has it
 */
typedef struct {
    int mode;
    gid_t group;
} StrataSocketRights;

/**
 * strata_engine_listen:
 * @rights: (nullable): of a Unix socket; nobody can connect before it has them
 * @error: %STRATA_ERROR_IO or %STRATA_ERROR_SPEC
 *
 * Binds and listens, besides where it listens already; a client may connect from now on, and is
 * served once the engine is started. A Unix socket that nobody listens on is replaced, anything
 * else at its path is an error.
 */
gboolean strata_engine_listen(StrataEngine *engine, const StrataAddress *address,
                              const StrataSocketRights *rights, GError **error);

/**
 * strata_engine_take_listener:
 * @fd: a stream socket that listens already; taken over on success. Its path, if it has one, is
 *   not removed at the end.
 * @error: %STRATA_ERROR_SPEC if it is nothing of the kind
 */
gboolean strata_engine_take_listener(StrataEngine *engine, int fd, GError **error);

/**
 * strata_engine_get_uri:
 * @export_name: which export
 *
 * Returns: (transfer full): the NBD URI (doc/uri.md) of that export on the first listener, with
 *   the port that was really bound; if TLS is required, with what libnbd needs for it
 */
char *strata_engine_get_uri(StrataEngine *engine, const char *export_name);

/**
 * strata_engine_list_uris:
 *
 * Returns: (transfer full): the URI of @export_name on each listener in order, none of them twice
 */
char **strata_engine_list_uris(StrataEngine *engine, const char *export_name);

/**
 * strata_engine_list_places:
 *
 * Returns: (transfer full): the same for people, who are told where a URI stands for every
 * interface
 */
char **strata_engine_list_places(StrataEngine *engine, const char *export_name);

/** strata_engine_is_on_network: whether TCP clients of other machines can come in, too */
gboolean strata_engine_is_on_network(StrataEngine *engine);

/** strata_engine_has_chosen_port: Returns: whether the system chose the port of any listener. */
gboolean strata_engine_has_chosen_port(StrataEngine *engine);

/**
 * strata_engine_get_socket:
 *
 * Returns: (nullable) (transfer full): the absolute path of the first listener on a Unix socket
 */
char *strata_engine_get_socket(StrataEngine *engine);

/**
 * StrataEngineIdleFunc: called, from a thread of the engine, whenever the last client of those that
 * entered transmission has left.
 */
typedef void (*StrataEngineIdleFunc)(gpointer user_data);
void strata_engine_set_idle_func(StrataEngine *engine, StrataEngineIdleFunc func,
                                 gpointer user_data);

/** StrataCounters: what an engine counts of its clients; strata-nbd's metrics. */
typedef struct _StrataCounters StrataCounters;

/**
 * strata_engine_get_counters:
 *
 * Returns: (transfer none): those of @engine, as long as it lives
 */
StrataCounters *strata_engine_get_counters(StrataEngine *engine);

/** strata_engine_start: begins to accept. */
gboolean strata_engine_start(StrataEngine *engine, GError **error);

/**
 * strata_engine_serve:
 * @fd: a connected stream socket in blocking mode; taken over
 *
 * Serves one client, without accepting any. The idle function is called when it has left, in
 * whatever phase.
 */
gboolean strata_engine_serve(StrataEngine *engine, int fd, GError **error);

/**
 * strata_engine_is_alive:
 *
 * Returns: whether the accepting thread has gone round since this was last asked, which makes it go
 *   round once more. To be asked by one thread, at least some milliseconds apart.
 */
gboolean strata_engine_is_alive(StrataEngine *engine);

/**
 * strata_engine_stop:
 *
 * Stops accepting, removes Unix sockets, refuses what clients ask for from now on (NBD_ESHUTDOWN)
 * and lets what is in flight finish for .stop_seconds; then closes every connection and gives its
 * threads two seconds more to end. May be called more than once.
 *
 * Returns: whether every thread has ended. One has not when it waits for storage that does not
 *   answer, such as a remote server that is gone: it ends when that does, or with the process.
 */
gboolean strata_engine_stop(StrataEngine *engine);

/**
 * strata_engine_hurry: Ends the time that strata_engine_stop() gives, in another thread: every
 * connection is closed now. Another call ends the two seconds as well.
 */
void strata_engine_hurry(StrataEngine *engine);

/** strata_engine_free: stops, waits for every thread however long it takes, and frees. */
void strata_engine_free(StrataEngine *engine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StrataEngine, strata_engine_free)

G_END_DECLS

#endif
