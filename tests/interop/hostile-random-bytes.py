#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Random bytes at every stage, and sessions in which something was changed: the server goes on."""
import struct

from hostile_case import (MODES, attack, handshake_messages, in_parallel, option_message,
                          plain_socket, request_message, seeded, session, tls_socket)
from nbd_client import IHAVEOPT

OPTIONS = (0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 77)
COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 77)
BORDERS = (0, 1, 7, 8, 511, 512, 4096, 4097, 0xffff, 0x10000, 0x7fffffff, 0xffffffff)
WAYS = ("close", "reset", "drain")


def noise(numbers, most=3000):
    return numbers.randbytes(numbers.randrange(1, most))


def noise_at_a_stage(numbers, with_flags):
    """What is well up to somewhere, and noise from there on."""
    mode = numbers.choice(MODES)
    start = struct.pack(">I", 3) if with_flags else b""
    handshake = b"".join(handshake_messages(mode))
    stage = numbers.randrange(7)
    if stage == 0:
        return noise(numbers)
    if stage == 1:  # in place of an option
        return start + noise(numbers)
    if stage == 2:  # after an option's magic
        return start + struct.pack(">Q", IHAVEOPT) + noise(numbers)
    if stage == 3:  # in an option's data
        return start + b"".join(option_message(numbers.choice(OPTIONS), noise(numbers, 90))
                                for _ in range(20))
    if stage == 4:  # in place of a request
        return start + handshake + noise(numbers)
    if stage == 5:  # after a request's magic
        magic = request_message(mode, 0, 0, 0)[:4]
        return start + handshake + b"".join(magic + numbers.randbytes(24 + 4 * (mode == MODES[2]))
                                            for _ in range(9))
    requests = [request_message(mode, numbers.choice(COMMANDS), numbers.getrandbits(24),
                                numbers.randrange(5000), numbers.choice((0, 0, 4, 8, 32)),
                                noise(numbers, 5000)) for _ in range(9)]
    return start + handshake + b"".join(requests)


def mutate(numbers, data):
    """A few changes: a bit, a number at a border, a piece taken out, put in or said twice."""
    data = bytearray(data)
    for _ in range(numbers.randrange(1, 5)):
        at = numbers.randrange(len(data))
        end = at + numbers.randrange(1, 40)
        kind = numbers.randrange(6)
        if kind == 0:
            data[at] ^= 1 << numbers.randrange(8)
        elif kind < 3:
            width = numbers.choice((2, 4, 8))
            at -= at % 2
            data[at:at + width] = numbers.choice(BORDERS).to_bytes(8, "big")[-width:]
        elif kind == 3:
            del data[at:end]
        elif kind == 4:
            data[at:at] = numbers.randbytes(end - at)
        else:
            data[at:at] = data[at:end]
    return bytes(data)


def shuffled(numbers, with_flags):
    """Good messages in an order that makes no sense."""
    messages = session(numbers.choice(MODES), with_flags) + session(numbers.choice(MODES), False)
    start, rest = messages[:with_flags], messages[with_flags:]
    numbers.shuffle(rest)
    return b"".join(start + rest)


def attacks(numbers, with_flags, count):
    """[(bytes, how to leave), ...], decided before threads run, so that a seed says all."""
    found = []
    for _ in range(count):
        found.append(noise_at_a_stage(numbers, with_flags))
        found.append(mutate(numbers, b"".join(session(numbers.choice(MODES), with_flags))))
        if numbers.randrange(3) == 0:
            found.append(shuffled(numbers, with_flags))
    return [(data, numbers.choice(WAYS)) for data in found]


def plain(server, numbers):
    in_parallel([lambda data=data, how=how: attack(plain_socket(server.path), data, how)
                 for data, how in attacks(numbers, True, 250)])


def within_tls(server, numbers):
    in_parallel([lambda data=data, how=how: attack(tls_socket(server), data, how)
                 for data, how in attacks(numbers, False, 40)])


seeded(plain)
seeded(within_tls, tls=True)
