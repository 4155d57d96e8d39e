# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd_client.py - a client that speaks NBD byte by byte, to say what no polite client would say.
import socket
import struct

NBDMAGIC = 0x4e42444d41474943
IHAVEOPT = 0x49484156454f5054
REPLY_MAGIC = 0x3e889045565a9
REQUEST_MAGIC = 0x25609513
SIMPLE_MAGIC = 0x67446698
CHUNK_MAGIC = 0x668e33ef

OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_STARTTLS = 1, 2, 3, 5
OPT_INFO, OPT_GO, OPT_STRUCTURED, OPT_LIST_META, OPT_SET_META = 6, 7, 8, 9, 10
REP_ACK, REP_SERVER, REP_INFO, REP_META = 1, 2, 3, 4
ERR_UNSUP, ERR_INVALID, ERR_UNKNOWN, ERR_TOO_BIG = (
    0x80000001, 0x80000003, 0x80000006, 0x80000009)
READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS = range(8)
FLAG_DF, FLAG_REQ_ONE = 4, 8
DONE = 1
NONE, OFFSET_DATA, OFFSET_HOLE, STATUS, ERROR, ERROR_OFFSET = 0, 1, 2, 5, 0x8001, 0x8002
EPERM, EIO, EINVAL = 1, 5, 22


class Closed(Exception):
    """The server hung up."""


class Client:
    def __init__(self, path, flags=3):
        """Connects; with flags=None it stops before the client's flags."""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)  # before the timeout: with one, a full queue would be an error
        self.socket.settimeout(30)
        self.greeting = self.receive(18)
        self.structured = False
        self.handle = 0
        if flags is not None:
            self.send(struct.pack(">I", flags))

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def receive(self, length):
        data = bytearray()
        while len(data) < length:
            try:
                piece = self.socket.recv(min(length - len(data), 1 << 20))
            except ConnectionResetError as error:
                raise Closed from error
            if not piece:
                raise Closed
            data += piece
        return bytes(data)

    def is_closed(self):
        """Waits for the server to hang up, and says whether it did so without another word."""
        try:
            return not self.socket.recv(1)
        except ConnectionResetError:
            return True

    # Handshake.
    def send_option(self, option, data=b"", magic=IHAVEOPT, length=None):
        self.send(struct.pack(">QII", magic, option, len(data) if length is None else length)
                  + data)

    def receive_reply(self):
        magic, option, kind, length = struct.unpack(">QIII", self.receive(20))
        assert magic == REPLY_MAGIC, hex(magic)
        return option, kind, self.receive(length)

    def option(self, option, data=b""):
        """Sends it; returns [(kind, data), ...] up to the final reply."""
        self.send_option(option, data)
        replies = []
        while True:
            answered, kind, payload = self.receive_reply()
            assert answered == option, answered
            replies.append((kind, payload))
            if kind == REP_ACK or kind & 0x80000000:
                return replies

    def use_structured(self):
        assert self.option(OPT_STRUCTURED) == [(REP_ACK, b"")]
        self.structured = True

    @staticmethod
    def info_data(name, *infos):
        name = name.encode()
        return struct.pack(">I", len(name)) + name + struct.pack(
            f">H{len(infos)}H", len(infos), *infos)

    @staticmethod
    def meta_data(name, *queries):
        data = struct.pack(">I", len(name.encode())) + name.encode()
        data += struct.pack(">I", len(queries))
        for query in queries:
            data += struct.pack(">I", len(query.encode())) + query.encode()
        return data

    def meta(self, option, name, *queries):
        """Returns [(id, context name), ...]; fails unless the option was acknowledged."""
        replies = self.option(option, self.meta_data(name, *queries))
        assert replies[-1] == (REP_ACK, b""), replies
        return [(struct.unpack(">I", data[:4])[0], data[4:].decode())
                for kind, data in replies[:-1]]

    def go(self, name=""):
        replies = self.option(OPT_GO, self.info_data(name))
        assert replies[-1] == (REP_ACK, b""), replies
        info = next(data for kind, data in replies if data[:2] == b"\0\0")
        _, self.size, self.flags = struct.unpack(">HQH", info)
        return self

    # Transmission.
    def send_request(self, command, offset=0, length=0, flags=0, payload=b"", magic=REQUEST_MAGIC):
        self.handle += 1
        self.send(struct.pack(">IHHQQI", magic, flags, command, self.handle, offset, length)
                  + payload)
        return self.handle

    def receive_chunk(self):
        """Returns (flags, type, handle, payload)."""
        magic, flags, kind, handle, length = struct.unpack(">IHHQI", self.receive(20))
        assert magic == CHUNK_MAGIC, hex(magic)
        return flags, kind, handle, self.receive(length)

    def chunks(self, handle):
        """All chunks of the one request in flight: [(type, payload), ...]."""
        chunks = []
        while True:
            flags, kind, answered, payload = self.receive_chunk()
            assert answered == handle, answered
            assert flags in (0, DONE), flags
            chunks.append((kind, payload))
            if flags & DONE:
                return chunks

    def command(self, *arguments, **options):
        return self.chunks(self.send_request(*arguments, **options))

    def simple(self, command, offset=0, length=0, flags=0, payload=b""):
        """Returns (error, data) of a simple reply."""
        handle = self.send_request(command, offset, length, flags, payload)
        magic, error, answered = struct.unpack(">IIQ", self.receive(16))
        assert magic == SIMPLE_MAGIC and answered == handle, (hex(magic), answered)
        return error, self.receive(length) if command == READ and not error else b""

    def status(self, offset, length, flags=0):
        """Returns {context id: [(length, flags), ...]}."""
        answer = {}
        for kind, payload in self.command(BLOCK_STATUS, offset, length, flags):
            assert kind == STATUS, (hex(kind), payload)
            context = struct.unpack(">I", payload[:4])[0]
            assert context not in answer, "two chunks for a context"
            answer[context] = list(struct.iter_unpack(">II", payload[4:]))
        return answer


def error_of(chunks):
    """(error, message, offset or None) of a reply that is one error chunk at its end."""
    kind, payload = chunks[-1]
    assert kind in (ERROR, ERROR_OFFSET), hex(kind)
    error, length = struct.unpack(">IH", payload[:6])
    rest = payload[6 + length:]
    offset = struct.unpack(">Q", rest)[0] if kind == ERROR_OFFSET else None
    assert offset is not None or rest == b"", rest
    return error, payload[6:6 + length].decode(), offset


def put_together(chunks, offset, length):
    """The bytes of a structured read, and the kinds of its chunks; checks that all is covered."""
    data, covered, kinds = bytearray(length), bytearray(length), []
    for kind, payload in chunks:
        kinds.append(kind)
        start = struct.unpack(">Q", payload[:8])[0] - offset if payload else 0
        if kind == OFFSET_DATA:
            piece = payload[8:]
        elif kind == OFFSET_HOLE:
            piece = bytes(struct.unpack(">I", payload[8:])[0])
        else:
            assert kind == NONE and not payload, (hex(kind), payload)
            continue
        assert piece and 0 <= start and start + len(piece) <= length, (start, len(piece))
        assert not any(covered[start:start + len(piece)]), "chunks overlap"
        data[start:start + len(piece)] = piece
        covered[start:start + len(piece)] = b"\1" * len(piece)
    assert all(covered), "not all of the range was answered"
    return bytes(data), kinds
