#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Requests that come together, are carried out by one thread and answered together: whatever they
are cut into, whatever has to be waited for in their midst, and whatever the system refuses."""
import os
import random
import re
import struct
import time

from metrics_case import scrape_until
from functions import wait_until
from nbd_case import MIB, STRATA_NBD, Workspace, check, equal, read_text, run
from nbd_client import (Client, DISC, EIO, EXTENDED, EXTENDED_REQUEST_MAGIC, FLAG_DF, READ,
                        REQUEST_MAGIC, SIMPLE, STRUCTURED, put_together)

MODES = (SIMPLE, STRUCTURED, EXTENDED)
SIZE = 8 * MIB
REFUSE = os.path.join(os.environ["BUILDDIR"], "tests", "refuse-calls")


def make_chain(work):
    """A compressed base below an overlay of data, zeros and holes, at no borders but sectors'."""
    source = random.Random(1)
    content = bytearray(source.randbytes(SIZE))
    raw, base, overlay = work.path("raw"), work.path("base.qcow2"), work.path("chain.qcow2")
    with open(raw, "wb") as file:
        file.write(content)
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, base)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", overlay)
    writes = ((0, 512), (70_144, 300_032), (MIB, 2 * MIB), (5 * MIB - 512, 1024), (6 * MIB, MIB))
    zeros = ((400_384, 200_192), (2 * MIB, 65536), (4 * MIB, 700_416))
    commands = []
    for at, length in writes:
        content[at:at + length] = b"\x5a" * length
        commands += ["-c", f"write -q -P 0x5a {at} {length}"]
    for at, length in zeros:
        content[at:at + length] = bytes(length)
        commands += ["-c", f"write -q -z {at} {length}"]
    run("qemu-io", "-f", "qcow2", *commands, overlay)
    return overlay, bytes(content)


def enter(path, mode):
    return Client(path).use(mode).go()


def receive_data(client, asked):
    """Answers to reads in flight, {cookie: (offset, length)}; returns {cookie: bytes}."""
    chunks, answers = {}, {}
    while client.in_flight:
        if client.mode == SIMPLE:
            cookie, error, answers[cookie] = client.receive_simple()
            equal(error, 0, f"error of {asked[cookie]}")
        else:
            _, kind, cookie, payload = client.receive_chunk()
            chunks.setdefault(cookie, []).append((kind, payload))
    for cookie, of_one in chunks.items():
        answers[cookie] = put_together(of_one, *asked[cookie])[0]
    return answers


def ask_all(client, ranges, flags=0):
    """Sends reads as one piece of bytes, and checks nothing."""
    message, send = bytearray(), client.send
    client.send = message.extend
    asked = {client.send_request(READ, *one, flags=flags): one for one in ranges}
    del client.send
    send(bytes(message))
    return asked


def check_answers(client, asked, content, what):
    answers = receive_data(client, asked)
    equal(answers.keys(), asked.keys(), f"{what}: cookies")
    for cookie, (offset, length) in asked.items():
        equal(answers[cookie] == content[offset:offset + length], True,
              f"{what}, mode {client.mode}: {length} bytes at {offset}")


def random_ranges(seed, n, longest):
    source = random.Random(seed)
    for _ in range(n):
        length = source.randint(1, source.choice((600, 40_000, 140_000, longest)))
        yield source.randrange(SIZE - length), length


def every_content(path, content, what):
    """Ranges over layers, zeros and compressed clusters, many in a packet."""
    for mode in MODES:
        for flags in (0, FLAG_DF) if mode != SIMPLE else (0,):
            client = enter(path, mode)
            whole = [(0, SIZE), (1, MIB), (MIB, MIB), (6 * MIB, MIB), (MIB + 512, 2 * MIB)]
            asked = ask_all(client, whole + list(random_ranges(mode, 25, 3 * MIB)), flags)
            check_answers(client, asked, content, what)
            client.close()


def byte_by_byte(path, content):
    for mode in MODES:
        client, message = enter(path, mode), bytearray()
        send, client.send = client.send, message.extend
        ranges = [(0, 10), (MIB - 3, 70_000), (MIB, 100_000)]
        asked = {client.send_request(READ, *one): one for one in ranges}
        del client.send
        for at in range(len(message)):
            send(bytes(message[at:at + 1]))
        check_answers(client, asked, content, "byte by byte")
        client.close()


def cut_everywhere(path, content):
    """More requests than are received at a time, so that one is cut at each of its bytes."""
    for mode in MODES:
        client = enter(path, mode)
        for ahead in range(0, 32, 3):
            asked = ask_all(client, [(i, 1) for i in range(300 + ahead)])
            check_answers(client, asked, content, f"round {ahead}")
        client.close()


def unread_for_a_while(path, content):
    """64 large reads and many small ones, none of them read before all are sent."""
    for mode in MODES:
        client = enter(path, mode)
        ranges = [(i % 7 * MIB, MIB) for i in range(64)] + [(i * 4096, 4096) for i in range(100)]
        asked = ask_all(client, ranges)
        time.sleep(0.05)
        check_answers(client, asked, content, "unread for a while")
        client.send_request(DISC)
        equal(client.is_closed(), True, "after NBD_CMD_DISC")


class SlowServer:
    """A remote base of zeros; its reads are answered only while it may go on."""

    def __init__(self, work):
        self.socket, self.gate, self.begun = work.socket(), work.path("gate"), work.path("begun")
        os.makedirs(self.begun, exist_ok=True)
        work.start_with_pid_file(
            self.socket + ".pid", "nbdkit", "--foreground", "--unix", self.socket, "--pidfile",
            self.socket + ".pid", "eval", "get_size=echo 4M", "thread_model=echo parallel",
            f'pread=mktemp {self.begun}/XXXXXX >/dev/null; until test -e {self.gate}; do '
            'sleep 0.01; done; head -c $3 /dev/zero')

    def open(self):
        with open(self.gate, "w", encoding="utf-8"):
            pass

    def close(self):
        os.remove(self.gate)
        for name in os.listdir(self.begun):
            os.remove(f"{self.begun}/{name}")

    def wait_for_reads(self, n):
        deadline = time.monotonic() + 30
        while len(os.listdir(self.begun)) < n:
            check(time.monotonic() < deadline, f"fewer than {n} reads at a time")
            time.sleep(0.005)


def foreign_behind_good(path):
    """A request with the other kind's magic ends the connection as soon as it has come."""
    for mode in MODES:
        client, message = enter(path, mode), bytearray()
        send, client.send = client.send, message.extend
        cookie = client.send_request(READ, 0, 512)
        del client.send
        magic = REQUEST_MAGIC if mode == EXTENDED else EXTENDED_REQUEST_MAGIC
        send(bytes(message) + struct.pack(">IHHQQI", magic, 0, READ, 1, 0, 512))
        equal(receive_ends(client, 1), [cookie], "the good request")
        equal(client.is_closed(), True, f"mode {mode}, behind a foreign request")


def serve_over(work, slow, *options):
    """An overlay of which the first MiB is here, and the rest with a server that takes its time."""
    overlay = work.path(f"slow{work.sockets}.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", overlay, "4M")
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 0x77 0 1M", overlay)
    slow.open()  # to be opened, it may be read
    path = work.serve(*options, "--image-opts",
                      f"driver=qcow2,file.driver=file,file.filename={overlay},backing.driver=raw,"
                      f"backing.file.driver=nbd,backing.file.server.type=unix,"
                      f"backing.file.server.path={slow.socket}")
    slow.close()
    return path


def receive_ends(client, n):
    """The cookies of the next @n requests that are answered, in that order."""
    cookies = []
    while len(cookies) < n:
        if client.mode == SIMPLE:
            cookies.append(client.receive_simple()[0])
        else:
            cookie = client.receive_chunk()[2]
            cookies += [cookie] if cookie not in client.in_flight else []
    return cookies


def only_one_in_flight(metrics):
    return sum(metrics.all("requests_in_flight", "export").values()) == 1


def slow_among_fast(work, slow):
    """Answers before a slow one do not wait for it; nor, with a second thread, do those behind."""
    here, there = (4096, 512), (2 * MIB, 512)
    for options, n_first in (("--max-requests=8", 4), ("--max-requests=1", 2)):
        metrics = work.socket()
        path = serve_over(work, slow, options, f"--metrics=unix:{metrics}")
        for mode in MODES:
            client = enter(path, mode)
            asked = ask_all(client, [here, here, there, here, here])
            first = receive_ends(client, n_first)
            equal([asked[cookie] for cookie in first], [here] * n_first, "the first answers")
            slow.wait_for_reads(1)
            scrape_until(metrics, only_one_in_flight, "one request in flight")
            slow.open()
            equal(asked[receive_ends(client, 1)[0]], there, "the slow answer")
            receive_ends(client, 4 - n_first)
            slow.close()
            client.close()


def side_by_side(work, slow):
    client = enter(serve_over(work, slow, "--max-requests=6"), STRUCTURED)
    asked = ask_all(client, [(2 * MIB + i * 65536, 512) for i in range(6)])
    slow.wait_for_reads(6)
    slow.open()
    check_answers(client, asked, bytes(4 * MIB), "side by side")
    slow.close()


def truncated(work):
    """What is gone while large reads are served is an error at its place; the connection stays."""
    image = work.path("short.raw")
    content = random.Random(2).randbytes(4 * MIB)
    with open(image, "wb") as file:
        file.write(content)
    path = work.serve("--format=raw", image)
    clients = [enter(path, mode) for mode in MODES]
    for client in clients:
        equal(client.read(MIB, 2 * MIB) == content[MIB:3 * MIB], True, "a read at first")
    os.truncate(image, 2 * MIB + 70_000)
    for client in clients:
        for offset, length in ((2 * MIB, MIB), (MIB + 5, 2 * MIB), (3 * MIB, MIB), (0, 4 * MIB)):
            equal(client.error(READ, offset, length), EIO, f"{length} bytes at {offset}")
            if client.mode != SIMPLE:
                equal(client.error(READ, offset, length, FLAG_DF), EIO, "the same in one piece")
        equal(client.read(MIB, MIB) == content[MIB:2 * MIB], True, "what is left")


def where_it_failed(work):
    """The chunks before the error hold what is there, and the error says where it begins."""
    image = work.path("shorter.raw")
    content = random.Random(3).randbytes(4 * MIB)
    with open(image, "wb") as file:
        file.write(content)
    client = enter(work.serve("--format=raw", image), STRUCTURED)
    os.truncate(image, 3 * MIB)
    begin = MIB + MIB // 2  # so that the end is in the midst of a pipe
    chunks = client.command(READ, begin, 4 * MIB - begin)
    equal(struct.unpack(">Q", chunks[-1][1][-8:])[0], 3 * MIB, "where it failed")
    data = b"".join(payload[8:] for kind, payload in chunks[:-1])
    equal(data == content[begin:3 * MIB], True, "what came before")


def over_tcp(work, image, content):
    """To a client of this machine large reads go without a copy, too."""
    for words in [], [REFUSE, "congestion"]:
        process = work.start(*words, STRATA_NBD, "--listen=tcp:127.0.0.1:0", "--persistent", image)
        wait_until(lambda: "listening on" in read_text(process.log), "it listens")
        port = re.search(r"listening on nbd://127\.0\.0\.1:(\d+)", read_text(process.log))[1]
        every_content(("127.0.0.1", int(port)), content, f"TCP {words}")
        equal("trapped" in read_text(process.log), False, "the log")


def refused(work, image, content):
    """Whatever the system does not let us have, clients notice nothing of it."""
    for what in ("nowait,splice", "nowait-by-filter,splice-by-filter", "nowait-unknown,pipe-size",
                 "pipe"):
        path = work.socket()
        process = work.start_with_pid_file(
            path + ".pid", REFUSE, what, STRATA_NBD, "--socket", path, "--pid-file",
            path + ".pid", image)
        every_content(path, content, f"without {what}")
        equal("trapped" in read_text(process.log), False, "the log")


with Workspace() as work:
    image, content = make_chain(work)
    path = work.serve(image)
    every_content(path, content, "everything")
    byte_by_byte(path, content)
    cut_everywhere(path, content)
    foreign_behind_good(path)
    unread_for_a_while(path, content)
    slow = SlowServer(work)
    slow_among_fast(work, slow)
    side_by_side(work, slow)
    truncated(work)
    where_it_failed(work)
    over_tcp(work, image, content)
    refused(work, image, content)
