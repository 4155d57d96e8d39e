#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# remote-server-hangs-up-after-each-answer.py - a server that answers one request per connection: a
# connection that broke while requests were being sent is noticed at once, not when the time for an
# answer is over.
import json
import threading
import time

from fake_server import FakeServer
from remote_case import Workspace, check, connect, main, nbd_node

M = 1 << 20
READERS, READS = 4, 2

# A reader that waits for a dead connection waits so long. All others together take far less, though
# an answer may be lost with its connection, and the time to the next attempt grows then.
ANSWER_TIMEOUT = 600
SOON = 100


class OneAnswer(FakeServer):
    """Hangs up after the first read that it has answered on a connection."""

    def answer_read(self, client, handle, offset, length):
        super().answer_read(client, handle, offset, length)
        client.close()


def test():
    with Workspace() as work, OneAnswer(work.socket(), size=4 * M) as server:
        socket = work.serve("json:" + json.dumps({"driver": "raw", "file": nbd_node(
            server.path, answer_timeout=ANSWER_TIMEOUT, reconnect_delay=30, connections=1)}))
        failures = []

        def read(number):
            try:
                handle = connect(socket)
                for i in range(READS):
                    check(handle.pread(512, (number * READS + i) * 4096) == bytes(512), "its bytes")
            except Exception as failure:  # pylint: disable=broad-except
                failures.append(failure)

        threads = [threading.Thread(target=read, args=(number,), daemon=True)
                   for number in range(READERS)]
        deadline = time.monotonic() + SOON
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))
            check(not thread.is_alive(), "a read waits for a connection that is gone")
        if failures:
            raise failures[0]
        check(server.n_connections >= READERS * READS, f"{server.n_connections} connections")


main(test)
