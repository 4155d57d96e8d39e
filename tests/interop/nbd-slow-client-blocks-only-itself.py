#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many requests of many clients are in flight at once, and who does not read keeps only himself."""
import os
import random
import time

from nbd_case import CONTENT, MIB, SIZE, Workspace, check, equal, make_seed_images
from functions import in_parallel
from nbd_client import Client, DONE, OFFSET_DATA, READ


def count_threads(process):
    return len(os.listdir(f"/proc/{process.pid}/task"))


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


def wait_for_threads(process, number, why):
    deadline = time.monotonic() + 20
    while count_threads(process) > number:
        check(time.monotonic() < deadline,
              f"{count_threads(process)} threads instead of {number} {why}")
        time.sleep(0.05)


with Workspace() as work:
    path, process = work.serve_process(make_seed_images(work))
    first = Client(path).go()  # it is answered, so the server's own threads run by now
    at_rest = count_threads(process) - 1
    first.close()

    # A glutton who never reads an answer, and one who stops in the middle of the handshake.
    glutton = Client(path).go()
    for _ in range(40):
        glutton.send_request(READ, 0, MIB)
    silent = Client(path, flags=None)

    in_parallel([lambda: pipeline(path)] * 8)
    wait_for_threads(process, at_rest + 8 + 1, "with a glutton and a silent client")
    glutton.close()
    silent.close()
    idle = Client(path).go()
    equal(idle.simple(READ, 0, 5), (0, CONTENT[:5]), "a read")
    wait_for_threads(process, at_rest + 1, "with one idle client")
    idle.close()
    wait_for_threads(process, at_rest, "without clients")
