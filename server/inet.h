/* SPDX-License-Identifier: LGPL-2.1-or-later
 * inet.h - addresses of the Internet, and networks of them. */
#ifndef STRATA_INET_H
#define STRATA_INET_H

#include <glib.h>

typedef struct {
    int family;       /* AF_INET or AF_INET6; AF_UNSPEC: none */
    guint8 bytes[16]; /* in network order; of AF_INET the first four */
} InetAddress;

/* All addresses whose first @n_bits are those of @address, which has no others set. */
typedef struct {
    InetAddress address;
    guint n_bits;
} InetNet;

/* @bytes: 4 of AF_INET, 16 of AF_INET6. An IPv4 address in IPv6 clothes (::ffff:0:0/96) is an IPv4
 * address. */
InetAddress inet_address_make(int family, gconstpointer bytes);

/* Returns FALSE for what is no address. */
gboolean inet_address_parse(const char *text, InetAddress *out_address);

char *inet_address_to_string(const InetAddress *address);

gboolean inet_address_is_any(const InetAddress *address);
gboolean inet_address_is_loopback(const InetAddress *address);
gboolean inet_address_is_link_local(const InetAddress *address);

/* @text: an address, or one and behind a slash how many of its bits count. Returns NULL, or what is
 * wrong with it. */
const char *inet_net_parse(const char *text, InetNet *out_net);

gboolean inet_net_has(const InetNet *net, const InetAddress *address);

#endif
