#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Those who ask and do not read share what they are told, and its length is bounded."""
import os
import socket

from limits_case import check_memory, private_bytes
from metrics_case import get
from nbd_case import MIB, Workspace, check
from nbd_client import Client, EXTENDED, READ

N_FILES = 450


def ask(address):
    """A client that reads nothing."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(address)
    client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    return client


with Workspace() as work:
    folder = work.path("files")
    address = work.path("metrics")
    os.mkdir(folder)
    names = [f"{i:03}{'x' * 250}" for i in range(N_FILES)]
    for name in names:
        with open(f"{folder}/{name}", "wb") as file:
            file.write(bytes(4096))
    path, process = work.serve_process(f"--directory={folder}", "--format=raw",
                                       f"--metrics=unix:{address}")
    for name in names:
        client = Client(path)
        client.use(EXTENDED)
        client.go(name)
        client.chunks(client.send_request(READ, 0, 512))
        client.close()
    body = get(address)[2]
    check(b'export="(others)"' in body, "names beyond the bound are told together")
    check(len(body) < 20 * MIB, f"{len(body)} bytes")
    before = private_bytes(process)
    readers = [ask(address) for _ in range(60)]
    get(address, "/")
    # All of one second; or of two or three, where the machine is busy.
    check_memory(process, before + 4 * len(body) + 8 * MIB, "60 who do not read")
