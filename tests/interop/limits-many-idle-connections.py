#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A thousand idle connections beside a busy one, within the memory that strata-nbd(8) states."""
import resource

from limits_case import IS_SANITIZED, check_memory, count_threads, private_bytes, wait_until
from nbd_case import CONTENT, MIB, Workspace, equal, make_seed_images
from nbd_client import BLOCK_STATUS, Client, DONE, OPT_SET_META, READ

IDLE = 1000
BUSY_AT_ONCE = 50  # of those that are idle before and afterwards
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


def enter(path):
    client = Client(path)
    client.use_structured()
    client.meta(OPT_SET_META, "", "base:allocation", "qemu:allocation-depth")
    return client.go()


def be_busy_once(clients):
    for client in clients:
        for i in range(12):
            client.send_request(READ, i % 8 * MIB, MIB)
            client.send_request(BLOCK_STATUS, 0, 10 * MIB)
            client.send_request(READ, i * 4096, 4096)
    for client in clients:
        while client.in_flight:
            client.receive_chunk()


with Workspace() as work:
    path, process = work.serve_process(make_seed_images(work))
    busy = enter(path)
    keep_busy(busy)
    before = private_bytes(process)
    idle = [enter(path) for _ in range(IDLE)]
    for at in range(0, IDLE // 2, BUSY_AT_ONCE):
        be_busy_once(idle[at:at + BUSY_AT_ONCE])
    wait_until(lambda: IS_SANITIZED or private_bytes(process) <= before + IDLE * IDLE_BYTES,
               "what they were busy with is given back")
    for _ in range(20):
        keep_busy(busy)
        check_memory(process, before + IDLE * IDLE_BYTES + BUSY_BYTES, "idle ones and a busy one")
    wait_until(lambda: count_threads(process) < IDLE + 10, "a thread for each")
    wait_until(lambda: IS_SANITIZED or private_bytes(process) <= before + IDLE * IDLE_BYTES,
               "idle ones alone are within what is stated")
    equal(idle[-1].read(0, 4), CONTENT[:4], "an idle one is served")
    for client in idle:
        client.close()
    wait_until(lambda: count_threads(process) < 20, "the idle ones have left")
    equal(busy.size, 10 * MIB, "the size")
    process.terminate()
    equal(process.wait(30), 0, "exit status")
