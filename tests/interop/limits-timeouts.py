#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""--handshake-timeout and --idle-timeout cut who dawdles, and nobody else."""
import socket
import subprocess
import threading
import time

from limits_case import STRATA_NBD, wait_for_log
from nbd_case import CONTENT, MIB, Workspace, check, equal, make_seed_images
from nbd_client import Client, Closed, IHAVEOPT, READ

STORAGE_SECONDS = 3  # what a read takes behind the slow storage


def is_cut_while(client, act):
    """Acts ten times a second until the server hangs up; False if it does not do so."""
    try:
        for _ in range(150):
            act(client)
            client.socket.settimeout(0.1)
            try:
                if not client.socket.recv(1):
                    return True
            except TimeoutError:
                pass
    except (Closed, OSError):
        return True
    return False


def handshake(path, process):
    good = Client(path).go()
    silent, without_option = Client(path, flags=None), Client(path)
    # An option of a kilobyte, one byte at a time: each byte is progress, the handshake is not.
    slow = Client(path)
    slow.send(IHAVEOPT.to_bytes(8, "big") + (77).to_bytes(4, "big") + (1024).to_bytes(4, "big"))
    equal(is_cut_while(slow, lambda client: client.send(b"x")), True, "byte by byte: cut")
    equal(silent.is_closed(), True, "a silent client is cut")
    equal(without_option.is_closed(), True, "a client without an option is cut")
    equal(good.simple(READ, 0, 4), (0, CONTENT[:4]), "one in transmission is not")
    wait_for_log(process, "the client has chosen no export within the 1 s of "
                 "--handshake-timeout")
    late = Client(path).go()
    equal(late.simple(READ, 0, 4), (0, CONTENT[:4]), "nor one that comes later")


class Beside(threading.Thread):
    """A check that runs beside the others."""

    def __init__(self, function, *arguments):
        super().__init__()
        self.function, self.arguments, self.failure = function, arguments, None
        self.start()

    def run(self):
        try:
            self.function(*self.arguments)
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def finish(self):
        self.join()
        if self.failure:
            raise self.failure


def ask_now_and_then(path):
    client = Client(path).go()
    for _ in range(10):
        time.sleep(0.3)
        equal(client.simple(READ, 0, 4), (0, CONTENT[:4]), "one that asks now and then")


def read_slowly(path):
    """More than the socket holds, in three seconds."""
    client = Client(path).go()
    client.send_request(READ, 0, 4 * MIB)
    data = client.receive(16)
    for _ in range(30):
        time.sleep(0.1)
        data += client.receive(64 << 10)
    data += client.receive(16 + 4 * MIB - len(data))
    equal(data[16:] == CONTENT[:4 * MIB], True, "one that reads slowly has its bytes")


def wait_for_storage(path):
    client = Client(path).go()
    began = time.monotonic()
    equal(client.simple(READ, 0, 4), (0, bytes(4)), "one whose storage is slow")
    check(time.monotonic() - began >= STORAGE_SECONDS, "the storage was to be slow")


def idle(work, image):
    path, process = work.serve_process("--idle-timeout=1", image)
    slow_storage = work.socket()
    work.start_with_pid_file(slow_storage + ".pid", "nbdkit", "--foreground", "--unix",
                             slow_storage, "--pidfile", slow_storage + ".pid", "--filter=delay",
                             "pattern", "1M", f"rdelay={STORAGE_SECONDS}")
    behind = work.serve("--idle-timeout=1", "--image-opts",
                        f"driver=raw,file.driver=nbd,file.server.type=unix,"
                        f"file.server.path={slow_storage}")
    beside = [Beside(ask_now_and_then, path), Beside(read_slowly, path),
              Beside(wait_for_storage, behind)]
    silent, glutton = Client(path).go(), Client(path).go()
    for _ in range(20):
        glutton.send_request(READ, 0, MIB)
    equal(silent.is_closed(), True, "a silent client is cut")
    wait_for_log(process, "no byte came or went within the 1 s of --idle-timeout")
    for check_beside in beside:
        check_beside.finish()
    try:
        while glutton.receive(1 << 16):
            pass
    except Closed:
        pass
    log = wait_for_log(process, "--idle-timeout", 2)
    equal(log.count("--idle-timeout"), 2, "cut: the silent one and the one that does not read")


def idle_after_a_slow_handshake(path):
    """Looked at while it haggles, and not forgotten then."""
    client = Client(path)
    time.sleep(0.6)
    equal(client.go().is_closed(), True, "one that was slow to choose and then idles is cut")


def single(image):
    """The one client of --single has a deadline too."""
    ours, theirs = socket.socketpair()
    with ours, subprocess.Popen([STRATA_NBD, "--single", "--handshake-timeout=1", image],
                                stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL) as process:
        theirs.close()
        try:
            equal(process.wait(30), 0, "exit status")
        finally:
            process.kill()


def none(path):
    """0 is no timeout, and there is no idle timeout without the option."""
    clients = [Client(path, flags=None), Client(path).go()]
    time.sleep(1.5)
    equal(clients[1].simple(READ, 0, 4), (0, CONTENT[:4]), "an idle client is served")
    clients[0].send((3).to_bytes(4, "big"))
    clients[0].go()


with Workspace() as work:
    image = make_seed_images(work)
    dawdlers = work.serve_process("--handshake-timeout=1", image)
    without = work.serve("--handshake-timeout=0", image)
    quick = work.serve("--handshake-timeout=0", "--idle-timeout=1", image)
    checks = [Beside(handshake, *dawdlers), Beside(none, without),
              Beside(idle_after_a_slow_handshake, quick)]
    checks += [Beside(single, image) for _ in range(4)]
    idle(work, image)
    for one in checks:
        one.finish()
