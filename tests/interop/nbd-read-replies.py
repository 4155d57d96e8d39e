#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads answer with data and holes, in one piece where asked, and refuse bad ranges."""
from nbd_case import CONTENT, MIB, SIZE, Workspace, equal, make_seed_images
from nbd_client import (CACHE, Client, EINVAL, FLAG_DF, FLAG_REQ_ONE, FLUSH, NONE, OFFSET_DATA,
                        OFFSET_HOLE, READ, error_of, put_together)

RANGES = ((0, SIZE), (0, 1), (SIZE - 1, 1), (MIB - 1, 2), (2 * MIB + 513, 3 * MIB),
          (3 * MIB, MIB), (65535, 2), (4 * MIB - 7, 14))


def structured(path):
    client = Client(path)
    client.use_structured()
    client.go()
    for offset, length in RANGES:
        data, kinds = put_together(client.command(READ, offset, length), offset, length)
        equal(data, CONTENT[offset:offset + length], f"read {length} at {offset}")
        equal(OFFSET_HOLE in kinds, 0 in data, f"zeros at {offset} come as holes")
        equal(OFFSET_DATA in kinds, any(data), f"data at {offset} comes as data")
        chunks = client.command(READ, offset, length, FLAG_DF)
        data, kinds = put_together(chunks, offset, length)
        equal(kinds, [OFFSET_DATA], f"DF at {offset} is one piece")
        equal(data, CONTENT[offset:offset + length], f"DF read {length} at {offset}")
    for command in (FLUSH, CACHE):
        length = SIZE if command == CACHE else 0
        equal(client.command(command, 0, length), [(NONE, b"")], f"command {command}")
    client.close()


def simple(path):
    client = Client(path).go()
    for offset, length in RANGES:
        equal(client.simple(READ, offset, length), (0, CONTENT[offset:offset + length]),
              f"simple read {length} at {offset}")
    equal(client.simple(READ, SIZE, 1), (EINVAL, b""), "beyond the end")
    equal(client.simple(READ, 0, 1, FLAG_DF), (EINVAL, b""), "DF needs structured replies")
    equal(client.simple(FLUSH), (0, b""), "flush")
    equal(client.simple(CACHE, 0, SIZE), (0, b""), "cache")
    client.close()


def refusals(path):
    client = Client(path)
    client.use_structured()
    client.go()
    for command, offset, length, flags in (
            (READ, 0, 0, 0), (READ, SIZE, 1, 0), (READ, SIZE - 1, 2, 0), (READ, 1 << 63, 1, 0),
            (READ, (1 << 64) - 1, 2, 0), (READ, 0, (32 << 20) + 1, 0), (READ, 0, 0xffffffff, 0),
            (READ, 0, 1, 1), (READ, 0, 1, FLAG_REQ_ONE), (READ, 0, 1, 1 << 15),
            (CACHE, 0, SIZE + 1, 0), (CACHE, 0, 1, FLAG_DF), (FLUSH, 1, 0, 0), (FLUSH, 0, 0, 1)):
        error, message, at = error_of(client.command(command, offset, length, flags))
        equal(error, EINVAL, f"{command} {offset} {length} {flags}")
        equal(bool(message), True, "the error has a message")
    equal(put_together(client.command(READ, 0, 4), 0, 4)[0], CONTENT[:4], "all still serves")
    client.close()


with Workspace() as work:
    path = work.serve(make_seed_images(work))
    structured(path)
    simple(path)
    refusals(path)
