#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# remote-stops-at-once.py - who stops does not first wait as long as it would before it connects
# again, least of all where the connection has broken a few times.
import json
import threading
import time

from fake_server import Closed, FakeServer
from remote_case import Workspace, check, main, nbd_node
from functions import stop

# After so many the next wait is above 2.4 seconds.
N_DROPS = 5


class Drops(FakeServer):
    """Hangs up on the first few who came in."""

    def __init__(self, path):
        super().__init__(path)
        self.has_kept_one = threading.Event()

    def transmit(self, client, selected):
        if self.n_connections <= N_DROPS:
            raise Closed
        self.has_kept_one.set()
        super().transmit(client, selected)


def test():
    with Workspace() as work:
        words = {"driver": "raw", "file": nbd_node(work.path("up"))}
        with Drops(work.path("up")) as server:
            _, process = work.serve_process("json:" + json.dumps(words))
            check(server.has_kept_one.wait(30), "it did not connect again")
            began = time.monotonic()
            check(stop(process) == 0, "strata-nbd did not end well")
            took = time.monotonic() - began
            check(took < 2, f"stopping took {took:.1f} seconds")


main(test)
