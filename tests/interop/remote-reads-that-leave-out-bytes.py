#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# remote-reads-that-leave-out-bytes.py - a server says that a read is done, and has not told all of
# it, or some of it twice: EIO, and never what our memory held before. Chunks and holes in any order
# are well.
import json
import struct

import nbd

from fake_server import FakeServer
from remote_case import Workspace, check, connect, main, nbd_node
from functions import wait_for_log

M = 1 << 20
DATA, HOLE = 1, 2


class Pieces(FakeServer):
    """Tells of each read in the second half of the export the pieces that a test has chosen."""

    pieces = ()

    def content(self, offset, length):
        return bytes([0x53]) * length

    def answer_read(self, client, handle, offset, length):
        if offset < M // 2:
            super().answer_read(client, handle, offset, length)
            return
        for kind, start, end in self.pieces:
            start, size = start * length // 8, (end - start) * length // 8
            where = struct.pack(">Q", offset + start)
            what = struct.pack(">I", size) if kind == HOLE else self.content(offset, size)
            self.chunk(client, handle, kind, where + what, is_last=False)
        self.chunk(client, handle, 0)


BAD = {
    "nothing": (),
    "no data": ((DATA, 3, 3),),
    "one half": ((DATA, 0, 4),),
    "the other half": ((HOLE, 4, 8),),
    "no middle": ((DATA, 0, 3), (DATA, 4, 8)),
    "one half twice": ((DATA, 0, 4), (DATA, 0, 4)),
    "an overlap": ((DATA, 0, 5), (HOLE, 4, 8)),
}
GOOD = {
    "one chunk": ((DATA, 0, 8),),
    "one hole": ((HOLE, 0, 8),),
    "backwards": ((DATA, 4, 8), (HOLE, 2, 4), (DATA, 0, 2)),
    "from within": ((HOLE, 3, 5), (DATA, 0, 3), (DATA, 5, 5), (DATA, 5, 8)),
}


def expected(pieces, length):
    content = bytearray(length)
    for kind, start, end in pieces:
        if kind == DATA:
            start, end = start * length // 8, end * length // 8
            content[start:end] = bytes([0x53]) * (end - start)
    return bytes(content)


def check_bad(what, process, handle, length):
    # The memory that such a read would be answered from, if it were.
    for _ in range(4):
        handle.pread(length, 0)
    try:
        found = bytes(handle.pread(length, M // 2))
        check(False, f"{what}: a read of {length} went well, with {length - found.count(0)} "
              "bytes that the server did not send")
    except nbd.Error as error:
        check(error.errno == "EIO", f"{what}: the error is {error.errno}")
    wait_for_log(process, "twice" if what in ("one half twice", "an overlap") else
                 "does not tell all")


def test():
    with Workspace() as work:
        words = {"driver": "raw", "file": nbd_node(work.path("up"), answer_timeout=5)}
        with Pieces(work.path("up"), size=M) as server:
            socket, process = work.serve_process("json:" + json.dumps(words))
            handle = connect(socket)
            for length in (512, 65536, 262144):
                for what, server.pieces in BAD.items():
                    check_bad(what, process, handle, length)
                for what, server.pieces in GOOD.items():
                    check(bytes(handle.pread(length, M // 2)) == expected(server.pieces, length),
                          f"{what}: not what the server told")


main(test)
