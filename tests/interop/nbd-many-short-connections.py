#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that come and go as fast as they can: the server lives, and serves the next."""
import os
import socket
import time

from nbd_case import Workspace, check, equal, make_seed_images
from nbd_client import Client, Closed, READ


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def client_at_last(path, deadline):
    """Who has come to nothing very often is turned away for a while."""
    while True:
        try:
            return Client(path).go()
        except Closed:
            check(time.monotonic() < deadline, "no client is served after the flood")


with Workspace() as work:
    path, process = work.serve_process(make_seed_images(work))
    Client(path).go().close()
    before = descriptors(process)
    for _ in range(5000):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
    deadline = time.monotonic() + 30
    for _ in range(300):
        client_at_last(path, deadline).close()
    check(process.poll() is None, "the server died")
    last = client_at_last(path, deadline)
    equal(last.simple(READ, 0, 4), (0, b"\x11" * 4), "the next client reads")
    last.close()
    deadline = time.monotonic() + 30
    while descriptors(process) > before:
        check(time.monotonic() < deadline, "descriptors were not given back")
        time.sleep(0.01)
    process.terminate()
    equal(process.wait(30), 0, "exit status")
