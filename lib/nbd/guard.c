/* SPDX-License-Identifier: LGPL-2.1-or-later
 * guard.c - an end to negotiating with a server that talks without end.
 *
 * A reply to an option may have any number of parts, and libnbd goes on within one call as long as
 * there is something to read: who looks at the clock between two calls may never come to it. libnbd
 * tells each of its steps to whoever debugs it, and there they are counted. */
#include "nbd/guard.h"

#include <sys/socket.h>
#include <sys/stat.h>

/* A part of a reply takes about ten steps, and a negotiation needs a few dozens of parts; but a
 * part may come byte by byte, each with steps of its own. */
#define MAX_STEPS 100000

static gboolean
find_inode(int fd, guint64 *out_inode)
{
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
        return FALSE;
    *out_inode = st.st_ino;
    return TRUE;
}

void
remote_socket_note(RemoteSocket *socket, struct nbd_handle *nbd)
{
    int fd = nbd_aio_get_fd(nbd);

    socket->fd = find_inode(fd, &socket->inode) ? fd : -1;
}

gboolean
remote_socket_is_open(const RemoteSocket *socket)
{
    guint64 inode;

    return find_inode(socket->fd, &inode) && inode == socket->inode;
}

void
remote_guard_cut(RemoteGuard *guard, char *reason)
{
    if (guard->reason) {
        g_free(reason);
        return;
    }
    guard->reason = reason;
    if (remote_socket_is_open(guard->socket))
        shutdown(guard->socket->fd, SHUT_RDWR);
}

static int
on_step(void *user_data, const char *context, const char *message)
{
    RemoteGuard *guard = user_data;

    if (++guard->steps > MAX_STEPS)
        remote_guard_cut(guard, g_strdup("the server's answer to being connected to has no end"));
    return 0;
}

void
remote_guard_begin(RemoteGuard *guard, struct nbd_handle *nbd, RemoteSocket *socket)
{
    nbd_debug_callback callback = { .callback = on_step, .user_data = guard };

    *guard = (RemoteGuard){ .nbd = nbd, .socket = socket };
    socket->fd = -1;
    nbd_set_debug_callback(nbd, callback);
    nbd_set_debug(nbd, true);
}

void
remote_guard_end(RemoteGuard *guard)
{
    nbd_set_debug(guard->nbd, false);
    nbd_clear_debug_callback(guard->nbd);
    g_clear_pointer(&guard->reason, g_free);
}

void
remote_guard_note_progress(RemoteGuard *guard)
{
    guard->steps = 0;
}
