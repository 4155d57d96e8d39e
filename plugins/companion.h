/* SPDX-License-Identifier: LGPL-2.1-or-later
 * companion.h - strata's own NBD server inside nbdkit (contexts=ADDRESS): nbdkit negotiates no
 * metadata context but base:allocation, so the others are asked at this second endpoint. */
#ifndef STRATA_PLUGIN_COMPANION_H
#define STRATA_PLUGIN_COMPANION_H

#include <strata/strata.h>

/* There is one companion, as there is one plugin in a process. The calls in their order: */

/* Reads what strata_address_parse() does; opens nothing. A path may be relative to the directory in
 * which nbdkit was started. Without an address the calls below do nothing. */
gboolean companion_set_address(const char *address, GError **error);

/* Binds and listens, while nbdkit can still tell its user about failure. Exports of @graph: ""
 * with that @description (nullable), and "@NODE". Clients may connect from now on. */
gboolean companion_listen(StrataGraph *graph, const char *description, GError **error);

/* Where clients find it: an NBD URI. NULL if it does not listen. Free with g_free(). */
char *companion_get_uri(void);

/* Begins to serve; to be called after nbdkit has forked, because threads do not survive that. */
gboolean companion_start(GError **error);

/* Stops, joins every thread and removes the socket. May be called at any time, more than once. */
void companion_stop(void);

#endif
