#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A session that ends after any of its bytes, by a close or a reset: the server goes on."""
import ssl

from hostile_case import (MODES, attack, in_parallel, option_message, plain_socket, seeded, session,
                          tls_socket)
from nbd_client import OPT_STARTTLS

WAYS = ("close", "reset", "drain")


def prefixes(whole, step=1):
    return [whole[:length] for length in range(0, len(whole) + 1, step)]


def plain(server, _numbers):
    for mode in MODES:
        in_parallel([lambda data=data, how=WAYS[len(data) % 3]:
                     attack(plain_socket(server.path), data, how)
                     for data in prefixes(b"".join(session(mode)))])
        server.unharmed(f"every prefix of a session, {mode}")


def client_hello():
    """The first bytes of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without an answer")


def before_tls_stands(server, numbers):
    """Cut, and changed, while TLS shakes hands."""
    start = b"\0\0\0\3" + option_message(OPT_STARTTLS)
    hello = client_hello()
    in_parallel([lambda data=data, how=WAYS[len(data) % 3]:
                 attack(plain_socket(server.path), start + data, how)
                 for data in prefixes(hello, 3)])
    server.unharmed("every prefix of a TLS handshake")
    changed = []
    for _ in range(60):
        data = bytearray(hello)
        for _ in range(3):
            data[numbers.randrange(len(data))] = numbers.randrange(256)
        changed.append(bytes(data))
    in_parallel([lambda data=data: attack(plain_socket(server.path), start + data, "drain")
                 for data in changed + [numbers.randbytes(500) for _ in range(20)]])
    server.unharmed("changed TLS handshakes")


def within_tls(server, _numbers):
    in_parallel([lambda data=data, how=WAYS[len(data) % 2]: attack(tls_socket(server), data, how)
                 for data in prefixes(b"".join(session(MODES[2], flags=False)), 9)])


seeded(plain)
seeded(before_tls_stands, tls=True)
seeded(within_tls, tls=True)
