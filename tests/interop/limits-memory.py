#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""--max-bytes and --max-requests: who never reads costs a bounded amount of memory."""
import os

from limits_case import (IS_SANITIZED, bound_memory, check_memory, count_workers, private_bytes,
                         wait_until)
from nbd_case import CONTENT, MIB, Workspace, check, equal, make_seed_images, run
from nbd_client import Client, DONE, FLAG_DF, READ, SIMPLE, STRUCTURED

# What the server may take besides the buffers: tables, stacks, what the allocator keeps.
SLACK = 8 * MIB

ENOMEM = 12


def never_reading(work, image):
    path, process = work.serve_process("--max-bytes=4M", image)
    good = Client(path).go()
    equal(good.simple(READ, 0, MIB), (0, CONTENT[:MIB]), "a read")
    before = private_bytes(process)
    gluttons = [Client(path).go() for _ in range(6)]
    for glutton in gluttons:
        for _ in range(30):
            glutton.send_request(READ, 0, MIB)
    # Each has two buffers full of what it does not read, since a read takes 1.6 of its 4 MiB. Half of
    # that is seen, so they are at it; not all, for the good client's buffer, which was there before,
    # goes when it has asked for nothing for half a second.
    wait_until(lambda: private_bytes(process) > before + 6 * MIB, "gluttons take memory")
    for _ in range(50):
        equal(good.simple(READ, 0, MIB), (0, CONTENT[:MIB]), "a good client's read")
        check_memory(process, before + 6 * 4 * MIB + SLACK, "six clients that never read")
    # They get it all when they do read.
    for glutton in gluttons:
        for _ in range(30):
            error = int.from_bytes(glutton.receive(16)[4:8], "big")
            equal((error, glutton.receive(MIB) == CONTENT[:MIB]), (0, True), "a late read")
    wait_until(lambda: IS_SANITIZED or private_bytes(process) < before + SLACK,
               "idle clients give it back")


def by_a_user_of_its_own():
    """Options: the system gives a user so many large pipes (/proc/sys/fs/pipe-user-pages-soft), and
    no more to all that runs beside this test; without one a read is copied."""
    if os.getuid() != 0:
        return []
    number = 20000 + os.getpid() % 30000
    return [f"--user={number}", f"--group={number}"]


def never_reading_plain_files(work, image):
    """What goes from a file to the socket without a copy takes no memory of the server's. There are
    pipes for all of these, which is what it takes."""
    path, process = work.serve_process(*by_a_user_of_its_own(), image)
    good = Client(path).go()
    equal(good.simple(READ, 0, MIB), (0, CONTENT[:MIB]), "a read")
    wait_until(lambda: count_workers(process) == 0, "the good client rests")
    before = private_bytes(process)
    gluttons = [Client(path).go() for _ in range(3)]
    for glutton in gluttons:
        for _ in range(12):
            glutton.send_request(READ, 0, MIB)
    wait_until(lambda: count_workers(process) == 3 * 8, "all are carried out")
    for _ in range(20):
        equal(good.simple(READ, 0, MIB), (0, CONTENT[:MIB]), "a good client's read")
        check_memory(process, before + 3 * 2 * MIB, "clients that never read of a file")
    for glutton in gluttons:
        for _ in range(12):
            glutton.receive(16)
            equal(glutton.receive(MIB) == CONTENT[:MIB], True, "a late read of a file")


def idle_after_reads(work, image):
    """Many clients that have read something, and ask for nothing more."""
    path, process = work.serve_process(image)
    before = private_bytes(process)
    clients = [Client(path).go() for _ in range(20)]
    for client in clients:
        equal(client.simple(READ, 0, MIB), (0, CONTENT[:MIB]), "a read")
    wait_until(lambda: IS_SANITIZED or private_bytes(process) < before + SLACK,
               "idle clients give back what their reads took")


def larger_than_the_limit(work, image):
    """Each is served, one at a time."""
    path, process = work.serve_process("--max-bytes=64k", image)
    client = Client(path).go()
    before = private_bytes(process)
    handles = {client.send_request(READ, i * MIB, 4 * MIB): i for i in range(6)}
    for _ in range(6):
        header = client.receive(16)
        at = handles.pop(int.from_bytes(header[8:], "big"))
        check_memory(process, before + 4 * MIB + SLACK, "several reads at a time")
        equal(client.receive(4 * MIB) == CONTENT[at * MIB:(at + 4) * MIB], True, f"read {at}")


def largest_reads(work):
    """Of 32 MiB, in one piece: no more of them than the limit has room for."""
    image = work.path("large.raw")
    run("truncate", "-s", "64M", image)
    path, process = work.serve_process("--format=raw", image)
    client = Client(path).go()
    before = private_bytes(process)
    for _ in range(4):
        client.send_request(READ, 0, 32 * MIB)
    for _ in range(4):
        client.receive(16)
        check_memory(process, before + 32 * MIB + SLACK, "several reads at a time")
        client.receive(32 * MIB)


def in_flight(work, image):
    path, process = work.serve_process("--max-requests=2", image)
    client = Client(path)
    client.use_structured()
    client.go()
    good = Client(path).go()
    equal(good.simple(READ, 0, 4), (0, CONTENT[:4]), "a read")
    left = {client.send_request(READ, 0, MIB) for _ in range(20)}
    for _ in range(50):
        equal(good.simple(READ, 0, 4), (0, CONTENT[:4]), "a good client's read")
        # Two for each, and those that either has needed no more.
        check(count_workers(process) <= 6, f"{count_workers(process)} threads of two clients")
    while left:
        flags, _, handle, _ = client.receive_chunk()
        if flags & DONE:
            left.remove(handle)


def without_memory(work, image):
    """A request for which the system has no memory fails, and the server goes on."""
    if IS_SANITIZED:  # it ends the program when there is no memory
        return
    path, process = work.serve_process("--max-bytes=1M", "--max-requests=1", image)
    for mode, flags in (SIMPLE, 0), (STRUCTURED, FLAG_DF):
        client = Client(path)
        client.use(mode)
        client.go()
        equal(client.read(0, 4), CONTENT[:4], "a read")
        # There is room for all else that a client may need, and not for an answer in one piece.
        bound_memory(process, 5 * MIB)
        equal(client.error(READ, 0, 10 * MIB, flags), ENOMEM, f"no memory, mode {mode}")
        bound_memory(process, None)
        equal(client.read(0, 4), CONTENT[:4], "a read with memory")
        client.close()


with Workspace() as work:
    image = make_seed_images(work)
    compressed = work.path("compressed.qcow2")
    run("qemu-img", "convert", "-c", "-O", "qcow2", image, compressed)
    never_reading(work, compressed)
    never_reading_plain_files(work, image)
    idle_after_reads(work, image)
    larger_than_the_limit(work, image)
    largest_reads(work)
    in_flight(work, image)
    without_memory(work, compressed)
