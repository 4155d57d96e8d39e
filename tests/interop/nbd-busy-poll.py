#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A worker that has answered looks out for more before it sleeps: for the time of --busy-poll, where
a processor is to spare."""
import os
import re
import time

from nbd_case import MIB, STRATA_NBD, Workspace, check, equal
from nbd_client import READ, Client

REQUESTS = 50
THINKS = 0.002  # seconds that the client lets pass before it asks again
LONGEST = 100000  # microseconds


def count_sleeps(process):
    """How often threads of the process have waited for something."""
    total = 0
    for task in os.listdir(f"/proc/{process.pid}/task"):
        with open(f"/proc/{process.pid}/task/{task}/status", encoding="ascii") as file:
            total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read(), re.M)[1])
    return total


def sleeps_between_requests(path, process):
    """... while a client asks, and thinks, and asks again."""
    client = Client(path).go()
    client.read_simple = lambda: (client.send_request(READ, 0, 512), client.receive_simple())
    client.read_simple()
    before = count_sleeps(process)
    for _ in range(REQUESTS):
        client.read_simple()
        time.sleep(THINKS)
    return count_sleeps(process) - before


def serve(work, command, *options):
    """strata-nbd behind the words of @command, which become it."""
    socket = work.socket()
    return socket, work.start_with_pid_file(
        socket + ".pid", *command, STRATA_NBD, "--socket", socket, "--pid-file", socket + ".pid",
        *options, "-f", "raw", work.path("image"))


def check_sleeps(work, what, falls_asleep, command, *options):
    path, process = serve(work, command, *options)
    sleeps = sleeps_between_requests(path, process)
    if falls_asleep:
        check(sleeps >= REQUESTS / 2, f"{what}: it slept {sleeps} times in {REQUESTS} requests")
    else:
        check(sleeps <= REQUESTS / 5, f"{what}: it slept {sleeps} times in {REQUESTS} requests")
    return process


def stops_at_once(process):
    since = time.monotonic()
    process.terminate()
    equal(process.wait(10), 0, "exit status")
    check(time.monotonic() - since < 5, "a server that looks out stops without waiting for requests")


with Workspace() as work:
    with open(work.path("image"), "wb") as image:
        image.write(b"\x5a" * MIB)
    processors = sorted(os.sched_getaffinity(0))
    pinned = ["taskset", "--cpu-list", str(processors[0])]
    check_sleeps(work, "by default", True, [])
    check_sleeps(work, "without", True, [], "--busy-poll=0")
    check_sleeps(work, "one processor", True, pinned, f"--busy-poll={LONGEST}")
    if len(processors) > 1:
        stops_at_once(check_sleeps(work, "longest", False, [], f"--busy-poll={LONGEST}"))
