/* SPDX-License-Identifier: LGPL-2.1-or-later
 * client-address.h - where a server listens, and which export is meant. */
#ifndef STRATA_CLIENT_ADDRESS_H
#define STRATA_CLIENT_ADDRESS_H

#include <glib.h>
#include <stdbool.h>
#include <sys/socket.h>

typedef struct {
    struct sockaddr_storage socket;
    socklen_t length;
    char *export_name; /* owned, "" is the default export */
} Address;

/* Of nbd+unix:///NAME?socket=PATH, nbd://HOST[:PORT]/NAME, or the path of a Unix socket; what
 * cannot be understood is fatal. */
void address_init(Address *address, const char *uri);
void address_init_path(Address *address, const char *path);
void address_clear(Address *address);

/* A connected socket, or -1 with errno. */
int address_try(const Address *address);

/* The same, where everything but success is fatal. */
int address_connect(const Address *address);

#endif
