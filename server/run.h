/* SPDX-License-Identifier: LGPL-2.1-or-later
 * run.h - --run: a private socket, a shell command that uses it, its exit status. */
#ifndef STRATA_RUN_H
#define STRATA_RUN_H

#include <glib.h>
#include <sys/resource.h>

/* What the socket in that directory is called. */
#define RUN_SOCKET_NAME "socket"

/* A directory of our own for the socket, so short that the socket's path fits. Returns its path, or
 * NULL with @error. */
char *run_make_directory(GError **error);

typedef struct {
    const char *command; /* for sh -c */
    const char *uri;
    const char *socket; /* may be relative; NULL: served over TCP */
    const char *export_name;
    struct rlimit descriptors; /* RLIMIT_NOFILE as the user had it */
} RunSettings;

/* Starts the command. It gets a SIGTERM should this process die. Returns its pid, or 0. */
GPid run_start(const RunSettings *settings, GError **error);

/* The exit status of a shell for what waitpid() said: 128 + the signal if one ended it. */
int run_exit_status(int wait_status);

#endif
