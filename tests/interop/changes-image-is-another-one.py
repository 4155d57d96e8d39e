#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""An image that is made anew in place while it is served, by whoever takes no locks: ranges that
reach it are errors that say so, and layers above it go on being served. A new time or new rights
change nothing."""
import os
import time

import nbd

from nbd_case import MIB, Workspace, check, equal, run
from functions import connect, error_of_read, read_text, wait_for_log, wait_until

DEPTH = "qemu:allocation-depth"


def overwrite(path, other):
    """As cp does: the same file, another content."""
    with open(other, "rb") as source, open(path, "r+b") as target:
        target.write(source.read())


with Workspace() as work:
    base, overlay, other = (work.path(name) for name in ("base.qcow2", "overlay.qcow2", "other"))
    run("qemu-img", "create", "-q", "-f", "qcow2", base, "4M")
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 0x11 0 4M", base)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", overlay)
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 0x22 0 1M", overlay)
    run("qemu-img", "create", "-q", "-f", "qcow2", other, "8M")
    socket, process = work.serve_process(overlay)
    handle = connect(socket, [DEPTH])
    equal(handle.pread(4, 2 * MIB), b"\x11" * 4, "the base at first")

    os.chmod(base, 0o600)
    os.link(base, work.path("another-name"))
    os.utime(overlay, (1, 1))
    deadline = time.monotonic() + 30
    while "overlay.qcow2 changed" not in read_text(process.log):
        check(time.monotonic() < deadline, "waited half a minute for the new time to be noticed")
        equal(handle.pread(4, 0), b"\x22" * 4, "the overlay with a new time")
        equal(handle.pread(4, 2 * MIB), b"\x11" * 4, "the base with new rights")
        time.sleep(0.01)

    overwrite(base, other)
    wait_until(lambda: error_of_read(handle, 2 * MIB) == 5, "the other image is an error")
    equal(handle.pread(4, 0), b"\x22" * 4, "the layer above")
    for offset in (MIB, 3 * MIB):
        equal(error_of_read(handle, offset), 5, f"errno at {offset}")
    try:
        handle.block_status(MIB, 2 * MIB, lambda *_: None)
        check(False, "the map of the changed image was told")
    except nbd.Error as error:
        equal(error.errnum, 5, "errno of the map")
    handle.shutdown()
    wait_for_log(process, "base.qcow2): the image was changed while it was open: its virtual size "
                 "was 0x400000 and is 0x800000; open it again")
