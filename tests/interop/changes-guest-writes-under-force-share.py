#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""With --force-share somebody writes to files that are served: it is logged once, the new state is
what is answered, and what was added to the end of a file is an error, never zeros."""
from nbd_case import MIB, Workspace, check, equal, run
from functions import connect, error_of_read, wait_for_log, wait_until, whole_maps

DEPTH = "qemu:allocation-depth"


def depths(socket):
    handle = connect(socket, [DEPTH])
    try:
        return whole_maps(handle, [DEPTH])[DEPTH]
    finally:
        handle.shutdown()


with Workspace() as work:
    base, overlay = work.path("base.qcow2"), work.path("overlay.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", base, "4M")
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 0x11 0 4M", base)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", overlay)
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 0x22 0 1M", overlay)
    socket, process = work.serve_process("--force-share", overlay)
    equal(depths(socket), [(0, MIB, 1), (MIB, 3 * MIB, 2)], "the map at first")

    # Within tables that are there: the new state is told.
    run("qemu-io", "-f", "qcow2", "-c", "write -q -z 1M 1M", overlay)
    wait_until(lambda: depths(socket) == [(0, 2 * MIB, 1), (2 * MIB, 2 * MIB, 2)],
               "the zero clusters are there")
    run("qemu-io", "-f", "qcow2", "-c", "discard -q 0 64k", overlay)
    wait_until(lambda: connect(socket).pread(1, 0) == b"\0", "the cluster is discarded")
    log = wait_for_log(process, "overlay.qcow2 changed while it is open")
    equal(log.count("overlay.qcow2 changed while it is open"), 1, f"lines in the log: {log}")
    check("its content at 20" in log, f"the log does not say what changed: {log}")

    # A new cluster at the end of a file: EIO there, and nowhere else.
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 0x33 3M 1M", overlay)
    wait_until(lambda: error_of_read(connect(socket), 3 * MIB) == 5, "the new cluster is noticed")
    equal(error_of_read(connect(socket), 2 * MIB), 0, "errno of what did not change")
    equal(connect(socket).pread(4, 2 * MIB), b"\x11" * 4, "what did not change")

    # Another layer is logged by itself.
    run("qemu-io", "-f", "qcow2", "-c", "write -q -z 2M 64k", base)
    wait_until(lambda: connect(socket).pread(1, 2 * MIB) == b"\0", "the base's zeros are there")
    log = wait_for_log(process, "base.qcow2 changed while it is open")
    equal(log.count("base.qcow2 changed while it is open"), 1, f"lines in the log: {log}")
    equal(log.count("overlay.qcow2 changed while it is open"), 1, f"lines in the log: {log}")
