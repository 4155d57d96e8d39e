#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Heavy work of many clients: each gets its answer, memory is bounded, and a server that stops does
not wait for it."""
import struct
import time

from limits_case import check_memory, private_bytes, wait_for_log
from nbd_case import MIB, Workspace, check, equal, make_seed_images, run
from nbd_client import (BLOCK_STATUS, CACHE, DONE, EXTENDED, OPT_GO, OPT_LIST, OPT_SET_META, READ,
                        Client)

SHUTDOWN = 0x80000007
REQ_ONE = 8
WALK = 512 * 1024


def make_fragmented(work):
    """Clusters by turns: 8,192 runs of 64 KiB."""
    image = work.path("fragmented.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", image, "512M")
    words = [word for i in range(0, 8192, 2) for word in ("-c", f"write -z {i * 64}k 64k")]
    run("qemu-io", "-f", "qcow2", *words, image)
    return image


def connect(path):
    client = Client(path)
    client.use(EXTENDED)
    client.meta(OPT_SET_META, "", "base:allocation", "qemu:allocation-depth")
    client.go("")
    return client


def walks_take_memory_of_the_account(work, image):
    """Whoever asks for one extent, or to cache, and does not read, holds what --max-bytes allows."""
    path, process = work.serve_process("--max-requests=256", "--max-bytes=1M", image)
    good = connect(path)
    good.chunks(good.send_request(BLOCK_STATUS, 0, 512 * MIB, REQ_ONE))
    before = private_bytes(process)
    gluttons = [connect(path) for _ in range(4)]
    for glutton in gluttons:
        glutton.socket.setblocking(False)
        for command, flags in (BLOCK_STATUS, REQ_ONE), (CACHE, 0):
            try:
                glutton.socket.send(struct.pack(">IHHQQQ", 0x21e41c71, flags, command, 1, 0,
                                                512 * MIB) * 1000)
            except BlockingIOError:
                pass
    for _ in range(30):
        good.chunks(good.send_request(READ, 0, 4096))
        # Of each: two requests at a time, eight walks that are kept, and its threads.
        check_memory(process, before + 4 * (MIB + 8 * WALK) + 8 * MIB, "clients that do not read")


def heavy_requests_of_many(work, image):
    path, _ = work.serve_process(image)
    clients = [connect(path) for _ in range(12)]
    sent = [[client.send_request(command, 0, 512 * MIB) for command in (BLOCK_STATUS, CACHE) * 3]
            for client in clients]
    for client, handles in zip(clients, sent):
        left = set(handles)
        while left:
            flags, _, handle, _ = client.receive_chunk()
            left -= {handle} if flags & DONE else set()


def lists_stop(work):
    """Lists that are being made when the server stops are not waited for."""
    folder = work.path("many")
    run("mkdir", folder)
    for i in range(3000):
        with open(f"{folder}/{i:04}-{'x' * 200}", "wb"):
            pass
    path, process = work.serve_process("--stop-timeout=600", f"--directory={folder}")
    option = struct.pack(">8sII", b"IHAVEOPT", OPT_LIST, 0)
    clients = []
    for _ in range(20):
        client = Client(path)
        client.socket.sendall(option * 200)
        clients.append(client)
    for client in clients:
        client.receive(20)
    since = time.monotonic()
    process.terminate()
    for client in clients:
        client.socket.close()
    equal(process.wait(60), 0, "exit status")
    check(time.monotonic() - since < 60, "it ends")


def handshakes_are_bounded(work, image):
    path, process = work.serve_process(image)
    client = Client(path)
    for _ in range(1024):
        equal(client.option(OPT_LIST)[-1][0], 1, "NBD_OPT_LIST")
    equal(client.is_closed(), True, "1,024 options and no export")
    wait_for_log(process, "the client sent 1024 options and chose no export")


with Workspace() as work:
    image = make_fragmented(work)
    walks_take_memory_of_the_account(work, image)
    heavy_requests_of_many(work, image)
    lists_stop(work)
    handshakes_are_bounded(work, make_seed_images(work))
