#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A log that nobody reads keeps nobody waiting: not clients, not deadlines, not the end."""
import fcntl
import os
import re
import signal
import subprocess

from limits_case import STRATA_NBD, wait_until
from nbd_case import CONTENT, Workspace, equal, make_seed_images
from nbd_client import Client, READ

CLIENTS = 1500  # three lines each: more than the pipe and the queue hold


def start(path, image, *options):
    """The server, and the unread end of what it logs."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen([STRATA_NBD, "--persistent", "--verbose", f"--socket={path}",
                                *options, image], stderr=writer, stdout=subprocess.DEVNULL)
    os.close(writer)
    wait_until(lambda: os.path.exists(path), "the socket")
    return process, os.fdopen(reader, encoding="utf-8")


def flood(path):
    for _ in range(CLIENTS):
        Client(path).go().close()


def read_in_the_end(work, image):
    path = work.socket()
    process, log = start(path, image, "--handshake-timeout=2")
    dawdler = Client(path, flags=None)
    flood(path)
    equal(Client(path).go().simple(READ, 0, 4), (0, CONTENT[:4]), "a client is served")
    equal(dawdler.is_closed(), True, "deadlines are kept")
    process.send_signal(signal.SIGTERM)
    lines = log.read().splitlines()
    equal(process.wait(30), 0, "exit status")
    lost = [line for line in lines if "lines of the log were lost" in line]
    equal(len(lost) >= 1, True, f"lost lines are told: {lines[-3:]}")
    accepted = [int(match[1]) for match in
                (re.match(r"strata-nbd: connection (\d+): accepted\b", line) for line in lines)
                if match]
    equal(accepted == sorted(set(accepted)) and len(accepted) > 100, True, "lines keep their order")
    equal(lines[-1].startswith("strata-nbd: "), True, "the last line is whole")


def never_read(work, image):
    path = work.socket()
    process, log = start(path, image)
    flood(path)
    process.send_signal(signal.SIGTERM)
    equal(process.wait(30), 0, "exit status")
    log.close()


with Workspace() as work:
    image = make_seed_images(work)
    read_in_the_end(work, image)
    never_read(work, image)
