#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that leave while their replies are under way, many at once: nothing of them stays."""
import contextlib
import struct

from hostile_case import (GONE, MIB, MODES, handshake_messages, in_parallel, leave,
                          plain_socket, request_message, seeded, tls_socket)
from nbd_client import BLOCK_STATUS, FLAG_DF, READ, SIMPLE

WAYS = ("close", "reset")


def mid_reply(connection, mode, with_flags, read, how):
    """Asks for more than a socket holds, reads a part of it and goes."""
    whole = FLAG_DF if mode != SIMPLE else 0
    requests = [request_message(mode, READ, at * MIB, 4 * MIB, whole) for at in range(3)]
    requests += [request_message(mode, BLOCK_STATUS, 0, MIB)] * 9
    data = b"".join(([struct.pack(">I", 3)] if with_flags else []) + handshake_messages(mode)
                    + requests)
    with contextlib.suppress(*GONE):
        connection.sendall(data)
        while read > 0:
            piece = connection.recv(min(read, 1 << 16))
            if not piece:
                break
            read -= len(piece)
    with contextlib.suppress(*GONE):
        leave(connection, how)
    connection.close()


def plan(numbers, count):
    return [(numbers.choice(MODES), numbers.choice((0, 30, 700, 5000, 100_000, 5 * MIB)),
             numbers.choice(WAYS)) for _ in range(count)]


def plain(server, numbers):
    in_parallel([lambda mode=mode, read=read, how=how:
                 mid_reply(plain_socket(server.path), mode, True, read, how)
                 for mode, read, how in plan(numbers, 90)], n_threads=16)


def within_tls(server, numbers):
    in_parallel([lambda mode=mode, read=read, how=how:
                 mid_reply(tls_socket(server), mode, False, read, how)
                 for mode, read, how in plan(numbers, 24)])


def mid_haggling(server, numbers):
    """Hundreds of options, and nobody who reads the replies."""
    options = struct.pack(">I", 3) + b"".join(handshake_messages(SIMPLE)[:1]) * 2000

    def one(how):
        connection = plain_socket(server.path)
        connection.settimeout(0.2)
        with contextlib.suppress(*GONE):
            connection.sendall(options)
        with contextlib.suppress(*GONE):
            leave(connection, how)
        connection.close()

    in_parallel([lambda how=numbers.choice(WAYS): one(how) for _ in range(16)], n_threads=16)


seeded(plain)
seeded(mid_haggling)
seeded(within_tls, tls=True)
