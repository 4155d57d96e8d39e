# SPDX-License-Identifier: LGPL-2.1-or-later
# fake_server.py - an NBD server in the test itself, that lies as it is told to (NBD protocol,
# "Fixed newstyle negotiation" and "Transmission phase").
import contextlib
import os
import socket
import struct
import threading

OPTION_MAGIC = 0x49484156454F5054
REPLY_MAGIC = 0x3E889045565A9
OPT_EXPORT_NAME, OPT_ABORT, OPT_INFO, OPT_GO = 1, 2, 6, 7
OPT_STRUCTURED, OPT_LIST_META, OPT_SET_META = 8, 9, 10
REP_ACK, REP_INFO, REP_META = 1, 3, 4
REP_UNSUP, REP_UNKNOWN = 0x80000001, 0x80000006
INFO_EXPORT, INFO_BLOCK_SIZE = 0, 3
READ, DISCONNECT, BLOCK_STATUS = 0, 2, 7
HAS_FLAGS, READ_ONLY, MULTI_CONN = 1, 2, 256
EIO = 5


class Closed(Exception):
    """The client has gone, or the server wants to."""


class FakeServer:
    """Serves zeros on a Unix socket. What subclasses and arguments change is where it lies.

    contexts: {name: [(length, value)...]}, the extents of the whole export; listed: the names that
    it lists, where they are others; blocks: (minimum, preferred, maximum) or None.
    """

    def __init__(self, path, size=1 << 20, contexts=None, listed=None, blocks=None, flags=0):
        self.path, self.size, self.blocks, self.flags = path, size, blocks, flags
        self.contexts = {"base:allocation": [(size, 0)]} if contexts is None else contexts
        self.listed = list(self.contexts) if listed is None else listed
        self.n_connections = 0
        self.requests = []
        self.clients = []

    def __enter__(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()
        for client in self.clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.n_connections += 1
            self.clients.append(client)
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, contextlib.suppress(Closed, OSError):
            selected = self.negotiate(client)
            while True:
                self.transmit(client, selected)

    @staticmethod
    def receive(client, length):
        data = b""
        while len(data) < length:
            more = client.recv(length - len(data))
            if not more:
                raise Closed
            data += more
        return data

    @staticmethod
    def reply(client, option, kind, data=b""):
        client.sendall(struct.pack(">QIII", REPLY_MAGIC, option, kind, len(data)) + data)

    def negotiate(self, client):
        selected = []
        client.sendall(b"NBDMAGIC" + struct.pack(">QH", OPTION_MAGIC, 3))
        self.receive(client, 4)
        while True:
            _, option, length = struct.unpack(">QII", self.receive(client, 16))
            data = self.receive(client, length)
            if option == OPT_STRUCTURED:
                self.reply(client, option, REP_ACK)
            elif option in (OPT_LIST_META, OPT_SET_META):
                chosen = self.answer_meta(client, option, data)
                selected = chosen if option == OPT_SET_META else selected
            elif option == OPT_GO:
                if self.answer_go(client, option):
                    return selected
            elif option == OPT_ABORT:
                raise Closed
            else:
                self.reply(client, option, REP_UNSUP)

    def answer_meta(self, client, option, data):
        at = 4 + struct.unpack_from(">I", data)[0]
        n, = struct.unpack_from(">I", data, at)
        at += 4
        queries = []
        for _ in range(n):
            length, = struct.unpack_from(">I", data, at)
            queries.append(data[at + 4:at + 4 + length].decode())
            at += 4 + length
        names = [name for name in self.listed for query in queries
                 if name == query or (query.endswith(":") and name.startswith(query))]
        if option == OPT_SET_META:
            names = [query for query in queries if query in self.contexts]
        for i, name in enumerate(names):
            self.reply(client, option, REP_META,
                       struct.pack(">I", i + 1) + name.encode(errors="surrogateescape"))
        self.reply(client, option, REP_ACK)
        return names

    def answer_go(self, client, option):
        self.reply(client, option, REP_INFO,
                   struct.pack(">HQH", INFO_EXPORT, self.size, HAS_FLAGS | READ_ONLY | self.flags))
        if self.blocks:
            self.reply(client, option, REP_INFO, struct.pack(">HIII", INFO_BLOCK_SIZE, *self.blocks))
        self.reply(client, option, REP_ACK)
        return True

    def transmit(self, client, selected):
        header = self.receive(client, 28)
        _, _, kind, handle, offset, length = struct.unpack(">IHH8sQI", header)
        self.requests.append((kind, offset, length))
        if kind == READ:
            self.answer_read(client, handle, offset, length)
        elif kind == BLOCK_STATUS:
            self.answer_status(client, handle, offset, length, selected)
        else:
            raise Closed

    @staticmethod
    def chunk(client, handle, kind, data=b"", is_last=True):
        client.sendall(struct.pack(">IHH8sI", 0x668E33EF, is_last, kind, handle, len(data)) + data)

    def answer_error(self, client, handle, errnum=EIO):
        self.chunk(client, handle, 0x8001, struct.pack(">IH", errnum, 0))

    def answer_read(self, client, handle, offset, length):
        self.chunk(client, handle, 1, struct.pack(">Q", offset) + self.content(offset, length))

    def content(self, offset, length):
        return bytes(length)

    def answer_status(self, client, handle, offset, length, selected):
        for i, name in enumerate(selected):
            pairs = b"".join(struct.pack(">II", *extent)
                             for extent in self.extents(name, offset, length))
            self.chunk(client, handle, 5, struct.pack(">I", i + 1) + pairs, is_last=False)
        self.chunk(client, handle, 0)

    def extents(self, name, offset, length):
        """Those of the request, the first one cut at its offset."""
        at = 0
        for extent_length, value in self.contexts[name]:
            end = at + extent_length
            if end > offset and at < offset + length:
                yield min(end, offset + length) - max(at, offset), value
            at = end
