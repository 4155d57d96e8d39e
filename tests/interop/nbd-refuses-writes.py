#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes get EPERM and their payload is skipped; unknown commands get EINVAL; images stay as is."""
import hashlib
import pathlib

from nbd_case import CONTENT, Workspace, equal, make_seed_images
from nbd_client import (Client, DISC, EINVAL, EPERM, READ, TRIM, WRITE, WRITE_ZEROES, error_of,
                        put_together)


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


with Workspace() as work:
    image = make_seed_images(work)
    before = digest(image)
    path = work.serve(image)
    client = Client(path)
    client.use_structured()
    client.go()
    equal(error_of(client.command(WRITE, 0, 70000, payload=b"x" * 70000))[0], EPERM, "write")
    equal(error_of(client.command(TRIM, 0, 512))[0], EPERM, "trim")
    equal(error_of(client.command(WRITE_ZEROES, 0, 512, 2))[0], EPERM, "write zeroes")
    for command in (8, 77, 65535):
        equal(error_of(client.command(command, 0, 512))[0], EINVAL, f"command {command}")
    equal(put_together(client.command(READ, 0, 9), 0, 9)[0], CONTENT[:9], "all still serves")
    client.send_request(DISC)
    equal(client.is_closed(), True, "disconnect")

    client = Client(path).go()
    equal(client.simple(WRITE, 0, 512, payload=b"x" * 512), (EPERM, b""), "write, simple reply")
    client.send_request(WRITE, 0, (32 << 20) + 1)
    equal(client.is_closed(), True, "more than anybody writes at once is not read")

    client = Client(path).go()
    client.send_request(READ, 0, 512, magic=0x12560953)
    equal(client.is_closed(), True, "a wrong magic ends the connection")
    equal(digest(image), before, "the image")
