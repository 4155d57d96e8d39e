#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# remote-server-restarts.py - the server of the base is killed in the middle of a copy and comes back:
# the copy ends well. It stays away: EIO after the time that "reconnect-delay" says, and what needs
# it not goes on. It comes back after that: all is well again. Something else comes back: an error.
import json
import os
import signal
import subprocess
import time

import nbd

from remote_case import Workspace, check, connect, main, nbd_node, over, run, uri_of
from functions import STRATA_NBD, block_status, first_difference, read_text, stop, wait_for_log

M = 1 << 20


class Base:
    """strata-nbd with an image, at one socket again and again."""

    def __init__(self, work, image):
        self.work, self.image, self.socket = work, image, work.socket()
        self.start()

    def start(self, image=None):
        pid_file = self.socket + ".pid"
        if os.path.exists(pid_file):
            os.unlink(pid_file)
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.process = self.work.start_with_pid_file(
            pid_file, STRATA_NBD, "--socket", self.socket, "--pid-file", pid_file,
            image or self.image)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def make_images(work):
    base, top = work.path("base.qcow2"), work.path("top.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", base, "512M")
    for i in range(64):
        run("qemu-io", "-f", "qcow2", "-c", f"write -q -P {i + 1} {i * 8}M 7M", base)
    run("qemu-img", "create", "-q", "-f", "qcow2", top, "512M")
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 99 100M 2M", top)
    return base, top


def expected_content(work, words):
    plain = work.path("plain.raw")
    run("qemu-img", "convert", "-O", "raw", words, plain)
    with open(plain, "rb") as file:
        return file.read()


def serve_over(work, top, base, **options):
    words = over(top, {"driver": "raw", "file": nbd_node(base.socket, **options)})
    return work.serve_process("json:" + json.dumps(words))


def wait_for_size(path, size, process):
    deadline = time.monotonic() + 30
    while not os.path.exists(path) or os.stat(path).st_blocks * 512 < size:
        check(process.poll() is None, "the copy was over before the server was killed")
        check(time.monotonic() < deadline, "the copy does not get on")
        time.sleep(0.001)


def check_copy(work, base, top):
    """Killed four times on the way, and back a moment later."""
    image = expected_content(work, "json:" + json.dumps(
        over(top, {"driver": "qcow2", "file": {"driver": "file", "filename": base.image}})))
    socket, server = serve_over(work, top, base)
    copy = work.path("copy.raw")
    # In small pieces, so that every kill falls between some of them.
    process = subprocess.Popen(["nbdcopy", "--connections=2", "--requests=4",
                                "--request-size=65536", uri_of(socket), copy],
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    work.processes.append(process)
    process.log = "/dev/null"
    for i in range(4):
        wait_for_size(copy, (i + 1) * 40 * M, process)
        base.kill()
        time.sleep(0.2)  # so that requests do find nobody
        base.start()
    _, errors = process.communicate(timeout=90)
    check(process.returncode == 0, f"nbdcopy failed: {errors} {read_text(server.log)}")
    with open(copy, "rb") as file:
        at = first_difference(image, file.read())
    check(at is None, f"the copy differs at {at}")
    check(stop(server) == 0, "strata-nbd did not end well")


def check_gone(work, base, top):
    """Gone for good, and back when nobody waits any more."""
    socket, server = serve_over(work, top, base, reconnect_delay=2)
    handle = connect(socket, ["base:allocation"])
    check(bytes(handle.pread(4096, 0)) == bytes([1]) * 4096, "the base's content")
    base.kill()
    began = time.monotonic()
    for attempt in range(3):
        try:
            handle.pread(4096, 0)
            check(False, "read what is not there")
        except nbd.Error as error:
            check(error.errno == "EIO", f"the error is {error.errno}")
        took = time.monotonic() - began
        check(1.9 < took < 20, f"attempt {attempt}: EIO came after {took} seconds")
    check(bytes(handle.pread(M, 100 * M)) == bytes([99]) * M, "the overlay's own content")
    check(block_status(handle, M, 100 * M)["base:allocation"] == [(100 * M, M, 0)],
          "the overlay's own status")
    wait_for_log(server, "no connection to the server for 2 seconds: connect: ")
    wait_for_log(server, f"(nbd+unix:///?socket={base.socket})")

    base.start()
    deadline = time.monotonic() + 30
    while True:
        try:
            check(bytes(handle.pread(4096, 0)) == bytes([1]) * 4096, "the base is back")
            break
        except nbd.Error:
            check(time.monotonic() < deadline, "the server is back, and its content is not")
            time.sleep(0.05)
    return handle, server


def check_changed(work, base, handle, server):
    other = work.path("other.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", other, "511M")
    base.kill()
    base.start(other)
    try:
        handle.pread(4096, 0)
        check(False, "read from another image as if it were ours")
    except nbd.Error:
        pass
    wait_for_log(server, "what the server exports has changed since it was opened: its size is "
                 "535822336, and was 536870912")
    # Ending does not wait for a server that is not there.
    base.kill()
    began = time.monotonic()
    check(stop(server) == 0 and time.monotonic() - began < 5, "strata-nbd did not end at once")


def test():
    with Workspace() as work:
        base_image, top = make_images(work)
        base = Base(work, base_image)
        check_copy(work, base, top)
        handle, server = check_gone(work, base, top)
        check_changed(work, base, handle, server)


main(test)
