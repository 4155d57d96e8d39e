#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# remote-hostile-servers.py - servers that lie, break the protocol or fall silent: one clear error,
# soon, and never a crash or wrong data.
import json
import struct
import subprocess
import time

from fake_server import BLOCK_STATUS, MULTI_CONN, READ, Closed, FakeServer
from remote_case import STRATA, TestFailure, Workspace, check, main, nbd_node

M = 1 << 20
DEPTH, JOINT, BASE = "qemu:allocation-depth", "strata:joint", "base:allocation"


def strata(command, socket, **options):
    """Status, output and complaints of the tool over a raw node on the server."""
    options = {"reconnect_delay": 1, "answer_timeout": 1, **options}
    words = "json:" + json.dumps({"driver": "raw", "file": nbd_node(socket, **options)})
    began = time.monotonic()
    done = subprocess.run([STRATA, *command, words], capture_output=True, timeout=60, text=True,
                          stdin=subprocess.DEVNULL, errors="replace")
    check(done.returncode in (0, 1), f"ended with {done.returncode}: {done.stderr}")
    done.seconds = time.monotonic() - began
    return done


def check_refused(server, words, command=("info",), **options):
    with server:
        done = strata(command, server.path, **options)
    check(done.returncode == 1 and words in done.stderr + done.stdout,
          f"{type(server).__name__}: expected '{words}', found '{done.stderr}{done.stdout}'")


def why(server, words, **options):
    """The same for the first byte."""
    check_refused(server, words, ("map", "--length", "1"), **options)


class ZeroLength(FakeServer):
    def extents(self, name, offset, length):
        yield 0, 0
        yield length, 0


class OneContextMissing(FakeServer):
    def answer_status(self, client, handle, offset, length, selected):
        super().answer_status(client, handle, offset, length, selected[:1])


class NoExtents(FakeServer):
    def answer_status(self, client, handle, offset, length, selected):
        super().answer_status(client, handle, offset, length, [])


class Silent(FakeServer):
    def transmit(self, client, selected):
        self.receive(client, 28)


class SilentBeforeAll(FakeServer):
    def negotiate(self, client):
        self.receive(client, 1 << 20)


class Garbage(FakeServer):
    def transmit(self, client, selected):
        self.receive(client, 28)
        client.sendall(b"garbage" * 100)


class HangsUp(FakeServer):
    def transmit(self, client, selected):
        self.receive(client, 28)
        raise Closed


class Refuses(FakeServer):
    def transmit(self, client, selected):
        header = self.receive(client, 28)
        self.answer_error(client, header[8:16])


class ManyContexts(FakeServer):
    def __init__(self, path, n):
        super().__init__(path, contexts={DEPTH: [(M, 1)], JOINT: [(M, 0x104)]},
                         listed=[JOINT, *(f"strata:only:n{i}" for i in range(n))])


class ListsForEver(FakeServer):
    def answer_meta(self, client, option, data):
        while True:
            self.reply(client, option, 4, struct.pack(">I", 1) + b"strata:only:" + b"x" * 4000)


class OneByteAtATime(FakeServer):
    """Tells no more than 512 bytes in a reply, or much more than was asked."""

    def extents(self, name, offset, length):
        for extent_length, value in super().extents(name, offset, self.size - offset):
            yield extent_length if offset % 1024 else min(512, extent_length), value
            return


class ChangesItsMind(FakeServer):
    """Another size with each connection, and none lives long."""

    def answer_go(self, client, option):
        self.size += 512
        return super().answer_go(client, option)

    def transmit(self, client, selected):
        self.receive(client, 28)
        raise Closed


def check_sizes(socket):
    for size in (1 << 63, (1 << 64) - 1):
        check_refused(FakeServer(socket, size=size, contexts={}), "2^63 bytes or more")
    with FakeServer(socket, size=(1 << 63) - 1, contexts={}) as server:
        done = strata(("map",), server.path)
        check(done.returncode == 0 and "9223372036854775807" in done.stdout,
              f"the largest size: {done.stderr}{done.stdout}")
    with FakeServer(socket, size=0) as server:
        check(strata(("map",), server.path).returncode == 0, "an empty export")


def check_blocks(socket):
    # libnbd passes over sizes that are against the rules; whatever it makes of them must do.
    for blocks in ((3, 4096, M), (1 << 17, 1 << 17, M), (0xffffffff, 4096, M), (4096, 4096, 512)):
        with FakeServer(socket, blocks=blocks) as server:
            strata(("map",), server.path)
    # Whoever asks for odd bytes has whole blocks asked, and no more than the server takes at once.
    with FakeServer(socket, size=5 * 4096 + 100, blocks=(4096, 4096, 8192)) as server:
        words = "json:" + json.dumps({"driver": "raw", "offset": 100, "file": nbd_node(socket)})
        done = subprocess.run([STRATA, "map", "--offset", "1", "--length", "9000", words],
                              capture_output=True, timeout=60, check=False)
        check(done.returncode == 0, f"odd ranges: {done.stderr}")
        check(all(offset % 4096 == 0 and (length % 4096 == 0 or offset + length == server.size)
                  for _, offset, length in server.requests), f"asked for {server.requests}")


def check_status(socket):
    why(ZeroLength(socket), "an extent of no length")
    why(NoExtents(socket), "cannot be used: it says nothing about it")
    why(OneContextMissing(socket, contexts={BASE: [(M, 0)], DEPTH: [(M, 1)]}),
        "cannot be used: it says nothing about it")
    why(FakeServer(socket, contexts={BASE: [(M, 0)], DEPTH: [(M, 70000)]}), "depth above 65536")
    layers = {DEPTH: [(M, 1)], JOINT: [(M, 0x304)]}
    listed = [JOINT, "strata:only:a", "strata:only:b"]
    why(FakeServer(socket, contexts=layers, listed=listed), "a layer claims a range that it did "
        "not list")
    why(FakeServer(socket, contexts={**layers, DEPTH: [(M, 0)]}, listed=listed),
        "without a depth")
    why(FakeServer(socket, contexts={DEPTH: [(M, 0)], JOINT: [(M, 0)]}, listed=listed),
        "nobody claims a range that is not zeros")
    with OneByteAtATime(socket, size=4096, contexts={BASE: [(1000, 0), (3096, 3)]}) as server:
        done = strata(("map",), server.path)
        found = [line.split()[:3] for line in done.stdout.splitlines()[1:]]
        check(found == [["0", "1000", "data"], ["1000", "3096", "zero"]],
              f"short and long replies: {found} {done.stderr}")
    # Far more extents than anybody keeps of one reply.
    many = [(512, i % 2 * 3) for i in range(200000)]
    with FakeServer(socket, size=512 * 200000, contexts={BASE: many}) as server:
        done = strata(("map",), server.path, answer_timeout=20)
        check(len(done.stdout.splitlines()) == 200001, f"a long map: {done.stderr[:200]}")


def check_names(socket):
    check_refused(ManyContexts(socket, 3000), "lists more than 2048 layers")
    check_refused(ListsForEver(socket), "cannot open it: ")
    check_refused(FakeServer(socket, contexts={DEPTH: [(M, 1)]},
                             listed=[JOINT, "strata:only:a"]), "does not grant them")
    check_refused(FakeServer(socket, contexts={DEPTH: [(M, 1)], JOINT: [(M, 0x104)]},
                             listed=[JOINT, "strata:only:"]), "a layer without a name")
    names = ["a@b:c d", "\x1b[31mred", "a@b c:d", "x" * 3000, "\udcff\udcfe", "../../etc"]
    with FakeServer(socket, contexts={DEPTH: [(M, 1)], JOINT: [(M, 0x104)]},
                    listed=[JOINT, *("strata:only:" + name for name in names)]) as server:
        done = strata(("info",), server.path, node_name="n")
    found = [line.split("'")[1] for line in done.stdout.splitlines() if "remote '" in line]
    check(found == ["n/a_b_c_d", "n/__31mred", "n/a_b_c_d-2", "n/" + "x" * 255, "n/__",
                    "n/../../etc"], f"names of layers: {found} {done.stderr}")


def check_connections(socket):
    check_refused(SilentBeforeAll(socket), "does not answer to being connected to")
    why(Silent(socket), "the server has not answered for 1 seconds (\"answer-timeout\"")
    why(Garbage(socket), "no connection to the server for ")
    why(HangsUp(socket), "no connection to the server for ")
    why(Refuses(socket), "with an error: Input/output error")
    why(ChangesItsMind(socket), "has changed since it was opened: its size is ")
    with HangsUp(socket) as server:
        done = strata(("map", "--length", "1"), server.path, reconnect_delay=0)
        check(done.seconds < 5, f"without patience it took {done.seconds} seconds")
    with Silent(socket, flags=MULTI_CONN) as server:
        done = strata(("map", "--length", "1"), server.path)
        check("has not answered" in done.stdout + done.stderr, f"silent, multi-conn: {done.stdout}")


def test():
    with Workspace() as work:
        socket = work.socket()
        check_sizes(socket)
        check_blocks(socket)
        check_status(socket)
        check_names(socket)
        check_connections(socket)


main(test)
