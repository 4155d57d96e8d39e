/* SPDX-License-Identifier: LGPL-2.1-or-later
 * activation.h - sockets that systemd, or who does as it does, hands over (sd_listen_fds(3)). */
#ifndef STRATA_ACTIVATION_H
#define STRATA_ACTIVATION_H

#include <glib.h>

typedef struct {
    int fd;     /* -1: taken */
    char *name; /* FileDescriptorName=; never NULL */
} HandedSocket;

/* Takes them from the environment, so that no other program finds them there; they are closed on
 * exec from now on. To be called once, before there are threads.
 * Returns: (transfer full): of HandedSocket, which is empty if there are none; NULL with @error.
 * Sockets that nobody took are closed with the array. */
GArray *activation_take(GError **error);

#endif
