# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd_rules.py - what the specification lets a server answer: a message that it does not allow
# fails the test.
import struct

OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_STARTTLS = 1, 2, 3, 5
OPT_INFO, OPT_GO, OPT_STRUCTURED, OPT_LIST_META, OPT_SET_META, OPT_EXTENDED = 6, 7, 8, 9, 10, 11
REP_ACK, REP_SERVER, REP_INFO, REP_META = 1, 2, 3, 4
REP_ERROR = 1 << 31
(ERR_UNSUP, ERR_POLICY, ERR_INVALID, ERR_PLATFORM, ERR_TLS_REQD, ERR_UNKNOWN, ERR_SHUTDOWN,
 ERR_BLOCK_SIZE_REQD, ERR_TOO_BIG, ERR_EXT_HEADER_REQD) = range(REP_ERROR + 1, REP_ERROR + 11)
INFO_EXPORT, INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE = range(4)

READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS = range(8)
(FLAG_FUA, FLAG_NO_HOLE, FLAG_DF, FLAG_REQ_ONE, FLAG_FAST_ZERO,
 FLAG_PAYLOAD_LEN) = (1 << bit for bit in range(6))
DONE = 1
NONE, OFFSET_DATA, OFFSET_HOLE, STATUS, STATUS_EXT, ERROR, ERROR_OFFSET = (
    0, 1, 2, 5, 6, 0x8001, 0x8002)
EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN = 1, 5, 12, 22, 28, 75, 95, 108
ERRORS = (EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN)

SIMPLE, STRUCTURED, EXTENDED = "simple", "structured", "extended"
MAX_STRING, MAX_PAYLOAD, MAX_EXTENTS = 4096, 32 << 20, 1 << 20
WIDE_CONTEXTS = ("strata:leaf-offset",)  # their status has 64 bits


class BrokenRule(Exception):
    """The server said what it must not say."""


def must(condition, *what):
    if not condition:
        raise BrokenRule(" ".join(str(word) for word in what)[:2000])


def text_of(data, what):
    """A string as the section 'Conventions' has it."""
    must(len(data) <= MAX_STRING, what, "has", len(data), "bytes")
    must(b"\0" not in data, what, "holds a NUL:", data)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BrokenRule(f"{what} is not UTF-8: {data!r}") from error


# Replies to options.
REPLIES = {OPT_LIST: (REP_SERVER,), OPT_INFO: (REP_INFO,), OPT_GO: (REP_INFO,),
           OPT_LIST_META: (REP_META,), OPT_SET_META: (REP_META,)}


def check_server(data):
    must(len(data) >= 4, "NBD_REP_SERVER of", len(data), "bytes")
    length = struct.unpack(">I", data[:4])[0]
    must(length <= len(data) - 4, "NBD_REP_SERVER: a name of", length, "bytes in", len(data))
    text_of(data[4:4 + length], "the name of an export")
    text_of(data[4 + length:], "the description of an export")


def check_block_size(data):
    minimum, preferred, maximum = struct.unpack(">III", data[2:])
    must(minimum & minimum - 1 == 0 < minimum <= 1 << 16, "minimum block size", minimum)
    must(preferred & preferred - 1 == 0 and preferred >= max(minimum, 512), "preferred", preferred)
    must(maximum == 0xffffffff or maximum % minimum == 0, "maximum block size", maximum)


def check_info(data):
    must(len(data) >= 2, "NBD_REP_INFO of", len(data), "bytes")
    kind = struct.unpack(">H", data[:2])[0]
    if kind == INFO_EXPORT:
        must(len(data) == 12, "NBD_INFO_EXPORT of", len(data), "bytes")
        must(data[11] & 1, "NBD_FLAG_HAS_FLAGS is not set:", data.hex())
    elif kind in (INFO_NAME, INFO_DESCRIPTION):
        text_of(data[2:], f"information {kind}")
    else:
        must(kind == INFO_BLOCK_SIZE and len(data) == 14, "information", kind, len(data))
        check_block_size(data)
    return kind


def check_context(data):
    must(len(data) >= 4, "NBD_REP_META_CONTEXT of", len(data), "bytes")
    namespace, colon, _ = text_of(data[4:], "the name of a context").partition(":")
    must(namespace and colon, "a context called", data[4:])


def check_option_reply(option, kind, data):
    """One message of the answer to an option."""
    if kind & REP_ERROR:
        must(ERR_UNSUP <= kind <= ERR_EXT_HEADER_REQD, "unknown error", hex(kind))
        text_of(data, "an error message")
    elif kind == REP_ACK:
        must(data == b"", "NBD_REP_ACK with data:", data)
    else:
        must(kind in REPLIES.get(option, ()), "reply", hex(kind), "to option", option)
        {REP_SERVER: check_server, REP_INFO: check_info, REP_META: check_context}[kind](data)


def check_option_replies(option, replies):
    """The whole answer to an option; the last message ends it."""
    final = replies[-1][0]
    if option in (OPT_INFO, OPT_GO):
        kinds = [data[:2] for kind, data in replies if kind == REP_INFO]
        must(final != REP_ACK or b"\0\0" in kinds, "NBD_REP_ACK without NBD_INFO_EXPORT")
        must(len(set(kinds)) == len(kinds), "an information comes twice:", kinds)
        must(final != ERR_UNKNOWN or not kinds, "information about an unknown export")
    if option in (OPT_LIST_META, OPT_SET_META):
        found = [data for kind, data in replies if kind == REP_META]
        names, ids = {data[4:] for data in found}, {data[:4] for data in found}
        must(len(names) == len(found), "a context comes twice:", found)
        must(option == OPT_LIST_META or len(ids) == len(found), "ids are not unique:", found)
        must(option == OPT_SET_META or ids <= {bytes(4)}, "a listed context has an id:", found)


# Replies to requests.
class Exchange:
    """A request in flight, and the chunks that have answered it."""

    def __init__(self, mode, command, offset, length, flags, contexts, size):
        self.mode, self.command, self.flags = mode, command, flags
        self.offset, self.length = offset, length  # of the export, never of a payload
        self.contexts = contexts  # {id: name} that a block status must tell of
        self.size = size
        self.chunks = []
        self.content = []  # (start, end) of content chunks
        self.told = set()
        self.failed = self.done = False

    def take(self, flags, kind, payload):
        must(not self.done, "a chunk after the last one")
        must(flags in (0, DONE), "reply flags", flags)
        must(len(payload) <= MAX_PAYLOAD + 4096, "a payload of", len(payload))
        self.chunks.append((kind, payload))
        check = {NONE: self.take_none, OFFSET_DATA: self.take_data, OFFSET_HOLE: self.take_hole,
                 STATUS: self.take_status, STATUS_EXT: self.take_status_ext,
                 ERROR: self.take_error, ERROR_OFFSET: self.take_error}.get(kind)
        must(check is not None, "unknown chunk type", hex(kind))
        must(kind != NONE or flags & DONE, "NBD_REPLY_TYPE_NONE that is not the last chunk")
        check(kind, payload)
        if flags & DONE:
            self.finish()
        return self.done

    def finish(self):
        self.done = True
        if self.failed:
            return
        must(self.command in (READ, FLUSH, CACHE, BLOCK_STATUS),
             "success of command", self.command, "on a read-only export")
        if self.command == READ:
            covered = sum(end - start for start, end in self.content)
            must(covered == self.length, "a read of", self.length, "got", covered)
        if self.command == BLOCK_STATUS:
            must(self.told == set(self.contexts), "contexts told", self.told, "of", self.contexts)

    def take_none(self, _kind, payload):
        must(payload == b"", "NBD_REPLY_TYPE_NONE with a payload")

    def take_content(self, start, length):
        must(self.command == READ, "content in reply to command", self.command)
        must(length > 0, "a content chunk of no length")
        must(self.offset <= start and start + length <= self.offset + self.length,
             "content of", hex(start), length, "for a read of", hex(self.offset), self.length)
        must(all(start >= end or start + length <= begin for begin, end in self.content),
             "content chunks overlap at", hex(start))
        must(not (self.flags & FLAG_DF and self.content), "DF, and yet a second content chunk")
        self.content.append((start, start + length))

    def take_data(self, _kind, payload):
        must(len(payload) >= 9, "NBD_REPLY_TYPE_OFFSET_DATA of", len(payload), "bytes")
        self.take_content(struct.unpack(">Q", payload[:8])[0], len(payload) - 8)

    def take_hole(self, _kind, payload):
        must(len(payload) == 12, "NBD_REPLY_TYPE_OFFSET_HOLE of", len(payload), "bytes")
        self.take_content(*struct.unpack(">QI", payload))

    def take_status(self, _kind, payload):
        must(self.mode == STRUCTURED, "NBD_REPLY_TYPE_BLOCK_STATUS in mode", self.mode)
        must(len(payload) >= 12 and len(payload) % 8 == 4, "a status of", len(payload), "bytes")
        self.take_extents(payload[:4], list(struct.iter_unpack(">II", payload[4:])))

    def take_status_ext(self, _kind, payload):
        must(self.mode == EXTENDED, "NBD_REPLY_TYPE_BLOCK_STATUS_EXT in mode", self.mode)
        must(len(payload) >= 24 and len(payload) % 16 == 8, "a status of", len(payload), "bytes")
        count = struct.unpack(">I", payload[4:8])[0]
        must(count in (0, len(payload) // 16), "a count of", count, "in", len(payload), "bytes")
        self.take_extents(payload[:4], list(struct.iter_unpack(">QQ", payload[8:])))

    def take_extents(self, context, extents):
        context = struct.unpack(">I", context)[0]
        must(self.command == BLOCK_STATUS, "a status in reply to command", self.command)
        must(context in self.contexts, "status of context", context, "of", self.contexts)
        must(context not in self.told, "a second status of context", context)
        self.told.add(context)
        lengths = [length for length, _ in extents]
        must(all(lengths), "an extent of no length:", extents[:9])
        must(len(extents) <= MAX_EXTENTS, len(extents), "extents in a chunk")
        must(sum(lengths[:-1]) < self.length, "extents that begin past the request's end")
        must(self.size is None or self.offset + sum(lengths) <= self.size,
             "extents that go past the end of the export")
        must(not self.flags & FLAG_REQ_ONE or len(extents) == 1 and lengths[0] <= self.length,
             "REQ_ONE:", extents[:9], "for", self.length)
        must(all(one[1] != other[1] for one, other in zip(extents, extents[1:])),
             "neighbours of the same status:", extents[:9])
        self.check_values(self.contexts[context], [value for _, value in extents])

    @staticmethod
    def check_values(name, values):
        limit = 1 << (64 if name in WIDE_CONTEXTS else 2 if name == "base:allocation" else 32)
        must(all(value < limit for value in values), name, "has the value", hex(max(values)))

    def take_error(self, kind, payload):
        self.failed = True
        must(len(payload) >= 6, "an error chunk of", len(payload), "bytes")
        error, length = struct.unpack(">IH", payload[:6])
        must(error in ERRORS, "error", error)
        must(len(payload) == 6 + length + (8 if kind == ERROR_OFFSET else 0),
             "an error chunk of", len(payload), "bytes with a message of", length)
        text_of(payload[6:6 + length], "an error message")
        if kind == ERROR_OFFSET:
            must(self.command in (READ, WRITE, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS),
                 "NBD_REPLY_TYPE_ERROR_OFFSET in reply to command", self.command)
            at = struct.unpack(">Q", payload[-8:])[0]
            must(self.offset <= at < self.offset + self.length, "an error at", hex(at))
