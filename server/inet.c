/* SPDX-License-Identifier: LGPL-2.1-or-later
 * inet.c - addresses of the Internet, and networks of them. */
#include "inet.h"

#include <arpa/inet.h>
#include <string.h>

#define CLOTHES_BITS 96

static const guint8 clothes[CLOTHES_BITS / 8] = { [10] = 0xff, [11] = 0xff };

static gsize
n_bytes(const InetAddress *address)
{
    return address->family == AF_INET ? 4 : address->family == AF_INET6 ? 16 : 0;
}

InetAddress
inet_address_make(int family, gconstpointer bytes)
{
    InetAddress address = { .family = family };

    if (family == AF_INET6 && memcmp(bytes, clothes, sizeof clothes) == 0) {
        address.family = AF_INET;
        bytes = (const guint8 *)bytes + sizeof clothes;
    }
    memcpy(address.bytes, bytes, n_bytes(&address));
    return address;
}

/* As it is written, whatever it wears. */
static gboolean
parse_address(const char *text, InetAddress *out_address)
{
    static const int families[] = { AF_INET, AF_INET6 };

    for (gsize i = 0; i < G_N_ELEMENTS(families); i++) {
        *out_address = (InetAddress){ .family = families[i] };
        if (inet_pton(families[i], text, out_address->bytes) == 1)
            return TRUE;
    }
    *out_address = (InetAddress){ .family = AF_UNSPEC };
    return FALSE;
}

gboolean
inet_address_parse(const char *text, InetAddress *out_address)
{
    if (!parse_address(text, out_address))
        return FALSE;
    *out_address = inet_address_make(out_address->family, out_address->bytes);
    return TRUE;
}

char *
inet_address_to_string(const InetAddress *address)
{
    char text[INET6_ADDRSTRLEN] = "";

    (void)inet_ntop(address->family, address->bytes, text, sizeof text);
    return g_strdup(text);
}

gboolean
inet_address_is_any(const InetAddress *address)
{
    static const guint8 any[16];

    return memcmp(address->bytes, any, n_bytes(address)) == 0;
}

gboolean
inet_address_is_loopback(const InetAddress *address)
{
    static const guint8 loopback[16] = { [15] = 1 };

    if (address->family == AF_INET)
        return address->bytes[0] == IN_LOOPBACKNET;
    return memcmp(address->bytes, loopback, sizeof loopback) == 0;
}

/* RFC 3927 and RFC 4291, section 2.5.6. */
gboolean
inet_address_is_link_local(const InetAddress *address)
{
    const guint8 *bytes = address->bytes;

    if (address->family == AF_INET)
        return bytes[0] == 169 && bytes[1] == 254;
    return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

static gboolean
same_bits(const guint8 *a, const guint8 *b, guint n_bits)
{
    guint whole = n_bits / 8;

    if (memcmp(a, b, whole) != 0)
        return FALSE;
    return n_bits % 8 == 0 || (a[whole] ^ b[whole]) >> (8 - n_bits % 8) == 0;
}

static gboolean
has_bits_behind(const InetNet *net)
{
    InetNet cleared = *net;

    for (guint i = net->n_bits; i < n_bytes(&net->address) * 8; i++)
        cleared.address.bytes[i / 8] &= (guint8) ~(0x80 >> i % 8);
    return memcmp(cleared.address.bytes, net->address.bytes, sizeof net->address.bytes) != 0;
}

/* ::ffff:192.0.2.0/120 is a network of IPv4. */
static void
take_clothes_off(InetNet *net)
{
    InetAddress naked = inet_address_make(net->address.family, net->address.bytes);

    if (naked.family == net->address.family || net->n_bits < CLOTHES_BITS)
        return;
    net->address = naked;
    net->n_bits -= CLOTHES_BITS;
}

const char *
inet_net_parse(const char *text, InetNet *out_net)
{
    const char *slash = strchr(text, '/');
    g_autofree char *address = slash != NULL ? g_strndup(text, slash - text) : g_strdup(text);
    guint64 n_bits;

    if (!parse_address(address, &out_net->address))
        return "it is no address of IPv4 or IPv6";
    n_bits = n_bytes(&out_net->address) * 8;
    if (slash != NULL && !g_ascii_string_to_unsigned(slash + 1, 10, 0, n_bits, &n_bits, NULL))
        return "behind the slash there is no number of bits that such an address has";
    out_net->n_bits = (guint)n_bits;
    if (has_bits_behind(out_net))
        return "the address has bits set behind those that count";
    take_clothes_off(out_net);
    return NULL;
}

gboolean
inet_net_has(const InetNet *net, const InetAddress *address)
{
    return net->address.family == address->family &&
           same_bits(net->address.bytes, address->bytes, net->n_bits);
}
