/* SPDX-License-Identifier: LGPL-2.1-or-later
 * crowd.c - how many connections there are, in all and of each peer. */
#include "crowd.h"

#include <sys/socket.h>

#define IPV6_NETWORK_BYTES 8 /* 64 bits */

void
crowd_init(Crowd *crowd, const StrataEngineLimits *limits)
{
    gint64 now = g_get_monotonic_time();

    crowd->limits = limits;
    crowd->n_connections = 0;
    crowd->peers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    crowd->seed = g_random_int();
    for (guint i = 0; i < CROWD_KINDS; i++)
        crowd->tokens[i] = (Tokens){ .left = CROWD_TOKENS_MAX, .filled_at = now };
}

void
crowd_clear(Crowd *crowd)
{
    g_hash_table_unref(crowd->peers);
}

/* A host of the IPv6 Internet has as many addresses as it likes, all of one network of 64 bits. */
static gboolean
is_one_of_many(const Peer *peer)
{
    return peer->inet.family == AF_INET6 && !inet_address_is_loopback(&peer->inet) &&
           !inet_address_is_link_local(&peer->inet);
}

char *
crowd_make_key(const Peer *peer)
{
    const guint8 *bytes;

    if (!is_one_of_many(peer))
        return g_strdup(peer->host);
    bytes = peer->inet.bytes;
    return g_strdup_printf("%x:%x:%x:%x::/%d", bytes[0] << 8 | bytes[1], bytes[2] << 8 | bytes[3],
                           bytes[4] << 8 | bytes[5], bytes[6] << 8 | bytes[7],
                           IPV6_NETWORK_BYTES * 8);
}

static guint
peer_limit(const Crowd *crowd, const Peer *peer)
{
    return peer->kind == PEER_TCP || peer->kind == PEER_VSOCK
               ? crowd->limits->max_connections_per_peer
               : crowd->limits->max_connections_per_user;
}

/* FNV-1a, and then mixed, so that each bit of the seed counts. Nobody can look into it from
 * outside: all that a client can learn is that it was turned away. */
static guint
find_kind(const Crowd *crowd, const char *key)
{
    guint32 hash = 2166136261u ^ crowd->seed;

    for (const char *c = key; *c != '\0'; c++)
        hash = (hash ^ (guint8)*c) * 16777619u;
    hash = (hash ^ hash >> 16) * 0x85ebca6bu;
    return (hash ^ hash >> 13) % CROWD_KINDS;
}

static gboolean
take_token(Crowd *crowd, const char *key, gint64 now)
{
    Tokens *tokens = &crowd->tokens[find_kind(crowd, key)];

    tokens_grow(tokens, now, CROWD_TOKENS_PER_SECOND, CROWD_TOKENS_MAX);
    if (tokens->left < 1)
        return FALSE;
    tokens->left--;
    return TRUE;
}

/* What a limit is called where one can change it. */
static const char *
option(const Crowd *crowd, const char *name)
{
    return crowd->limits->are_options ? name : "";
}

RefusedReason
crowd_enter(Crowd *crowd, const Peer *peer, gint64 now, char **out_sentence)
{
    g_autofree char *key = crowd_make_key(peer);
    guint n_of_peer = GPOINTER_TO_UINT(g_hash_table_lookup(crowd->peers, key));
    guint most = crowd->limits->max_connections;
    guint most_of_peer = peer_limit(crowd, peer);

    if (most != 0 && crowd->n_connections >= most) {
        *out_sentence = g_strdup_printf("there are %u connections already%s", most,
                                        option(crowd, " (--max-connections)"));
        return REFUSED_LIMIT;
    }
    if (most_of_peer != 0 && n_of_peer >= most_of_peer) {
        *out_sentence = g_strdup_printf("there are %u connections from %s already%s", most_of_peer,
                                        key, option(crowd, " (--max-connections-per-peer)"));
        return REFUSED_PER_PEER;
    }
    if (!take_token(crowd, key, now)) {
        *out_sentence = g_strdup_printf("%s connects more than %d times a second and chooses no "
                                        "export",
                                        key, CROWD_TOKENS_PER_SECOND);
        return REFUSED_RATE;
    }
    crowd->n_connections++;
    g_hash_table_insert(crowd->peers, g_steal_pointer(&key), GUINT_TO_POINTER(n_of_peer + 1));
    return REFUSED_NONE;
}

void
crowd_serve(Crowd *crowd, const Peer *peer)
{
    g_autofree char *key = crowd_make_key(peer);

    crowd->tokens[find_kind(crowd, key)].left++;
}

void
crowd_leave(Crowd *crowd, const Peer *peer)
{
    g_autofree char *key = crowd_make_key(peer);
    guint n_of_peer = GPOINTER_TO_UINT(g_hash_table_lookup(crowd->peers, key));

    crowd->n_connections--;
    if (n_of_peer > 1)
        g_hash_table_insert(crowd->peers, g_steal_pointer(&key), GUINT_TO_POINTER(n_of_peer - 1));
    else
        g_hash_table_remove(crowd->peers, key);
}
