/* SPDX-License-Identifier: LGPL-2.1-or-later
 * listen-family.h - listening on one family of addresses each, for listen.c. */
#ifndef STRATA_LISTEN_FAMILY_H
#define STRATA_LISTEN_FAMILY_H

#include "listen.h"

#define LISTEN_BACKLOG 128

/* With a new socket; its fd is -1 and errno set if there is none. */
Listener *listener_new(AddressKind kind, int family);

/* Each as listener_add(). */
gboolean listen_unix(GPtrArray *listeners, const StrataAddress *address,
                     const StrataSocketRights *rights, GError **error);
gboolean listen_tcp(GPtrArray *listeners, const StrataAddress *address, GError **error);
gboolean listen_vsock(GPtrArray *listeners, const StrataAddress *address, GError **error);

#endif
