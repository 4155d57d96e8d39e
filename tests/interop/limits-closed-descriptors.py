#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A server that is started without standard input, output or error opens nothing in their place."""
import os
import subprocess

from limits_case import STRATA_NBD, wait_until
from nbd_case import CONTENT, Workspace, check, equal, make_seed_images
from nbd_client import Client, READ


def closed(*descriptors):
    """To be called in the child."""
    for fd in descriptors:
        os.close(fd)


def serves(work, image, *descriptors):
    path = work.path(f"socket{len(descriptors)}")
    with subprocess.Popen([STRATA_NBD, f"--listen=unix:{path}", image],
                          preexec_fn=lambda: closed(*descriptors)) as process:
        try:
            wait_until(lambda: os.path.exists(path) or process.poll() is not None, "it starts")
            equal(Client(path).go().simple(READ, 0, 512), (0, CONTENT[:512]), "a read")
            for fd in descriptors:
                equal(os.readlink(f"/proc/{process.pid}/fd/{fd}"), "/dev/null", f"descriptor {fd}")
        finally:
            process.terminate()


def single_is_refused(image, fd, name):
    done = subprocess.run([STRATA_NBD, "--single", image], preexec_fn=lambda: closed(fd), text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, timeout=60)
    equal(done.returncode, 1, "exit status")
    check(f"--single: standard {name} is closed" in done.stderr, done.stderr)


with Workspace() as work:
    image = make_seed_images(work)
    serves(work, image, 0)
    serves(work, image, 0, 1, 2)
    single_is_refused(image, 0, "input")
    single_is_refused(image, 1, "output")
