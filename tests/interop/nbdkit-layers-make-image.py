#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""nbdkit-layers-make-image.py - the only@ exports, laid over each other, make the image.

From the lowest layer up, what a layer's export calls data or zero is written and what it calls a
hole is left alone. The same for above@NODE over @NODE, which is an incremental copy. Holes of a
view must read as zeros. Status is asked in pieces of an odd size and at once, with the same result.
"""
import os
import random
import subprocess
import sys
import tempfile
import time

import nbd

SIZE = 4 << 20
SEED = int(os.environ.get("SEED", "20190814"))
PLUGIN = os.environ["STRATA_PLUGIN"]


def make_chain(folder, rng):
    below = []
    for name in ("a.qcow2", "b.qcow2", "c.qcow2"):
        path = os.path.join(folder, name)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *below, path, str(SIZE)],
                       check=True)
        commands = []
        for _ in range(12):
            offset = rng.randrange(0, SIZE, 512)
            length = min(rng.randrange(512, 300 << 10, 512), SIZE - offset)
            kind = "-z" if rng.random() < 0.4 else "-P %d" % rng.randrange(1, 256)
            commands += ["-c", "write -q %s %d %d" % (kind, offset, length)]
        subprocess.run(["qemu-io", "-f", "qcow2", *commands, path], check=True)
        below = ["-b", name, "-F", "qcow2"]
    return path


def connect(sock, export):
    handle = nbd.NBD()
    handle.add_meta_context("base:allocation")
    handle.set_export_name(export)
    handle.connect_unix(sock)
    return handle


def extents(handle, piece):
    """The map in pieces, merged."""
    merged = []
    offset = 0
    while offset < SIZE:
        entries = []
        handle.block_status(min(piece, SIZE - offset), offset,
                            lambda context, start, list_, error: entries.extend(list_))
        for length, flags in zip(entries[::2], entries[1::2]):
            length = min(length, SIZE - offset)
            if merged and merged[-1][2] == flags:
                merged[-1][1] += length
            else:
                merged.append([offset, length, flags])
            offset += length
    return merged


def lay_over(target, sock, export):
    handle = connect(sock, export)
    whole = extents(handle, SIZE)
    assert whole == extents(handle, 77777), "%s: the map depends on the size of requests" % export
    for offset, length, flags in whole:
        content = handle.pread(length, offset)
        assert flags in (0, 2, 3), "%s: flags %d at %#x" % (export, flags, offset)
        assert flags == 0 or not any(content), "%s: zeros hold data at %#x" % (export, offset)
        if flags != 3:
            target[offset:offset + length] = content
    handle.shutdown()


def check(sock):
    handle = connect(sock, "")
    image = handle.pread(SIZE, 0)
    handle.shutdown()

    target = bytearray(SIZE)
    for layer in ("a.qcow2", "b.qcow2", "c.qcow2"):
        lay_over(target, sock, "only@" + layer)
    assert target == image, "the layers do not make the image (SEED=%d)" % SEED

    for base in ("a.qcow2", "b.qcow2"):
        handle = connect(sock, "@" + base)
        target = bytearray(handle.pread(SIZE, 0))
        handle.shutdown()
        lay_over(target, sock, "above@" + base)
        assert target == image, "above@%s is no incremental copy (SEED=%d)" % (base, SEED)


def stop(server):
    """nbdkit waits for its clients, and a failed check leaves one connected."""
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def main():
    with tempfile.TemporaryDirectory(prefix="st.", dir="/tmp") as folder:
        top = make_chain(folder, random.Random(SEED))
        sock = os.path.join(folder, "s")
        pid_file = os.path.join(folder, "pid")
        server = subprocess.Popen(["nbdkit", "-f", "-U", sock, "-P", pid_file, PLUGIN, top])
        try:
            while server.poll() is None and not os.path.exists(pid_file):
                time.sleep(0.02)
            check(sock)
        finally:
            stop(server)
    return server.returncode


if __name__ == "__main__":
    sys.exit(main())
