#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A worker that has answered looks out for more before it sleeps: for the time of --busy-poll, where
a processor is to spare. Meanwhile nothing waits for it: not the end of the server, and not what a
client sends in parts."""
import contextlib
import os
import re
import struct
import subprocess
import threading
import time

from nbd_case import MIB, STRATA_NBD, Workspace, check, equal
from nbd_client import READ, REQUEST_MAGIC, Client, Closed
from tls_case import Authority

REQUESTS = 50
THINKS = 0.002  # seconds that the client lets pass before it asks again
LONGEST = 100000  # microseconds


def count_sleeps(process):
    """How often threads of the process have waited for something."""
    total = 0
    for task in os.listdir(f"/proc/{process.pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            with open(f"/proc/{process.pid}/task/{task}/status", encoding="ascii") as file:
                total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read(), re.M)[1])
    return total


def ask(client):
    client.send_request(READ, 0, 512)
    client.receive_simple()


def ask_in_parts(client):
    client.in_flight.clear()
    request = struct.pack(">IHHQQI", REQUEST_MAGIC, 0, READ, 1, 0, 512)
    client.send(request[:10])
    time.sleep(THINKS)
    client.send(request[10:])
    client.receive(16 + 512)


def sleeps_between_requests(path, process, how):
    """... while a client asks, and thinks, and asks again."""
    client = Client(path).go()
    ask(client)
    before = count_sleeps(process)
    for _ in range(REQUESTS):
        how(client)
        time.sleep(THINKS)
    return count_sleeps(process) - before


def serve(work, command, *options):
    """strata-nbd behind the words of @command, which become it."""
    socket = work.socket()
    return socket, work.start_with_pid_file(
        socket + ".pid", *command, STRATA_NBD, "--socket", socket, "--pid-file", socket + ".pid",
        *options, "-f", "raw", work.path("image"))


def check_sleeps(work, what, falls_asleep, command, *options, how=ask):
    path, process = serve(work, command, *options)
    sleeps = sleeps_between_requests(path, process, how)
    # On a busy machine it may be stopped for longer than a client thinks, or look out for too long.
    check((sleeps > REQUESTS / 5) == falls_asleep,
          f"{what}: it slept {sleeps} times in {REQUESTS} requests")


def ask_until_closed(client):
    with contextlib.suppress(Closed):
        while True:
            ask(client)


def stops(process, what):
    """Not only when the time of --stop-timeout is over."""
    process.terminate()
    try:
        equal(process.wait(20), 0, "exit status")
    except subprocess.TimeoutExpired:
        check(False, f"a server does not stop while {what}")


def stops_while_asked(work):
    """A client that asks on and on is turned down, and not looked out for."""
    path, process = serve(work, [], f"--busy-poll={LONGEST}", "--stop-timeout=60")
    client = Client(path).go()
    ask(client)
    asks = threading.Thread(target=ask_until_closed, args=[client])
    asks.start()
    stops(process, "a client asks")
    asks.join()


def stops_at_half_a_record(work, pki):
    """What a client of TLS holds back is not waited for as by a worker with requests."""
    path, process = serve(work, [], f"--busy-poll={LONGEST}", "--stop-timeout=60",
                          "--tls-certificates=" + pki.dir)
    client = Client(path).start_tls(pki.client()).go()
    client.send_request(READ, 0, 512)
    os.write(client.socket.fileno(), b"\x17\x03\x03")
    client.receive_simple()
    time.sleep(THINKS)
    stops(process, "half a record is there")
    client.close()


with Workspace() as work:
    with open(work.path("image"), "wb") as image:
        image.write(b"\x5a" * MIB)
    processors = sorted(os.sched_getaffinity(0))
    pinned = ["taskset", "--cpu-list", str(processors[0])]
    check_sleeps(work, "by default", True, [])
    check_sleeps(work, "without", True, [], "--busy-poll=0")
    check_sleeps(work, "one processor", True, pinned, f"--busy-poll={LONGEST}")
    if len(processors) > 1:
        longest = f"--busy-poll={LONGEST}"
        check_sleeps(work, "longest", False, [], longest)
        check_sleeps(work, "for the rest of a request", True, [], longest, how=ask_in_parts)
        stops_while_asked(work)
        stops_at_half_a_record(work, Authority(work).issue_server())
