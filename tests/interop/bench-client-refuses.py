#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bench-client-refuses.py - the client of the benchmarks takes every answer that the protocol allows,
and ends with a sentence at one that it does not: a figure of a server that cheats counts nothing."""
import json
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from fake_server import BLOCK_STATUS, DISCONNECT, READ, Closed, FakeServer  # noqa: E402
from functions import BUILDDIR, Workspace, check, main  # noqa: E402

LOAD = BUILDDIR + "/bench/load"
SIZE = 1 << 16
ONE = {"base:allocation": [(SIZE, 0)]}
TWO = {"base:allocation": [(4096, 0), (SIZE - 4096, 3)], "x:y": [(8, 7), (1, 8), (SIZE - 9, 7)]}
NONE, DATA, HOLE, STATUS, STATUS_EXT, ERROR = 0, 1, 2, 5, 6, 0x8001


class Liar(FakeServer):
    """Answers each request with the chunks that a function makes of it: (type, payload) in order."""

    def __init__(self, path, chunks, contexts=None, flags=0, extended=False):
        super().__init__(path, SIZE, contexts or ONE, flags=flags)
        self.chunks, self.extended = chunks, extended

    def reply(self, client, option, kind, data=b""):
        super().reply(client, option, 1 if self.extended and option == 11 else kind, data)

    def transmit(self, client, selected):
        header = self.receive(client, 32 if self.extended else 28)
        _, _, kind, self.handle, offset, length = struct.unpack(
            ">IHH8sQQ" if self.extended else ">IHH8sQI", header)
        if kind == DISCONNECT:
            raise Closed
        check(kind in (READ, BLOCK_STATUS), f"command {kind}")
        chunks = self.chunks(offset, length)
        if isinstance(chunks, bytes):
            client.sendall(chunks.replace(b"COOKIE!!", self.handle))
            raise Closed
        for i, (chunk, data) in enumerate(chunks):
            flags = chunk >> 16 or i == len(chunks) - 1
            if self.extended:
                client.sendall(struct.pack(">IHH8sQQ", 0x6E8A278C, flags, chunk & 0xffff, self.handle,
                                           offset, len(data)) + data)
            else:
                self.chunk(client, self.handle, chunk & 0xffff, data, flags)


def data(offset, length):
    return DATA, struct.pack(">Q", offset) + b"\xa5" * length


def hole(offset, length):
    return HOLE, struct.pack(">QI", offset, length)


def status(*extents, context=1):
    return STATUS, struct.pack(">I", context) + b"".join(struct.pack(">II", *e) for e in extents)


def status_ext(*extents, context=1, count=0):
    return STATUS_EXT, struct.pack(">II", context, count) + b"".join(
        struct.pack(">QQ", *e) for e in extents)


SIMPLE = struct.pack(">II8s", 0x67446698, 0, b"COOKIE!!")
REFUSED_READS = {
    "does not tell all of them": lambda at, n: [(NONE, b"")],
    "does not tell all": lambda at, n: [data(at, n - 1)],
    "chunks tell of the same bytes": lambda at, n: [data(at + 8, n - 8), hole(at, 9)],
    "in reply to a read of": lambda at, n: [data(at, n + 1)],
    "bytes at 0x1 in reply to a read": lambda at, n: [hole(at + 1, n)],
    "of no length": lambda at, n: [hole(at, 0), data(at, n)],
    "OFFSET_DATA of 8 bytes": lambda at, n: [data(at, 0)],
    "OFFSET_HOLE of 8 bytes": lambda at, n: [(HOLE, bytes(8))],
    "chunk of type 5": lambda at, n: [status((n, 0))],
    "or that is not the last": lambda at, n: [(NONE, b""), data(at, n)],
    "NBD_REPLY_TYPE_NONE of 1 bytes": lambda at, n: [data(at, n), (NONE, b"x")],
    "unknown flags 0x2": lambda at, n: [(2 << 16 | DATA, data(at, n)[1])],
    "answers EIO: alas": lambda at, n: [(ERROR, struct.pack(">IH", 5, 4) + b"alas")],
    "longer than its chunk": lambda at, n: [(ERROR, struct.pack(">IH", 5, 5) + b"alas")],
    "error chunk of 2 bytes": lambda at, n: [(ERROR, b"xx")],
    "simple reply where structured": lambda at, n: SIMPLE + bytes(n),
    "which no request in flight has": lambda at, n: SIMPLE.replace(b"COOKIE!!", b"c" * 8),
    "has the cookie 64, which no": lambda at, n: SIMPLE.replace(b"COOKIE!!", b"\0" * 7 + b"\x40"),
    "magic 0x00000000": lambda at, n: bytes(16),
    "closed the connection": lambda at, n: SIMPLE[:5],
}
REFUSED_MAPS = {
    "extent of no length": lambda at, n: [status((512, 0), (0, 3), (n - 512, 0))],
    "past the end of the export": lambda at, n: [status((n + 1, 0))],
    "tells context 'base:allocation' twice": lambda at, n: [status((n, 0)), status((n, 0))],
    "nothing of context 'base:allocation'": lambda at, n: [(NONE, b"")],
    "id 9, which there is not": lambda at, n: [status((n, 0), context=9)],
    "block status of 4 bytes": lambda at, n: [status()],
    "block status of 16 bytes": lambda at, n: [(STATUS, bytes(16))],
    "chunk of type 6": lambda at, n: [status_ext((n, 0))],
    "has the cookie": lambda at, n: SIMPLE.replace(b"COOKIE!!", b"c" * 8),
    "server answers EINVAL": lambda at, n: SIMPLE.replace(b"\0\0\0\0", b"\0\0\0\x16"),
}
REFUSED_WIDE_MAPS = {
    "chunk of type 5": lambda at, n: [status((n, 0))],
    "2 extents says that it has 1": lambda at, n: [status_ext((1, 0), (n - 1, 3), count=1)],
    "extent of 18446744073709551615 bytes": lambda at, n: [status_ext((1, 0), ((1 << 64) - 1, 0))],
    "block status of 8 bytes": lambda at, n: [status_ext()],
    "magic 0x668e33ef": lambda at, n: struct.pack(">IHH8sI", 0x668E33EF, 1, 0, b"COOKIE!!", 0),
    "with the offset 0x1": lambda at, n: struct.pack(">IHH8sQQ", 0x6E8A278C, 1, 0, b"COOKIE!!",
                                                     1, 0),
}


def load(server, *words):
    return subprocess.run([LOAD, *words, server.path], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, timeout=60)


def refuses(path, chunks, sentence, *words, **arguments):
    with Liar(path, chunks, **arguments) as server:
        done = load(server, *words)
    check(done.returncode == 1 and sentence in done.stderr and done.stderr.count("\n") == 1 and
          not done.stdout, f"{words}: ended with {done.returncode}, {done.stdout}{done.stderr}; "
          f"expected: {sentence}")


def takes(path, chunks, *words, **arguments):
    with Liar(path, chunks, **arguments) as server:
        done = load(server, *words)
    check(done.returncode == 0, f"{words}: ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def same_digests(path, answers, *words, **arguments):
    """Of maps, however they are cut; {context: merged extents} of the first."""
    maps = [takes(path, chunks, *words, **arguments)["contexts"] for chunks in answers]
    digests = [[context["digest"] for context in contexts] for contexts in maps]
    check(all(digest == digests[0] for digest in digests), f"{words}: {maps}")
    return {context["name"]: context["merged"] for context in maps[0]}


def takes_reads(path):
    answers = [
        lambda at, n: [data(at, n)],
        lambda at, n: [data(at + 9, n - 9), data(at, 4), data(at + 4, 5), (NONE, b"")],
        lambda at, n: [data(at, 1), data(at + 2, n - 2), data(at + 1, 1)],
    ]
    results = [takes(path, answer, "read", "--digest", "--size=5000", "--depth=3")
            for answer in answers]
    check(len({one["digest"] for one in results}) == 1 and
          all(one["bytes"] == SIZE and one["hole_bytes"] == 0 for one in results), f"reads: {results}")
    empty = takes(path, lambda at, n: [hole(at, n)], "read", "--digest")
    check(empty["digest"] == "0" * 16 and empty["hole_bytes"] == SIZE, f"a hole: {empty}")


def extents_of(name, at, end=SIZE):
    """Those of TWO from @at to @end."""
    begin = 0
    for length, value in TWO[name]:
        if begin + length > at and begin < end:
            yield min(begin + length, end) - max(begin, at), value
        begin += length


def told(at, end_of_base, end_of_other):
    return [status(*extents_of("base:allocation", at, end_of_base)),
            status(*extents_of("x:y", at, end_of_other), context=2)]


def takes_maps(path):
    merged = same_digests(path, [
        lambda at, n: told(at, SIZE, SIZE),
        lambda at, n: told(at, at + 5000, SIZE),  # each context its own length
        lambda at, n: [*told(at, at + 7, at + 9), (NONE, b"")] if at < 15 else told(at, SIZE, SIZE),
    ], "map", "--contexts=base:allocation,x:y", contexts=TWO)
    check(merged == {"base:allocation": 2, "x:y": 3}, f"merged: {merged}")
    same_digests(path, [
        lambda at, n: [status((SIZE - at, 0))],  # more than was asked for
        lambda at, n: [status((n, 0))],
    ], "map", "--chunk=1000", contexts=ONE)
    same_digests(path, [
        lambda at, n: [status_ext((n, 0))],
        lambda at, n: [status_ext((min(n, 5000), 0), count=1)],
    ], "map", "--bits=64", contexts=ONE, extended=True)


def test():
    with Workspace() as work:
        path = work.socket()
        takes_reads(path)
        takes_maps(path)
        for sentence, chunks in REFUSED_READS.items():
            refuses(path, chunks, sentence, "read", "--size=4096", "--count=1")
        for sentence, chunks in REFUSED_MAPS.items():
            refuses(path, chunks, sentence, "map")
        for sentence, chunks in REFUSED_WIDE_MAPS.items():
            refuses(path, chunks, sentence, "map", "--bits=64", extended=True)
        refuses(path, lambda at, n: [data(at, 8), data(at + 8, n - 8)], "more than one chunk",
                "read", "--df", flags=1 << 7)
        refuses(path, lambda at, n: [status((n, 0), *[(1, 3)] * (at == 0))],
                "past the request's end", "map", "--chunk=512")
        for words in [], ["--drop"]:
            refuses(path, lambda at, n: SIMPLE + bytes(n - 1), "closed the connection", "read",
                    "--simple", *words)
        refuses(path, None, "no NBD_CMD_FLAG_DF", "read", "--df")
        refuses(path, None, "has no context 'a:b'", "map", "--contexts=base:allocation,a:b")
        refuses(path, None, "refuses NBD_OPT_EXTENDED_HEADERS", "map", "--bits=64")
        with open(path + ".raw", "wb") as file:
            file.truncate(SIZE)
        refuses(path, lambda at, n: [hole(at, 9), data(at + 9, n - 9)], "the byte at 0x9 is 0xa5",
                "read", f"--verify={path}.raw")


main(test)
