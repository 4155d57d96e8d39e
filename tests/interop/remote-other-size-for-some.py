#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# remote-other-size-for-some.py - a server that takes several connections shows another export to
# all but the first: they are not used, and not tried again with every request.
import json
import time

import nbd

from fake_server import MULTI_CONN, FakeServer
from remote_case import Workspace, check, connect, main, nbd_node

M = 1 << 20


class OtherSize(FakeServer):
    n_entered = 0

    def answer_go(self, client, option):
        self.n_entered += 1
        self.size = 16 * M + (512 if self.n_entered > 1 else 0)
        return super().answer_go(client, option)


def read_much(handle):
    """Sixteen reads at once."""
    buffers = [nbd.Buffer(M) for _ in range(16)]
    for i, buffer in enumerate(buffers):
        handle.aio_pread(buffer, i * M)
    while handle.aio_in_flight() > 0:
        handle.poll(-1)
    check(all(buffer.to_bytearray() == bytes(M) for buffer in buffers), "not what the server has")


def test():
    with Workspace() as work:
        words = {"driver": "raw", "file": nbd_node(work.path("up"))}
        with OtherSize(work.path("up"), size=16 * M, flags=MULTI_CONN) as server:
            handle = connect(work.serve("json:" + json.dumps(words)))
            began = time.monotonic()
            n_reads = 0
            while n_reads < 40 or server.n_entered < 2:
                read_much(handle)
                n_reads += 1
                check(time.monotonic() - began < 60, "nobody wanted a second connection")
            # One such attempt in ten seconds.
            allowed = 2 + (time.monotonic() - began) // 10
            check(server.n_entered <= 1 + allowed,
                  f"{server.n_entered} connections for {n_reads} reads")


main(test)
