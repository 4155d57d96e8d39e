#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A file that is cut short while it is served: what is gone is an error, never zeros."""
import os

import nbd

from nbd_case import MIB, Workspace, check, equal


def must_fail(handle, offset):
    try:
        handle.pread(4096, offset)
    except nbd.Error as error:
        equal(error.errnum, 5, f"errno at {offset}")
        return
    check(False, f"reading at {offset} worked")


def values(handle, size):
    found = []
    handle.block_status(size, 0, lambda context, offset, entries, error: found.extend(entries))
    return found


with Workspace() as work:
    image = work.path("disk.raw")
    with open(image, "wb") as file:
        file.write(b"\x5a" * (8 * MIB))
    handle = nbd.NBD()
    handle.add_meta_context("base:allocation")
    path, _ = work.serve_process(image)
    handle.connect_unix(path)
    equal(values(handle, 8 * MIB), [8 * MIB, 0], "the map at first")
    os.truncate(image, MIB)
    equal(values(handle, 8 * MIB), [8 * MIB, 0], "what is gone is not known to be zero")
    equal(handle.pread(4, MIB - 4), b"\x5a" * 4, "what is left")
    must_fail(handle, MIB)
    must_fail(handle, 4 * MIB)
    os.truncate(image, 8 * MIB)
    equal(values(handle, 8 * MIB), [MIB, 0, 7 * MIB, 3], "grown again, it is a hole")
    handle.shutdown()
