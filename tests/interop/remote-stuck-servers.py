#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# remote-stuck-servers.py - servers that forget one request while they answer others, that negotiate
# without end, or that are dead for a bitmap that many ask for: nobody waits longer than was said.
import json
import struct
import subprocess
import threading
import time

import nbd

from fake_server import (INFO_EXPORT, OPT_LIST_META, READ, REP_INFO, REP_META, REPLY_MAGIC,
                         FakeServer)
from remote_case import STRATA, Workspace, check, connect, main, nbd_node

M = 1 << 20
BITMAP = "qemu:dirty-bitmap:b"

# What ought to take a second takes no longer than this on a machine that is busy with other things;
# what is wrong takes for ever.
SOON = 20


class Forgetful(FakeServer):
    """Never answers for the second mebibyte."""

    def answer_read(self, client, handle, offset, length):
        if offset != M:
            super().answer_read(client, handle, offset, length)


class InOrder(FakeServer):
    """Answers a read in half a second, one after the other."""

    def answer_read(self, client, handle, offset, length):
        time.sleep(0.5)
        super().answer_read(client, handle, offset, length)


class Flood(FakeServer):
    """Sends parts of replies as fast as it can, and never the last one."""

    @staticmethod
    def pour(client, option, kind, data):
        part = struct.pack(">QIII", REPLY_MAGIC, option, kind, len(data)) + data
        while True:
            client.sendall(part * 10000)


class FloodOfLayers(Flood):
    def answer_meta(self, client, option, data):
        self.pour(client, option, REP_META, struct.pack(">I", 1) + b"strata:only:x")


class FloodOfContexts(Flood):
    """Names that nobody asked for."""

    def answer_meta(self, client, option, data):
        self.pour(client, option, REP_META, struct.pack(">I", 1) + b"x:")


class FloodOfGrants(Flood):
    def answer_meta(self, client, option, data):
        if option == OPT_LIST_META:
            return super().answer_meta(client, option, data)
        return self.pour(client, option, REP_META, struct.pack(">I", 1) + b"base:allocation")


class FloodOfInfo(Flood):
    def answer_go(self, client, option):
        self.pour(client, option, REP_INFO, struct.pack(">HQH", INFO_EXPORT, self.size, 3))


class Trickle(FakeServer):
    """A name now and then, for ever."""

    def answer_meta(self, client, option, data):
        while True:
            self.reply(client, option, REP_META, struct.pack(">I", 1) + b"x:")
            time.sleep(0.01)


class DeadForBitmaps(FakeServer):
    def __init__(self, path):
        super().__init__(path, contexts={"qemu:allocation-depth": [(M, 1)]}, listed=[BITMAP])
        self.n_asked = 0

    def answer_meta(self, client, option, data):
        if option == OPT_LIST_META:
            return super().answer_meta(client, option, data)
        if BITMAP.encode() in data:
            self.n_asked += 1
            while True:
                self.receive(client, 1)
        return super().answer_meta(client, option, data)


def info(server, answer_timeout):
    """Output, complaints and seconds of "strata info" over the server."""
    words = "json:" + json.dumps({"driver": "raw", "file": nbd_node(
        server.path, answer_timeout=answer_timeout)})
    began = time.monotonic()
    with server:
        done = subprocess.run([STRATA, "info", words], capture_output=True, timeout=3 * SOON,
                              text=True, stdin=subprocess.DEVNULL, check=False)
    return done.stdout, done.stderr, time.monotonic() - began


def check_flood(server, words, answer_timeout):
    _, complaint, seconds = info(server, answer_timeout)
    check(words in complaint and seconds < SOON,
          f"{type(server).__name__}: '{complaint}' after {seconds} seconds")


def serve(work, server, **options):
    """The socket of a strata-nbd over it."""
    options = {"answer_timeout": 1, "reconnect_delay": 1, "connections": 1, **options}
    return work.serve("json:" + json.dumps(
        {"driver": "raw", "file": nbd_node(server.path, **options)}))


def refuses(action):
    try:
        action()
    except nbd.Error:
        return True
    return False


def check_forgotten_request(work):
    """Others are answered all the time: the silence of the server is that for one request."""
    has_ended = threading.Event()

    def go_on_reading(socket):
        handle = connect(socket)
        while not has_ended.is_set():
            handle.pread(512, 0)
            time.sleep(0.05)

    with Forgetful(work.socket(), size=4 * M) as server:
        socket = serve(work, server)
        other = threading.Thread(target=go_on_reading, args=(socket,))
        other.start()
        began = time.monotonic()
        handle = connect(socket)
        # A client that is not answered gives up at last, so that the test ends.
        alarm = threading.Timer(SOON, has_ended.set)
        alarm.start()
        is_refused = refuses(lambda: handle.pread(512, M))
        seconds = time.monotonic() - began
        alarm.cancel()
        has_ended.set()
        other.join()
        check(is_refused and seconds < SOON, f"a forgotten request ended after {seconds} seconds")
        check(server.requests.count((READ, M, 512)) == 1, "it was asked again")


def check_slow_server(work):
    """Each answer comes in time, though not within the time since it was asked for."""
    with InOrder(work.socket(), size=4 * M) as server:
        handle = connect(serve(work, server))
        errors = []

        def keep(error):
            errors.append(error.value)
            return 1

        for i in range(4):
            handle.aio_pread(nbd.Buffer(512), i * M, keep)
        while handle.aio_in_flight():
            handle.poll(1000)
        check(errors == [0] * 4, f"a slow server's answers: {errors}")
        check(server.n_connections == 1, f"{server.n_connections} connections to a slow server")


def check_floods(work):
    socket = work.socket()
    # By the deadline, by the number of what is of no use, and by that of what is.
    check_flood(Trickle(socket), "does not ", 1)
    check_flood(FloodOfLayers(socket), "lists more than 2048 layers", 3600)
    check_flood(FloodOfContexts(socket), "lists more than 131072 metadata contexts", 3600)
    check_flood(FloodOfGrants(socket), "has no end", 3600)
    check_flood(FloodOfInfo(socket), "has no end", 3600)
    check_flood(FloodOfInfo(socket), "connected to", 1)


def check_many_bitmaps(work):
    """Too many of them are no reason not to read the data."""
    server = FakeServer(work.socket(), listed=[f"qemu:dirty-bitmap:b{i}" for i in range(3000)])
    told, complaint, _ = info(server, 60)
    check("b2047" in told and "b2048" not in told, f"2048 of 3000 bitmaps: {told[-500:]}")
    check("more bitmaps than the 2048 that are kept; left out: 952" in complaint, complaint)


def check_dead_bitmap(work):
    """Those who wait for one attempt make none of their own."""
    n = 8
    failures = []
    with DeadForBitmaps(work.socket()) as server:
        socket = serve(work, server)
        handles = [connect(socket, [BITMAP]) for _ in range(n)]
        threads = [threading.Thread(target=lambda handle=handle: failures.append(refuses(
            lambda: handle.block_status(M, 0, lambda *_: 0)))) for handle in handles]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(failures == [True] * n, f"answers of a dead bitmap: {failures}")
        check(1 <= server.n_asked <= n // 2, f"{server.n_asked} attempts for {n} clients")
        # It is tried again later.
        deadline = time.monotonic() + SOON
        n_asked = server.n_asked
        while server.n_asked == n_asked:
            check(time.monotonic() < deadline, "the bitmap is never tried again")
            refuses(lambda: handles[0].block_status(M, 0, lambda *_: 0))


def test():
    with Workspace() as work:
        check_forgotten_request(work)
        check_slow_server(work)
        check_floods(work)
        check_many_bitmaps(work)
        check_dead_bitmap(work)


main(test)
