/* SPDX-License-Identifier: LGPL-2.1-or-later
 * remote.h - a connection to an NBD server while its options are still being negotiated. */
#ifndef STRATA_TOOL_REMOTE_H
#define STRATA_TOOL_REMOTE_H

#include <libnbd.h>

#include <strata/strata.h>

/* The most names that are kept of what a server lists, which must not fill our memory; more than
 * the contexts that strata-nbd lists for the biggest graph. */
#define REMOTE_MAX_NAMES 8192

typedef struct nbd_handle RemoteHandle;

/* Whether a command-line argument is an NBD URI and not a file. */
gboolean remote_is_uri(const char *text);

/* Connects to the server of @uri; the export is not entered yet. Returns NULL with @error set;
 * else for nbd_close(). */
RemoteHandle *remote_connect(const char *uri, GError **error);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RemoteHandle, nbd_close)

/* The metadata contexts that the server lists for the export, untrusted text; empty if it knows
 * none or does not tell. */
GPtrArray *remote_list_contexts(RemoteHandle *nbd);

/* The names of the layers in @contexts, untrusted text: the nth "strata:only:" is layer n. */
GPtrArray *remote_list_layers(GPtrArray *contexts);

/* Enters the export with those of @wanted that the server has. */
gboolean remote_enter(RemoteHandle *nbd, const char *const *wanted, GError **error);

/* Sets @error to what libnbd last said, after @what; returns FALSE. */
gboolean remote_throw(GError **error, const char *what);

#endif
