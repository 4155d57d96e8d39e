#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""listen-notify.py - what a service manager is told: ready when clients are served, signs of life,
reloading, stopping; nothing by a server that cannot begin, nor by what --run runs."""
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from nbd_client import READ, Client  # noqa: E402
from functions import STRATA_NBD, Workspace, check, main, read_text, run, stop  # noqa: E402


class Manager:
    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name)
        self.socket.settimeout(30)
        self.environment = dict(os.environ, NOTIFY_SOCKET=name.replace("\0", "@"))

    def start(self, work, *words, **variables):
        log = work.path(f"log.{len(work.processes)}")
        with open(log, "wb") as out:
            process = subprocess.Popen([STRATA_NBD, *words], stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=subprocess.STDOUT,
                                       env=dict(self.environment, **variables))
        process.log = log
        work.processes.append(process)
        return process

    def message(self, *skipped):
        """The next one as a dictionary, of those that do not consist of a skipped key."""
        while True:
            try:
                text = self.socket.recv(4096).decode()
            except TimeoutError:
                check(False, "no message in half a minute")
            message = dict(line.split("=", 1) for line in text.rstrip("\n").split("\n"))
            if list(message) not in [[key] for key in skipped]:
                return message

    def check_silent(self, seconds=0, but_for=()):
        self.socket.settimeout(seconds)
        try:
            while (message := self.socket.recv(4096)) in but_for:
                pass
        except (BlockingIOError, TimeoutError):
            message = None
        self.socket.settimeout(30)
        check(message is None, f"the manager is told {message}")


def from_ready_to_stopping(work, manager, image):
    path = work.path("s")
    server = manager.start(work, f"--listen=unix:{path}", "--listen=tcp:127.0.0.1:0", image)
    message = manager.message()
    check(message.get("READY") == "1" and message.get("MAINPID") == str(server.pid),
          f"told {message}")
    check(re.fullmatch(rf"listening on nbd\+unix:///\?socket={path}, nbd://127\.0\.0\.1:\d+/",
                       message.get("STATUS", "")), f"told {message}")
    # Ready means served, without any further wait.
    check(run("nbdinfo", "--size", f"nbd+unix:///?socket={path}").strip() == str(1 << 20), "size")
    server.terminate()
    check(manager.message() == {"STOPPING": "1"}, "the end is not announced")
    check(stop(server) == 0, "the server did not end well")
    manager.check_silent()


def one_that_cannot_begin(work, manager, image):
    server = manager.start(work, f"--listen=unix:{work.path('no/such/folder')}", image)
    check(server.wait(30) == 1, read_text(server.log))
    manager.check_silent()


def signs_of_life(work, manager, image):
    server = manager.start(work, f"--listen=unix:{work.path('s')}", image, WATCHDOG_USEC="40000")
    check(manager.message().get("READY") == "1", "not ready")
    began = time.monotonic()
    for _ in range(5):
        message = manager.message()
        check(message == {"WATCHDOG": "1"}, f"told {message}")
    check(time.monotonic() - began > 0.06, "more signs than are wanted")
    check(stop(server) == 0, "the server did not end well")
    while manager.message() != {"STOPPING": "1"}:
        pass
    manager.check_silent(but_for=(b"WATCHDOG=1",))  # it is alive up to its end

    # For somebody else, or nobody.
    for variables in ({"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, {}):
        server = manager.start(work, f"--listen=unix:{work.path('s')}", image, **variables)
        check(manager.message().get("READY") == "1", "not ready")
        check(stop(server) == 0, "the server did not end well")
        check(manager.message() == {"STOPPING": "1"}, "signs that nobody wants")


def a_single_client(work, manager, image):
    done = subprocess.run([STRATA_NBD, "--single", image], input=b"", capture_output=True,
                          env=manager.environment, timeout=60)
    check(done.returncode == 0, done.stderr.decode())
    check(manager.message().get("STATUS") == "serving one client", "not ready")
    check(manager.message() == {"STOPPING": "1"}, "the end is not announced")


def run_is_told_nothing_of_it(work, manager, image):
    server = manager.start(work, "--run", "env | grep -e NOTIFY_SOCKET -e WATCHDOG", image,
                           WATCHDOG_USEC="60000000")
    check(server.wait(30) == 1 and read_text(server.log) == "", read_text(server.log))
    check(manager.message().get("READY") == "1", "not ready")
    check(manager.message() == {"STOPPING": "1"}, "the end is not announced")


def no_manager_is_there(work, image):
    """Whoever is to be told and cannot be is no reason not to serve."""
    for name in (work.path("gone"), "nonsense", ""):
        run(STRATA_NBD, "--run", "true", image, env=dict(os.environ, NOTIFY_SOCKET=name))


def reloading(work, manager, image):
    config = work.path("config")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"[disk]\nimage={image}\n")
    server = manager.start(work, f"--listen=unix:{work.path('s')}", f"--config={config}")
    check(manager.message().get("READY") == "1", f"not ready: {read_text(server.log)}")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    server.send_signal(signal.SIGHUP)
    message = manager.message()
    check(message.get("RELOADING") == "1", f"told {message}")
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    check(before <= int(message.get("MONOTONIC_USEC", "0")) <= now, f"told {message}")
    check(manager.message().get("READY") == "1", "not ready again")
    check(stop(server) == 0, "the server did not end well")
    check(manager.message() == {"STOPPING": "1"}, "the end is not announced")


def a_hangup_while_it_stops(work, manager, image):
    """It begins nothing anew, and does not call itself ready again."""
    config, path = work.path("config"), work.path("s")
    server = manager.start(work, f"--listen=unix:{path}", f"--config={config}", "--stop-timeout=60")
    check(manager.message().get("READY") == "1", f"not ready: {read_text(server.log)}")
    client = Client(path).go("disk")
    for _ in range(8):
        client.send_request(READ, 0, 1 << 20)  # more than the socket holds
    client.receive(1)
    server.terminate()
    check(manager.message() == {"STOPPING": "1"}, "the end is not announced")
    server.send_signal(signal.SIGHUP)
    server.send_signal(signal.SIGHUP)
    wait_until_taken(server, signal.SIGHUP)
    manager.check_silent(0.2)
    client.close()
    check(server.wait(30) == 0, "the server did not end well")
    manager.check_silent()
    check("read again" not in read_text(server.log), read_text(server.log))


def wait_until_taken(server, number):
    """The kernel tells which signals have not come to a process yet."""
    deadline = time.monotonic() + 30
    while True:
        status = read_text(f"/proc/{server.pid}/status")
        pending = int(re.search(r"ShdPnd:\t(\w+)", status)[1], 16)
        if not pending & 1 << (number - 1):
            break
        check(time.monotonic() < deadline, "a signal does not get through")
        time.sleep(0.002)


def test():
    with Workspace() as work:
        image = work.path("disk.raw")
        with open(image, "wb") as file:
            file.truncate(1 << 20)
        for name in (work.path("notify"), f"\0strata-{os.getpid()}"):
            manager = Manager(name)
            from_ready_to_stopping(work, manager, image)
        one_that_cannot_begin(work, manager, image)
        signs_of_life(work, manager, image)
        a_single_client(work, manager, image)
        run_is_told_nothing_of_it(work, manager, image)
        no_manager_is_there(work, image)
        reloading(work, manager, image)
        a_hangup_while_it_stops(work, manager, image)


main(test)
