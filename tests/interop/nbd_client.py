# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd_client.py - a client that speaks NBD byte by byte, to say what no polite client would say, and
# that takes no answer which the specification does not allow (nbd_rules.py).
import socket
import ssl
import struct

from nbd_rules import (  # noqa: F401 (tests take the names from here)
    BLOCK_STATUS, CACHE, DISC, DONE, EINVAL, EIO, EPERM, ERR_EXT_HEADER_REQD, ERR_INVALID,
    ERR_POLICY, ERR_TLS_REQD, ERR_TOO_BIG, ERR_UNKNOWN, ERR_UNSUP, ERROR, ERROR_OFFSET, ERRORS,
    EXTENDED, FLAG_DF, FLAG_FAST_ZERO, FLAG_FUA, FLAG_NO_HOLE, FLAG_PAYLOAD_LEN, FLAG_REQ_ONE,
    FLUSH, NONE, OFFSET_DATA, OFFSET_HOLE, OPT_ABORT, OPT_EXPORT_NAME, OPT_EXTENDED, OPT_GO,
    OPT_INFO, OPT_LIST, OPT_LIST_META, OPT_SET_META, OPT_STARTTLS, OPT_STRUCTURED, READ, REP_ACK,
    REP_ERROR, REP_INFO, REP_META, REP_SERVER, SIMPLE, STATUS, STATUS_EXT, STRUCTURED, TRIM, WRITE,
    WRITE_ZEROES, BrokenRule, Exchange, check_option_replies, check_option_reply, must)

NBDMAGIC = 0x4e42444d41474943
IHAVEOPT = 0x49484156454f5054
REPLY_MAGIC = 0x3e889045565a9
REQUEST_MAGIC, EXTENDED_REQUEST_MAGIC = 0x25609513, 0x21e41c71
SIMPLE_MAGIC = 0x67446698
CHUNK_MAGIC, EXTENDED_CHUNK_MAGIC = 0x668e33ef, 0x6e8a278c


class Closed(Exception):
    """The server hung up."""


class Client:
    def __init__(self, address, flags=3):
        """Connects to the path of a Unix socket or to (host, port); with flags=None it stops
        before the client's flags."""
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.connect(address)  # before the timeout: with one, a full queue would be an error
        self.socket.settimeout(30)
        self.ended_well = None  # over TLS: whether the server said good-bye
        self.mode = SIMPLE
        self.size = None
        self.contexts = {}  # {id: name} that were selected
        self.meta_export = None
        self.handle = 0
        self.in_flight = {}  # {cookie: [Exchange, ...]}
        self.greeting = self.receive(18)
        if flags is not None:
            self.send(struct.pack(">I", flags))

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError) as error:
            raise Closed from error

    def receive(self, length):
        data = bytearray()
        while len(data) < length:
            try:
                piece = self.socket.recv(min(length - len(data), 1 << 20))
            except (ConnectionResetError, ssl.SSLError) as error:
                raise Closed from error
            if not piece:
                raise Closed
            data += piece
        return bytes(data)

    def is_closed(self):
        """Waits for the server to hang up, and says whether it did so without another word."""
        try:
            self.ended_well = True
            return not self.socket.recv(1)
        except (ConnectionResetError, ssl.SSLError):
            self.ended_well = False
            return True

    # Handshake.
    def send_option(self, option, data=b"", magic=IHAVEOPT, length=None):
        self.send(struct.pack(">QII", magic, option, len(data) if length is None else length)
                  + data)

    def receive_reply(self):
        magic, option, kind, length = struct.unpack(">QIII", self.receive(20))
        must(magic == REPLY_MAGIC, "an option reply begins with", hex(magic))
        data = self.receive(length)
        check_option_reply(option, kind, data)
        return option, kind, data

    def replies(self, option):
        """[(kind, data), ...] up to the final reply."""
        replies = []
        while True:
            answered, kind, payload = self.receive_reply()
            must(answered == option, "a reply to option", answered, "instead of", option)
            replies.append((kind, payload))
            if kind == REP_ACK or kind & REP_ERROR:
                check_option_replies(option, replies)
                return replies

    def option(self, option, data=b""):
        """Sends it; returns [(kind, data), ...] up to the final reply."""
        if option == OPT_SET_META:  # replaces what was selected, even if it fails
            self.contexts = {}
        self.send_option(option, data)
        return self.replies(option)

    def use(self, mode):
        if mode != SIMPLE:
            option = OPT_STRUCTURED if mode == STRUCTURED else OPT_EXTENDED
            must(self.option(option) == [(REP_ACK, b"")], "mode", mode, "is refused")
        self.mode = mode
        return self

    def use_structured(self):
        self.use(STRUCTURED)

    def start_tls(self, context, name="localhost"):
        """Upgrades the connection; whatever was negotiated before is forgotten."""
        must(self.option(OPT_STARTTLS) == [(REP_ACK, b"")], "STARTTLS is refused")
        return self.shake_hands(context, name)

    def shake_hands(self, context, name="localhost"):
        self.socket = context.wrap_socket(self.socket, server_hostname=name,
                                          suppress_ragged_eofs=False)
        self.mode, self.contexts = SIMPLE, {}
        return self

    @staticmethod
    def info_data(name, *infos):
        name = name if isinstance(name, bytes) else name.encode()
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
        must(replies[-1] == (REP_ACK, b""), "contexts of", name, "are refused:", replies)
        found = [(struct.unpack(">I", data[:4])[0], data[4:].decode())
                 for kind, data in replies[:-1]]
        if option == OPT_SET_META:
            self.contexts, self.meta_export = dict(found), name
        return found

    def go(self, name="", *infos):
        replies = self.option(OPT_GO, self.info_data(name, *infos))
        must(replies[-1] == (REP_ACK, b""), "GO is refused:", replies)
        info = next(data for kind, data in replies if data[:2] == b"\0\0")
        _, self.size, self.flags = struct.unpack(">HQH", info)
        if name != self.meta_export:
            self.contexts = {}
        return self

    # Transmission.
    def send_request(self, command, offset=0, length=0, flags=0, payload=b"", magic=None,
                     cookie=None, exchange=None):
        """Returns the cookie. An @exchange says what a payload asks for."""
        if cookie is None:
            self.handle += 1
            cookie = self.handle
        if exchange is None:
            exchange = Exchange(self.mode, command, offset, length, flags, self.contexts,
                                self.size)
        if command != DISC:
            self.in_flight.setdefault(cookie, []).append(exchange)
        extended = self.mode == EXTENDED
        if magic is None:
            magic = EXTENDED_REQUEST_MAGIC if extended else REQUEST_MAGIC
        self.send(struct.pack(">IHHQQQ" if extended else ">IHHQQI", magic, flags, command, cookie,
                              offset, length) + payload)
        return cookie

    def exchange_of(self, cookie):
        must(cookie in self.in_flight, "a reply to no request, cookie", cookie)
        return self.in_flight[cookie][0]

    def forget(self, cookie):
        self.in_flight[cookie].pop(0)
        if not self.in_flight[cookie]:
            del self.in_flight[cookie]

    def receive_chunk_header(self):
        if self.mode == STRUCTURED:
            magic, flags, kind, cookie, length = struct.unpack(">IHHQI", self.receive(20))
            must(magic == CHUNK_MAGIC, "a chunk begins with", hex(magic))
            return flags, kind, cookie, length
        must(self.mode == EXTENDED, "chunks in mode", self.mode)
        magic, flags, kind, cookie, offset, length = struct.unpack(">IHHQQQ", self.receive(32))
        must(magic == EXTENDED_CHUNK_MAGIC, "a chunk begins with", hex(magic))
        must(offset == self.exchange_of(cookie).offset, "offset", hex(offset), "comes back for",
             hex(self.exchange_of(cookie).offset))
        return flags, kind, cookie, length

    def receive_chunk(self):
        """Returns (flags, type, cookie, payload)."""
        flags, kind, cookie, length = self.receive_chunk_header()
        payload = self.receive(length)
        if self.exchange_of(cookie).take(flags, kind, payload):
            self.forget(cookie)
        return flags, kind, cookie, payload

    def chunks(self, handle):
        """All chunks of the one request in flight: [(type, payload), ...]."""
        chunks = []
        while True:
            flags, kind, answered, payload = self.receive_chunk()
            must(answered == handle, "a reply to", answered, "instead of", handle)
            chunks.append((kind, payload))
            if flags & DONE:
                return chunks

    def command(self, *arguments, **options):
        return self.chunks(self.send_request(*arguments, **options))

    def receive_simple(self):
        """Returns (cookie, error, data)."""
        magic, error, cookie = struct.unpack(">IIQ", self.receive(16))
        must(magic == SIMPLE_MAGIC and self.mode == SIMPLE, "a simple reply begins with",
             hex(magic), "in mode", self.mode)
        must(error in (0,) + ERRORS, "error", error)
        exchange = self.exchange_of(cookie)
        must(error or exchange.command in (READ, FLUSH, CACHE), "success of", exchange.command)
        self.forget(cookie)
        wants_data = exchange.command == READ and not error
        return cookie, error, self.receive(exchange.length) if wants_data else b""

    def simple(self, command, offset=0, length=0, flags=0, payload=b""):
        """Returns (error, data) of a simple reply."""
        handle = self.send_request(command, offset, length, flags, payload)
        answered, error, data = self.receive_simple()
        must(answered == handle, "a reply to", answered, "instead of", handle)
        return error, data

    # In whichever mode.
    def error(self, command, offset=0, length=0, flags=0, payload=b""):
        """The error of a request, 0 for success."""
        if self.mode == SIMPLE:
            return self.simple(command, offset, length, flags, payload)[0]
        chunks = self.command(command, offset, length, flags, payload)
        return error_of(chunks)[0] if chunks[-1][0] & 0x8000 else 0

    def read(self, offset, length, flags=0):
        """The bytes of a read that succeeds."""
        if self.mode == SIMPLE:
            error, data = self.simple(READ, offset, length, flags)
            must(error == 0, "error", error, "of a read at", hex(offset))
            return data
        return put_together(self.command(READ, offset, length, flags), offset, length)[0]

    def status(self, offset, length, flags=0):
        """Returns {context id: [(length, flags), ...]}."""
        return statuses(self.command(BLOCK_STATUS, offset, length, flags))

    def send_status_of(self, ids, offset, length, flags=0):
        """A block status whose payload chooses among the contexts."""
        payload = struct.pack(f">Q{len(ids)}I", length, *ids)
        flags |= FLAG_PAYLOAD_LEN
        return self.send_request(
            BLOCK_STATUS, offset, len(payload), flags, payload,
            exchange=Exchange(self.mode, BLOCK_STATUS, offset, length, flags,
                              {context: self.contexts.get(context) for context in ids}, self.size))

    def status_of(self, ids, offset, length, flags=0):
        return statuses(self.chunks(self.send_status_of(ids, offset, length, flags)))


def statuses(chunks):
    answer = {}
    for kind, payload in chunks:
        must(kind in (STATUS, STATUS_EXT), "block status ends in", hex(kind), payload)
        layout, start = (">II", 4) if kind == STATUS else (">QQ", 8)
        answer[struct.unpack(">I", payload[:4])[0]] = list(
            struct.iter_unpack(layout, payload[start:]))
    return answer


def error_of(chunks):
    """(error, message, offset or None) of a reply that is one error chunk at its end."""
    kind, payload = chunks[-1]
    must(kind in (ERROR, ERROR_OFFSET), "chunk", hex(kind), "instead of an error")
    error, length = struct.unpack(">IH", payload[:6])
    offset = struct.unpack(">Q", payload[6 + length:])[0] if kind == ERROR_OFFSET else None
    return error, payload[6:6 + length].decode(), offset


def put_together(chunks, offset, length):
    """The bytes of a structured read that was checked when it came, and the kinds of its chunks."""
    data = bytearray(length)
    for kind, payload in chunks:
        must(kind in (NONE, OFFSET_DATA, OFFSET_HOLE), "a read ends in", hex(kind), payload)
        if kind == OFFSET_DATA:
            start = struct.unpack(">Q", payload[:8])[0] - offset
            data[start:start + len(payload) - 8] = payload[8:]
    return bytes(data), [kind for kind, payload in chunks]
