/* SPDX-License-Identifier: LGPL-2.1-or-later
 * activation.c - LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES. */
#include "activation.h"

#include "late-systemd.h"

#include <strata/strata.h>
#include <unistd.h>

static void
clear_socket(gpointer data)
{
    HandedSocket *handed = data;

    if (handed->fd >= 0)
        close(handed->fd);
    g_free(handed->name);
}

GArray *
activation_take(GError **error)
{
    GArray *sockets = g_array_new(FALSE, FALSE, sizeof(HandedSocket));
    g_autofree char **names = NULL; /* by malloc(), as GLib's memory is */
    int count;

    g_array_set_clear_func(sockets, clear_socket);
    if (g_getenv("LISTEN_FDS") == NULL)
        return sockets;
    if (!late_systemd_load(error)) {
        g_array_unref(sockets);
        return NULL;
    }
    count = sd_listen_fds_with_names(1, &names);
    for (int i = 0; i < count; i++) {
        HandedSocket handed = { .fd = SD_LISTEN_FDS_START + i, .name = names[i] };

        g_array_append_val(sockets, handed);
    }
    if (count >= 0)
        return sockets;
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                "the sockets of LISTEN_FDS cannot be taken: %s; expected as many descriptors as it "
                "says, from %d up, and as many names in LISTEN_FDNAMES",
                g_strerror(-count), SD_LISTEN_FDS_START);
    g_array_unref(sockets);
    return NULL;
}
