#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A thousand idle connections beside a busy one, within the memory that strata-nbd(8) states."""
import resource

from limits_case import IS_SANITIZED, check_memory, count_workers, private_bytes, wait_until
from nbd_case import CONTENT, MIB, Workspace, equal, make_seed_images
from nbd_client import BLOCK_STATUS, Client, DONE, OPT_SET_META, READ

IDLE = 1000
BUSY_AT_ONCE = 50  # of those that are idle before and afterwards
# What the manual states of each, and what is the busy one's.
IDLE_BYTES = 28 << 10
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


def have_all_rest(process, bound):
    wait_until(lambda: count_workers(process) == 0, "who asks for nothing has no thread")
    wait_until(lambda: IS_SANITIZED or private_bytes(process) <= bound,
               "idle ones are within what is stated")


with Workspace() as work:
    path, process = work.serve_process(make_seed_images(work))
    busy = enter(path)
    keep_busy(busy)
    before = private_bytes(process)
    idle = [enter(path) for _ in range(IDLE)]
    have_all_rest(process, before + IDLE * IDLE_BYTES)
    for at in range(0, IDLE // 2, BUSY_AT_ONCE):
        be_busy_once(idle[at:at + BUSY_AT_ONCE])
    have_all_rest(process, before + IDLE * IDLE_BYTES)
    for _ in range(20):
        keep_busy(busy)
        check_memory(process, before + IDLE * IDLE_BYTES + BUSY_BYTES, "idle ones and a busy one")
    have_all_rest(process, before + IDLE * IDLE_BYTES)
    for client in idle[1::2]:
        client.close()
    for client in idle[::2]:
        equal(client.read(0, 4), CONTENT[:4], "an idle one is served")
    have_all_rest(process, before + IDLE * IDLE_BYTES)
    process.terminate()
    equal(process.wait(30), 0, "exit status")
