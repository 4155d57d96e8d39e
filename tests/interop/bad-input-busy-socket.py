# SPDX-License-Identifier: LGPL-2.1-or-later
# bad-input-busy-socket.py - a socket that another server listens on, and a path where something
# else stands, are refused by name and left as they are; a dead server's socket is replaced.
import re
import socket
import subprocess

from bad_input import STRATA_NBD, Workspace, check, connect, eight_clusters, main, refuse, write


def check_refusal(path, image):
    message = refuse([STRATA_NBD, "--socket", path, image])
    check(re.search(re.escape(path), message), f"{message!r} does not name {path}")
    check(len(message.splitlines()) == 1, f"says more than one line: {message!r}")


def test():
    with Workspace() as work:
        image = write(work.path("image.qcow2"), eight_clusters()[1].blob)
        served = work.serve(image)
        check_refusal(served, image)
        check(connect(served).get_size() == 8 * 65536, "the first server was disturbed")

        plain = write(work.path("plain"), b"precious")
        check_refusal(plain, image)
        with open(plain, "rb") as file:
            check(file.read() == b"precious", "a regular file was replaced")
        check_refusal(work.path("no-such-folder/socket"), image)
        check_refusal(work.path("x" * 200), image)

        dead = socket.socket(socket.AF_UNIX)
        dead.bind(work.path("dead"))
        dead.close()
        done = subprocess.run([STRATA_NBD, "--socket", work.path("dead"), image, "--run", "true"],
                              capture_output=True, timeout=30, check=False)
        check(done.returncode == 0 or b"--run" in done.stderr, f"a dead socket: {done.stderr!r}")


main(test)
