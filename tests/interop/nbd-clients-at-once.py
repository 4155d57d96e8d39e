#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that come one after the other, some at a time: threads that served one accept the next."""
import os
import resource
import socket
import threading

from nbd_case import Workspace, check, equal, make_seed_images, read_text
from functions import wait_until
from nbd_client import Client, Closed, READ
from nbd_rules import BrokenRule

AT_ONCE = 6
EACH = 50
NO_DEADLINES = "--handshake-timeout", "0"  # nothing but clients has anybody look around


def threads(process):
    return len(os.listdir(f"/proc/{process.pid}/task"))


def read_once(path):
    client = Client(path).go()
    equal(client.simple(READ, 0, 4), (0, b"\x11" * 4), "a client reads")
    client.close()


def come_again_and_again(path, done):
    for _ in range(EACH):
        read_once(path)
    done.append(True)


def check_many(path):
    done = []
    callers = [threading.Thread(target=come_again_and_again, args=(path, done))
               for _ in range(AT_ONCE)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    equal(len(done), AT_ONCE, "callers that were served each time")


def check_that_threads_leave(process, path, at_rest):
    """Nobody waits for ever for clients that do not come; the next one is served all the same."""
    wait_until(lambda: threads(process) <= at_rest, "threads leave")
    read_once(path)


def check_without_descriptors(process, path):
    """Whoever accepts has no descriptor for the client, which waits until there is one."""
    read_once(path)
    limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(path)
        wait_until(lambda: "cannot accept a client" in read_text(process.log), "the failure is told")
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
        waiting.settimeout(30)
        equal(waiting.recv(8), b"NBDMAGIC", "the client that waited is greeted")
    read_once(path)


def check_shared(work, image):
    """As many at a time as may, also when threads wait for the next."""
    path, process = work.serve_process(image, "--shared", "2", "--persistent", *NO_DEADLINES)
    read_once(path)
    first, second = Client(path).go(), Client(path).go()
    with socket.socket(socket.AF_UNIX) as third:
        third.connect(path)
        for client in first, second:
            equal(client.simple(READ, 0, 4), (0, b"\x11" * 4), "a client reads")
        third.setblocking(False)
        try:
            check(False, f"the third client of two was told {third.recv(8)}")
        except BlockingIOError:
            pass
        first.close()
        third.settimeout(30)
        equal(third.recv(8), b"NBDMAGIC", "the client that waited is greeted")
    second.close()
    process.terminate()
    equal(process.wait(30), 0, "exit status")


def check_stop_among_clients(process, path):
    """It ends while some are served and others are let in, who are told so or find nobody."""
    def come_until_refused():
        try:
            while True:
                Client(path).go().close()
        except (OSError, Closed, BrokenRule):
            pass
    callers = [threading.Thread(target=come_until_refused) for _ in range(AT_ONCE)]
    for caller in callers:
        caller.start()
    process.terminate()
    equal(process.wait(30), 0, "exit status")
    for caller in callers:
        caller.join()


with Workspace() as work:
    image = make_seed_images(work)
    path, process = work.serve_process(image, *NO_DEADLINES)
    at_rest = threads(process)
    check_many(path)
    check_without_descriptors(process, path)
    check_that_threads_leave(process, path, at_rest)
    check_stop_among_clients(process, path)
    check_shared(work, image)
