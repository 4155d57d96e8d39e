#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# tls-many-requests-at-once.py - hundreds of requests in flight over TLS, with every byte compared; a
# client that asks for a lot before it reads any of it; and one whose socket has no room for the
# server's good-bye.
import random
import select
import threading

import nbd

from nbd_case import MIB, Workspace, equal, run
from nbd_client import DISC, READ, Client
from tls_case import Authority

SIZE = 8 * MIB
SEED = 1009


def in_flight(uri, content, seed):
    """400 reads with libnbd, 64 of them at once."""
    random_number = random.Random(seed)
    handle = nbd.NBD()
    handle.set_uri_allow_local_file(True)
    handle.connect_uri(uri)
    buffers = {}
    for _ in range(400):
        offset = random_number.randrange(SIZE - 1)
        length = random_number.choice((1, 512, 4096, 16384, 100_000))
        buffer = nbd.Buffer(min(length, SIZE - offset))
        buffers[handle.aio_pread(buffer, offset)] = (buffer, offset)
        while handle.aio_in_flight() >= 64:
            handle.poll(-1)
    while handle.aio_in_flight():
        handle.poll(-1)
    for cookie, (buffer, offset) in buffers.items():
        equal(handle.aio_command_completed(cookie), True, "a read")
        data = bytes(buffer.to_bytearray())
        equal(data == content[offset:offset + len(data)], True, f"bytes at {offset:#x}")
    handle.shutdown()


def asks_before_it_reads(path, tls, content):
    """Requests of 24 MiB, which no socket holds; then all the answers, in whatever order."""
    client = Client(path).start_tls(tls).go("")
    asked = {client.send_request(READ, at % SIZE, MIB): at % SIZE
             for at in range(0, 3 * SIZE, MIB)}
    for _ in range(len(asked)):
        cookie, error, data = client.receive_simple()
        at = asked.pop(cookie)
        equal((error, data == content[at:at + MIB]), (0, True), f"the answer for {at:#x}")
    client.close()


def good_bye_waits_for_room(path, tls):
    """Answers that fill the socket to the brim, of as many records as that takes on this system."""
    for n_records in range(6, 24):
        length = n_records * 16384 - 16
        client = Client(path).start_tls(tls).go("")
        client.send_request(READ, 0, length)
        client.send_request(DISC)
        hung_up = select.poll()
        hung_up.register(client.socket, select.POLLRDHUP)
        hung_up.poll(60)  # a server that hangs up too soon does it within a few
        client.receive(16 + length)
        equal((client.is_closed(), client.ended_well), (True, True), f"after {n_records} records")
        client.close()


def main():
    with Workspace() as work:
        content = random.Random(SEED).randbytes(SIZE)
        image = work.path("disk.raw")
        with open(image, "wb") as file:
            file.write(content)
        authority = Authority(work).issue_server()
        path = work.serve("--tls=require", "--tls-certificates", authority.dir, "-f", "raw", image)
        uri = f"nbds+unix:///?socket={path}&tls-certificates={authority.dir}"
        failures = []

        def try_out(seed):
            try:
                in_flight(uri, content, seed)
            except Exception as failure:  # pylint: disable=broad-except
                failures.append(failure)

        threads = [threading.Thread(target=try_out, args=(SEED + i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        asks_before_it_reads(path, authority.client(), content)
        good_bye_waits_for_room(path, authority.client())
        for thread in threads:
            thread.join()
        equal(failures, [], "clients side by side")
        run("nbdcopy", "--connections=4", "--requests=64", uri, work.path("copy"))
        with open(work.path("copy"), "rb") as file:
            equal(file.read() == content, True, "nbdcopy's copy")


main()
