#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A thousand idle connections beside a busy one, within the memory that strata-nbd(8) states."""
import resource

from limits_case import IS_SANITIZED, check_memory, count_threads, private_bytes, wait_until
from nbd_case import CONTENT, MIB, Workspace, equal, make_seed_images
from nbd_client import Client, DONE, READ

IDLE = 1000
# What the manual states of each, and what is the busy one's.
IDLE_BYTES = 36 << 10
BUSY_BYTES = 32 * MIB

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * IDLE), hard))


def keep_busy(client):
    left = {client.send_request(READ, 0, MIB) for _ in range(20)}
    while left:
        flags, _, handle, _ = client.receive_chunk()
        if flags & DONE:
            left.remove(handle)


with Workspace() as work:
    path, process = work.serve_process(make_seed_images(work))
    busy = Client(path)
    busy.use_structured()
    busy.go()
    keep_busy(busy)
    before = private_bytes(process)
    idle = [Client(path).go() for _ in range(IDLE)]
    for client in idle[::100]:  # they have been busy once
        equal(client.simple(READ, 0, MIB), (0, CONTENT[:MIB]), "a read")
    for _ in range(20):
        keep_busy(busy)
        check_memory(process, before + IDLE * IDLE_BYTES + BUSY_BYTES, "idle ones and a busy one")
    wait_until(lambda: count_threads(process) < IDLE + 10, "a thread for each")
    wait_until(lambda: IS_SANITIZED or private_bytes(process) <= before + IDLE * IDLE_BYTES,
               "idle ones alone are within what is stated")
    equal(idle[-1].simple(READ, 0, 4), (0, CONTENT[:4]), "an idle one is served")
    for client in idle:
        client.close()
    wait_until(lambda: count_threads(process) < 20, "the idle ones have left")
    equal(busy.size, 10 * MIB, "the size")
    process.terminate()
    equal(process.wait(30), 0, "exit status")
