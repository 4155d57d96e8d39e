#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many requests of many clients are in flight at once, and who does not read keeps only himself."""
import random

from nbd_case import CONTENT, MIB, SIZE, Workspace, equal, make_seed_images
from functions import count_workers, in_parallel, wait_until
from nbd_client import Client, DONE, OFFSET_DATA, READ


def pipeline(path):
    """Fifty reads at once, answered in any order, chunks interleaved."""
    client = Client(path)
    client.use_structured()
    client.go()
    wanted = {}
    for _ in range(50):
        offset, length = random.randrange(SIZE - 99999), random.randint(1, 99999)
        wanted[client.send_request(READ, offset, length)] = (offset, bytearray(length))
    done = 0
    while done < len(wanted):
        flags, kind, handle, payload = client.receive_chunk()
        offset, data = wanted[handle]
        start = int.from_bytes(payload[:8], "big") - offset
        if kind == OFFSET_DATA:
            data[start:start + len(payload) - 8] = payload[8:]
        done += flags & DONE
    for offset, data in wanted.values():
        equal(bytes(data), CONTENT[offset:offset + len(data)], f"read at {offset}")
    client.close()


with Workspace() as work:
    path, process = work.serve_process(make_seed_images(work))
    # A glutton who never reads an answer, and one who stops in the middle of the handshake.
    glutton = Client(path).go()
    for _ in range(40):
        glutton.send_request(READ, 0, MIB)
    silent = Client(path, flags=None)

    in_parallel([lambda: pipeline(path)] * 8)
    wait_until(lambda: count_workers(process) == 8 + 1, "threads of a glutton and a silent client")
    glutton.close()
    silent.close()
    idle = Client(path).go()
    equal(idle.simple(READ, 0, 5), (0, CONTENT[:5]), "a read")
    wait_until(lambda: count_workers(process) == 0, "an idle client has no thread")
    equal(idle.simple(READ, 0, 5), (0, CONTENT[:5]), "its next read")
    idle.close()
    wait_until(lambda: count_workers(process) == 0, "no thread is left")
