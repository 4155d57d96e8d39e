#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""--max-connections and --max-connections-per-peer turn away who is over, at once and alone."""
import socket
import struct
import time

from limits_case import STRATA_NBD, count_descriptors, wait_for_log, wait_until
from nbd_case import CONTENT, Workspace, check, equal, make_seed_images
from nbd_client import Client, Closed, READ


def is_turned_away(path):
    try:
        Client(path, flags=None)
    except Closed:
        return True
    return False


def in_all(work, image):
    path, process = work.serve_process("--max-connections=3", image)
    clients = [Client(path).go(), Client(path), Client(path, flags=None)]
    full = count_descriptors(process)
    for _ in range(20):
        equal(is_turned_away(path), True, "the fourth")
    equal(clients[0].simple(READ, 0, 4), (0, CONTENT[:4]), "the first is served")
    wait_for_log(process, "turned away: there are 3 connections already (--max-connections)")
    clients[2].close()
    wait_until(lambda: count_descriptors(process) < full, "a place is free")
    equal(Client(path).go().simple(READ, 0, 4), (0, CONTENT[:4]), "the next has the place")


def shared_waits(work, image):
    """Those above --shared wait, as ever, and are not turned away."""
    path = work.serve("--shared=1", "--persistent", image)
    first = Client(path).go()
    with socket.socket(socket.AF_UNIX) as second:
        second.connect(path)
        equal(first.simple(READ, 0, 4), (0, CONTENT[:4]), "the first is served")
        second.settimeout(0.3)
        try:
            equal(second.recv(1), None, "the second waits")
        except TimeoutError:
            pass
        first.close()
        second.settimeout(30)
        equal(second.recv(8), b"NBDMAGIC", "the second is greeted when the first has left")


def per_user(work, image):
    path, process = work.serve_process("--max-connections-per-peer=2", image)
    clients = [Client(path).go(), Client(path).go()]
    equal(is_turned_away(path), True, "a third of the same user")
    wait_for_log(process, "already (--max-connections-per-peer)")
    for client in clients:
        equal(client.simple(READ, 0, 4), (0, CONTENT[:4]), "the two are served")


def greeting_from(source, port):
    """Connects from that address; returns the socket, and what the server says first."""
    client = socket.socket()
    client.bind((source, 0))
    client.connect(("127.0.0.1", port))
    client.settimeout(30)
    try:
        return client, client.recv(18, socket.MSG_WAITALL)
    except ConnectionResetError:
        return client, b""


def per_host(work, image):
    process = work.start_with_pid_file(
        work.path("tcp.pid"), STRATA_NBD, "-b", "127.0.0.1", "-p", "0", "--pid-file",
        work.path("tcp.pid"), "--max-connections-per-peer=2", image)
    wait_for_log(process, "listening on nbd://127.0.0.1:")
    with open(process.log, encoding="ascii") as log:
        port = int(log.readline().rsplit(":", 1)[1].strip("/\n"))
    kept = [greeting_from("127.0.0.1", port) for _ in range(2)]
    equal([len(greeting) for _, greeting in kept], [18, 18], "two of a host")
    equal(greeting_from("127.0.0.1", port)[1], b"", "a third of that host")
    other, greeting = greeting_from("127.0.0.2", port)
    equal(len(greeting), 18, "one of another host")
    wait_for_log(process, "there are 2 connections from 127.0.0.1 already")
    for client in [other] + [client for client, _ in kept]:
        client.sendall(struct.pack(">I", 3))
        client.close()


def come_and_go(port, source, count):
    """How many of @count clients that say nothing were greeted."""
    n_greeted = 0
    for _ in range(count):
        client, greeting = greeting_from(source, port)
        n_greeted += greeting != b""
        client.close()
    return n_greeted


def can_read(port, source):
    """Whether a client at that address is served."""
    client, greeting = greeting_from(source, port)
    if not greeting:
        return False
    with client:
        client.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 1, 0))
        equal(len(client.recv(10, socket.MSG_WAITALL)), 10, "it has an export")
        client.sendall(struct.pack(">IHHQQI", 0x25609513, 0, READ, 1, 0, 4))
        return client.recv(20, socket.MSG_WAITALL)[16:] == CONTENT[:4]


def flood(work, image):
    """Who comes and goes again and again is turned away for a while, alone."""
    process = work.start_with_pid_file(
        work.path("flood.pid"), STRATA_NBD, "--persistent", "-b", "127.0.0.1", "-p", "0",
        # Those that have gone count until the server has noticed.
        "--max-connections-per-peer=0", "--pid-file", work.path("flood.pid"), image)
    wait_for_log(process, "listening on nbd://127.0.0.1:")
    with open(process.log, encoding="ascii") as log:
        port = int(log.readline().rsplit(":", 1)[1].strip("/\n"))
    n_greeted, began = 0, time.monotonic()
    for _ in range(25):  # a thousand at once, and 500 in each second
        n_greeted += come_and_go(port, "127.0.0.1", 200)
        equal(can_read(port, "127.0.0.2"), True, "a client at another address")
    most = 1000 + 500 * (time.monotonic() - began) + 1
    check(1000 <= n_greeted <= most, f"{n_greeted} of 5000 were greeted, not 1000 to {most:.0f}")
    wait_for_log(process, "turned away: 127.0.0.1 connects more than 500 times a second")
    wait_until(lambda: can_read(port, "127.0.0.1"), "the one who flooded is served later")


with Workspace() as work:
    image = make_seed_images(work)
    in_all(work, image)
    shared_waits(work, image)
    per_user(work, image)
    per_host(work, image)
    flood(work, image)
