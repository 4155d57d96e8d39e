#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# remote-block-sizes.py - a server that refuses requests that are not whole blocks, or too long, is
# never asked for such, whatever is read here.
import random

from remote_case import Workspace, check, connect, main, serve_by_nbdkit

SIZE = 1 << 20


def test():
    with Workspace() as work:
        disk, image = work.path("disk"), random.Random(7).randbytes(SIZE)
        with open(disk, "wb") as file:
            file.write(image)
        server = serve_by_nbdkit(
            work, "--filter=blocksize-policy", "file", disk, "blocksize-minimum=4096",
            "blocksize-preferred=65536", "blocksize-maximum=128K", "blocksize-error-policy=error")
        for offset, size in ((0, SIZE), (100, SIZE - 100), (4095, SIZE - 9000), (1, 10)):
            socket = work.serve("--image-opts", f"driver=raw,offset={offset},size={size},"
                                f"file.driver=nbd,file.path={server}")
            handle = connect(socket, ["base:allocation"])
            window = image[offset:offset + size]
            chance = random.Random(offset)
            ranges = [(0, size), (0, 1), (size - 1, 1)]
            for _ in range(40):
                at = chance.randrange(size)
                ranges.append((at, chance.randrange(1, min(size - at, 300000) + 1)))
            for at, length in ranges:
                found = bytes(handle.pread(length, at))
                check(found == window[at:at + length],
                      f"{length} bytes at {at} of the window at {offset} differ")


main(test)
