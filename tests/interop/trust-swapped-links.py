# SPDX-License-Identifier: LGPL-2.1-or-later
# trust-swapped-links.py - somebody swaps a link as fast as can be, between a file that the header may
# lead to, one outside and a FIFO, while the image is served again and again: not a byte from outside
# is ever served, and nobody waits at the FIFO.
import os
import subprocess
import sys

from trust_case import MIB, STRATA_NBD, Workspace, check, main, write, write_overlay

SERVED = 150
SWAP = """
import os, sys
link, *targets = sys.argv[1:]
while True:
    for target in targets:
        os.symlink(target, link + ".new")
        os.rename(link + ".new", link)
"""


def serve_once(overlay):
    """The bytes that are served; None where it is refused."""
    done = subprocess.run([STRATA_NBD, "--run", 'nbdcopy "$uri" -', overlay], capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=30)
    if done.returncode == 0:
        check(len(done.stdout) == MIB, f"{len(done.stdout)} bytes were copied")
        return done.stdout
    message = done.stderr.decode(errors="replace")
    check(done.returncode == 1 and ("--allow DIR" in message or "is a FIFO" in message),
          f"ended with {done.returncode}: {message}")
    return None


def test():
    with Workspace() as work:
        os.mkdir(work.path("top"))
        write(work.path("top/inside"), b"I" * MIB)
        write(work.path("outside"), b"O" * MIB)
        os.mkfifo(work.path("top/fifo"))
        os.symlink("inside", work.path("top/link"))
        overlay = write_overlay(work.path("top/overlay.qcow2"), "link")
        work.start(sys.executable, "-c", SWAP, work.path("top/link"), "inside", "../outside", "fifo")
        served = [serve_once(overlay) for _ in range(SERVED)]
        opened = [content for content in served if content]
        check(all(content == b"I" * MIB for content in opened), "bytes from outside were served")
        check(0 < len(opened) < SERVED, f"{len(opened)} of {SERVED} were served: nothing was tried")


main(test)
