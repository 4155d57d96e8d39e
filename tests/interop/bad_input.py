# SPDX-License-Identifier: LGPL-2.1-or-later
# bad_input.py - what the bad-input-*.py tests share: damaged images, refusals, ranges that fail.
import os
import pathlib
import re
import struct
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "model")]

import nbd

import qcow2_writer
from functions import (STRATA, STRATA_NBD, TestFailure, Workspace, block_status, check, connect,
                       main, merge_extents, read_text, stop, wait_until)
from qcow2_writer import Image, compose, l2_entry_offset

__all__ = ["CLUSTER", "Image", "STRATA_NBD", "Workspace", "check", "check_bad_range",
           "check_refused", "check_rest_serves", "compose", "connect", "eight_clusters",
           "l2_entry_offset", "main", "patch", "patch_be", "qcow2_writer", "read_text", "refuse",
           "stop", "wait_until", "write"]

CLUSTER = 65536


def write(path, blob):
    with open(path, "wb") as file:
        file.write(blob)
    return path


def patch(blob, offset, new_bytes):
    blob[offset:offset + len(new_bytes)] = new_bytes


def patch_be(blob, offset, size, value):
    """A big-endian number of 4 or 8 bytes."""
    patch(blob, offset, struct.pack({4: ">I", 8: ">Q"}[size], value))


def eight_clusters(**options):
    """An image of eight 64 KiB clusters, each full of its own number (1 to 8)."""
    image = Image(8 * CLUSTER, **options)
    image.units = {index: bytes((index + 1,)) * CLUSTER for index in range(8)}
    return image, compose(image)


def refuse(command):
    """Runs what must say no by itself; returns its standard error."""
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=30)
    except subprocess.TimeoutExpired:
        raise TestFailure(f"still runs after 30 seconds: {' '.join(command)}") from None
    message = done.stderr.decode(errors="replace")
    check(0 < done.returncode < 99,
          f"ended with status {done.returncode}: {' '.join(command)}: {message}")
    return message


def check_refused(work, words, *patterns):
    """strata-nbd and strata map refuse the image: one line that matches all patterns, non-zero exit
    status, and no socket or pid file is left."""
    socket = work.socket()
    words = [str(word) for word in words]
    serve = [STRATA_NBD, "--socket", socket, "--pid-file", socket + ".pid"]
    for command in (serve + words, [STRATA, "map"] + words):
        message = refuse(command)
        check(len(message.splitlines()) == 1,
              f"{' '.join(command)} says more than one line, or nothing: {message!r}")
        for pattern in patterns:
            check(re.search(pattern, message), f"{' '.join(command)} says {message!r}, "
                  f"which does not match '{pattern}'")
    for path in (socket, socket + ".pid"):
        check(not os.path.lexists(path), f"{path} is left behind")


def expect_error(what, function):
    try:
        function()
    except nbd.Error as error:
        check(error.errno == "EIO", f"{what}: the error is not EIO: {error}")
        return
    raise TestFailure(f"{what}: succeeded but should have failed")


def check_bad_range(name, handle, offset, length, status_fails=True):
    """A read that meets the range fails, and so does status where nothing can be told."""
    for start in (offset, max(0, offset - 512), offset + length - 512):
        expect_error(f"{name}: read of 1 KiB from {start:#x}",
                     lambda start=start: handle.pread(min(1024, handle.get_size() - start), start))
    if status_fails:
        expect_error(f"{name}: status at {offset:#x}",
                     lambda: block_status(handle, length, offset))
        return
    told = block_status(handle, length, offset)["base:allocation"]
    check(told[0][2] == 0, f"{name}: base:allocation at {offset:#x} is {told[0][2]}, expected data")


def check_rest_serves(handle, bad_start, bad_end):
    """On the same connection: all other clusters of eight_clusters() are read and mapped."""
    for index in range(8):
        offset = index * CLUSTER
        if bad_start <= offset < bad_end:
            continue
        check(bytes(handle.pread(CLUSTER, offset)) == bytes((index + 1,)) * CLUSTER,
              f"wrong bytes in cluster {index}")
        found = merge_extents(block_status(handle, CLUSTER, offset)["base:allocation"])
        check(found == [(offset, CLUSTER, 0)], f"wrong status of cluster {index}: {found}")
    if bad_start:
        answer = block_status(handle, 8 * CLUSTER, 0)["base:allocation"]
        end = answer[-1][0] + answer[-1][1]
        check(end >= bad_start and all(value == 0 for _, _, value in answer),
              f"status from 0: {answer}")
