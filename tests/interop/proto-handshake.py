#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The handshake: greeting, client flags, and every option with good and bad data."""
import contextlib
import struct

from nbd_client import (
    Client, Closed, ERR_EXT_HEADER_REQD, ERR_INVALID, ERR_POLICY, ERR_TOO_BIG, ERR_UNKNOWN,
    ERR_UNSUP, EXTENDED, FLUSH, IHAVEOPT, NBDMAGIC, OPT_ABORT, OPT_EXPORT_NAME, OPT_EXTENDED,
    OPT_GO, OPT_INFO, OPT_LIST, OPT_SET_META, OPT_STARTTLS, OPT_STRUCTURED, READ, REP_ACK,
    REP_INFO, REP_SERVER, SIMPLE, STRUCTURED)
from proto_case import (
    CONTENT, Link, MIB, SIZE, equal, main, make_certificates, make_seed_images, play, rule)

FLAGS = 1 | 2 | 4 | 1 << 8 | 1 << 10  # has-flags, read-only, flush, multi-conn, cache
DF, STATUS_PAYLOAD = 1 << 7, 1 << 12
EXPORT = (REP_INFO, struct.pack(">HQH", 0, SIZE, FLAGS))
INFOS = {1: b"\0\1disk", 2: b"\0\2words", 3: struct.pack(">HIII", 3, 1, 4096, 32 << 20)}
NAMES = [b"disk", b"disk@overlay.qcow2", b"disk@base.qcow2"]
UNKNOWN_OPTIONS = (0, 4, 12, 77, 1 << 31, 0xffffffff)


def final(client, option, data=b""):
    """The kind of the final reply, which alone an option without success has."""
    replies = client.option(option, data)
    equal(len(replies) == 1 or replies[-1][0] == REP_ACK, True, f"replies to {option}: {replies}")
    return replies[-1][0]


def still_haggles(client, what):
    equal([kind for kind, _ in client.option(OPT_LIST)], [REP_SERVER] * 3 + [REP_ACK], what)


# Greeting and client flags.
@rule("Newstyle negotiation", "NBDMAGIC, IHAVEOPT and flags, and nothing more, come first")
@rule("Handshake flags", "bits 0 and 1, no other")
def greeting(link):
    client = Client(link.address, flags=None)
    equal(client.greeting, b"NBDMAGICIHAVEOPT\0\3", "greeting")
    client.send(struct.pack(">I", 3))
    still_haggles(client, "first option")
    client.close()


@rule("Client flags", "the connection is dropped if the client sets an unknown flag")
def unknown_client_flags(link):
    for bit in range(2, 32):
        for known in (0, 3):
            client = Client(link.address, flags=1 << bit | known)
            equal(client.is_closed(), True, f"flag {bit}")
            client.close()


@rule("Oldstyle negotiation", "a client that speaks at once, without flags, is no client")
def oldstyle(link):
    client = Client(link.address, flags=None)
    client.send(struct.pack(">IIQQI", 0x25609513, 0, 1, 0, 512))
    equal(client.is_closed(), True, "a request in place of flags")


@rule("NBD_OPT_EXPORT_NAME", "the only option of a client that is not fixed newstyle")
def not_fixed(link):
    for flags in (0, 2):
        for option in (OPT_LIST, OPT_ABORT, OPT_STARTTLS, OPT_INFO, OPT_GO, OPT_STRUCTURED,
                       OPT_EXTENDED, 77):
            client = Client(link.address, flags)
            client.send_option(option)
            equal(client.is_closed(), True, f"option {option} without fixed newstyle")


@rule("NBD_OPT_EXPORT_NAME", "size, flags, and 124 zeroes unless both sides agreed to none")
def export_name(link):
    for flags, zeroes in ((1, 124), (3, 0), (0, 124), (2, 0)):
        client = Client(link.address, flags)
        client.send_option(OPT_EXPORT_NAME, b"disk")
        equal(client.receive(10 + zeroes), struct.pack(">QH", SIZE, FLAGS) + bytes(zeroes),
              f"EXPORT_NAME with client flags {flags}")
        equal(client.simple(FLUSH), (0, b""), "the connection transmits")
        client.close()


@rule("NBD_OPT_EXPORT_NAME", "what was negotiated before holds")
def export_name_after_structured(link):
    client = link.connect().use(STRUCTURED)
    client.send_option(OPT_EXPORT_NAME, b"disk")
    equal(client.receive(10), struct.pack(">QH", SIZE, FLAGS | DF), "flags")
    equal(client.read(0, 5), CONTENT[:5], "a read in chunks")
    client.close()


@rule("NBD_OPT_EXPORT_NAME", "without the export the session is terminated")
@rule("Conventions", "a string has at most 4096 bytes, is UTF-8 and without NUL")
def export_name_refused(link):
    for name in (b"nothing", b"x" * 4096, b"x" * 4097, b"\xff\xfe", b"disk\0", b"d\0sk",
                 b"x" * 70000):
        client = link.connect()
        with contextlib.suppress(Closed):  # while it is being sent
            client.send_option(OPT_EXPORT_NAME, name)
        equal(client.is_closed(), True, f"EXPORT_NAME {name[:20]}")


@rule("NBD_OPT_EXTENDED_HEADERS", "EXPORT_NAME cannot follow it")
def export_name_after_extended(link):
    client = link.connect().use(EXTENDED)
    client.send_option(OPT_EXPORT_NAME, b"disk")
    equal(client.is_closed(), True, "EXPORT_NAME after EXTENDED_HEADERS")


# Options in general.
@rule("Newstyle negotiation", "an option begins with IHAVEOPT")
def wrong_magic(link):
    for magic in (NBDMAGIC, 0, IHAVEOPT ^ 1, IHAVEOPT ^ 1 << 63):
        client = link.connect()
        client.send_option(OPT_LIST, magic=magic)
        equal(client.is_closed(), True, f"magic {magic:x}")


@rule("Newstyle negotiation", "options that the server does not know are skipped by their length")
@rule("NBD_REP_ERR_UNSUP", "the option is unknown")
def unknown_options(link):
    client = link.connect()
    for option in UNKNOWN_OPTIONS:
        for length in (0, 1, 5000, 64 << 10):
            equal(final(client, option, b"x" * length), ERR_UNSUP, f"{option}, {length} bytes")
    for length in ((64 << 10) + 1, MIB, 32 << 20):
        equal(final(client, 77, b"x" * length) in (ERR_UNSUP, ERR_TOO_BIG), True, f"{length} bytes")
    still_haggles(client, "after unknown options")
    client.close()


@rule("NBD_REP_ERR_TOO_BIG", "an option with more data than any has is refused, and skipped")
def known_options_with_too_much(link):
    client = link.connect()
    for option in (OPT_LIST, OPT_INFO, OPT_GO, OPT_STRUCTURED, OPT_SET_META, 9, OPT_EXTENDED):
        equal(final(client, option, b"\0" * 100_000) in (ERR_TOO_BIG, ERR_INVALID), True, option)
    still_haggles(client, "after long options")
    client.close()


@rule("Termination of the session during option haggling",
      "what is a denial of service may be hung up on")
def endless_option(link):
    for option in (OPT_LIST, OPT_EXPORT_NAME, 77):
        client = link.connect()
        client.send_option(option, length=0xffffffff)
        equal(client.is_closed(), True, "4 GiB of option data are not waited for")


@rule("Newstyle negotiation", "messages are bytes in a stream, in whatever pieces they come")
def byte_by_byte(link):
    client = link.connect()
    message = struct.pack(">QII", IHAVEOPT, OPT_INFO, 10) + client.info_data("disk")
    for at in range(len(message)):
        client.send(message[at:at + 1])
    equal(client.replies(OPT_INFO), [EXPORT, (REP_ACK, b"")], "INFO byte by byte")
    client.close()


def in_one_piece(client):
    """Options, and the first requests behind GO, as they go over the wire."""
    message = bytearray()
    client.send = message.extend
    client.send_option(OPT_LIST)
    client.send_option(OPT_INFO, client.info_data("disk"))
    client.send_option(OPT_GO, client.info_data("disk"))
    cookies = [client.send_request(READ, MIB - at, 5) for at in range(3)]
    del client.send
    return bytes(message), cookies


@rule("Newstyle negotiation", "nothing that follows in the same piece is lost, whoever reads it")
def all_at_once(link):
    length = len(in_one_piece(link.connect())[0])
    for cut in (0, *range(3, length, 7)):
        client = link.connect()
        message, cookies = in_one_piece(client)
        client.send(message[:cut])
        client.send(message[cut:])
        equal(len(client.replies(OPT_LIST)), 4, f"LIST, cut at {cut}")
        equal(client.replies(OPT_INFO), [EXPORT, (REP_ACK, b"")], f"INFO, cut at {cut}")
        equal(client.replies(OPT_GO), [EXPORT, (REP_ACK, b"")], f"GO, cut at {cut}")
        equal({client.receive_simple() for _ in cookies},
              {(cookie, 0, CONTENT[MIB - at:MIB - at + 5]) for at, cookie in enumerate(cookies)},
              f"requests, cut at {cut}")
        client.close()


# Options one by one.
@rule("NBD_OPT_ABORT", "NBD_REP_ACK, whatever data came with it, and the end")
def abort(link):
    for data in (b"", b"whatever", b"x" * (64 << 10), b"x" * MIB):
        client = link.connect()
        equal(client.option(OPT_ABORT, data), [(REP_ACK, b"")], f"ABORT with {len(data)} bytes")
        equal(client.is_closed(), True, "ABORT ends the session")
    client = link.connect()
    client.send_option(OPT_ABORT)
    client.close()  # without waiting for the reply


@rule("NBD_OPT_LIST", "one NBD_REP_SERVER for each export; data is NBD_REP_ERR_INVALID")
def list_exports(link):
    client = link.connect()
    names = [data[4:4 + struct.unpack(">I", data[:4])[0]]
             for kind, data in client.option(OPT_LIST) if kind == REP_SERVER]
    equal(names, NAMES, "LIST")
    for data in (b"x", b"\0\0\0\4disk"):
        equal(final(client, OPT_LIST, data), ERR_INVALID, "LIST with data")
    still_haggles(client, "LIST again")
    client.close()


@rule("NBD_OPT_STARTTLS", "a server without TLS answers UNSUP or POLICY, and goes on")
@rule("NOTLS mode", "NBD_REP_ERR_TLS_REQD is never sent")
def starttls_without_tls(link):
    if link.tls:
        return
    client = link.connect()
    equal(final(client, OPT_STARTTLS) in (ERR_UNSUP, ERR_POLICY), True, "STARTTLS")
    equal(final(client, OPT_STARTTLS, b"x") in (ERR_UNSUP, ERR_POLICY, ERR_INVALID), True, "data")
    still_haggles(client, "after STARTTLS")
    client.close()


@rule("NBD_OPT_INFO", "what is asked for is told, and NBD_INFO_EXPORT in any case")
@rule("NBD_OPT_INFO", "unknown information requests are ignored")
def info_requests(link):
    client = link.connect()
    for bits in range(8):
        infos = [number for number in INFOS if bits & 1 << number - 1]
        for unknown in ((), (0,), (4, 77, 65535)):
            replies = client.option(OPT_INFO, client.info_data("disk", *unknown, *infos))
            equal((sorted(replies[:-1]), replies[-1]),
                  (sorted([EXPORT] + [(REP_INFO, INFOS[info]) for info in infos]),
                   (REP_ACK, b"")), f"INFO {infos} and {unknown}")
    still_haggles(client, "INFO is no GO")
    client.close()


@rule("NBD_OPT_INFO", "a request that comes twice breaks a rule, and does no harm")
def repeated_requests(link):
    client = link.connect()
    for infos in ((3, 3), (1, 2, 1, 2), (0, 0, 0), (3,) * 30000):
        kind = client.option(OPT_INFO, client.info_data("disk", *infos))[-1][0]
        equal(kind in (REP_ACK, ERR_INVALID), True, f"{infos[:4]}")
    still_haggles(client, "after repeated requests")
    client.close()


@rule("NBD_INFO_NAME", "the canonical name, the one of NBD_OPT_LIST")
def canonical_names(link):
    client = link.connect()
    for name in NAMES:
        told = client.option(OPT_INFO, client.info_data(name, 1))
        equal(told[1], (REP_INFO, b"\0\1" + name), "name")
    client.close()


@rule("NBD_OPT_INFO", "data that ends too early or too late is NBD_REP_ERR_INVALID")
@rule("Conventions", "a string has at most 4096 bytes, is UTF-8 and without NUL")
def malformed_info(link):
    client = link.connect()
    good = client.info_data("disk", 1, 3)
    bad = [good[:length] for length in range(len(good))]
    bad += [good + b"\0", good + b"\0\1", b"\xff" * 4 + good[4:], b"\0\0\0\5" + good[4:],
            good[:8] + b"\0\1" + good[10:], good[:8] + b"\xff\xff" + good[10:]]
    bad += [client.info_data(name) for name in (b"d\0sk", b"disk\0", b"\0", b"\xff\xfe", b"\xc3",
                                                b"\xed\xa0\x80", b"x" * 4097, b"x" * 60000)]
    for option in (OPT_INFO, OPT_GO):
        for data in bad:
            equal(final(client, option, data), ERR_INVALID, f"{option} with {data[:20]!r}")
    client.go("disk").close()


@rule("NBD_REP_ERR_UNKNOWN", "the export does not exist, and nothing is told of it")
@rule("NBD_OPT_GO", "after an error the client may go on haggling")
def unknown_exports(link):
    client = link.connect()
    for option in (OPT_INFO, OPT_GO):
        for name in (b"nothing", b"", b"disk@", b"DISK", b"disk ", b"x" * 4096,
                     "\u00fc".encode() * 2048):
            equal(final(client, option, client.info_data(name, 1, 2, 3)), ERR_UNKNOWN, name[:20])
    equal(client.go("disk").read(0, 5), CONTENT[:5], "a read")
    client.close()


@rule("NBD_OPT_GO", "the same answer as INFO, then transmission at once and without padding")
def info_then_go(link):
    for flags in (1, 3):
        client = link.connect(flags)
        data = client.info_data("disk", 3, 1)
        equal(sorted(client.option(OPT_INFO, data)), sorted(client.option(OPT_GO, data)), "GO")
        equal(client.simple(FLUSH), (0, b""), "the connection transmits")
        client.close()


@rule("NBD_OPT_STRUCTURED_REPLY", "takes no data")
@rule("NBD_OPT_EXTENDED_HEADERS", "takes no data")
def mode_with_data(link):
    client = link.connect()
    for option in (OPT_STRUCTURED, OPT_EXTENDED):
        for data in (b"\0", b"x" * 4096):
            equal(final(client, option, data), ERR_INVALID, f"option {option} with data")
    equal(client.go("disk").flags, FLAGS, "a refused option changes nothing")
    equal(client.simple(READ, 0, 5), (0, CONTENT[:5]), "the replies are simple")
    client.close()


@rule("Fixed newstyle negotiation", "a repeated option may fail, and changes nothing more")
def mode_twice(link):
    for mode, option in ((STRUCTURED, OPT_STRUCTURED), (EXTENDED, OPT_EXTENDED)):
        client = link.connect().use(mode)
        equal(final(client, option) in (REP_ACK, ERR_INVALID), True, f"{mode} twice")
        equal(client.go("disk").read(MIB - 1, 5), CONTENT[MIB - 1:MIB + 4], mode)
        client.close()


@rule("NBD_OPT_EXTENDED_HEADERS", "takes precedence over structured replies, in either order")
@rule("NBD_REP_ERR_EXT_HEADER_REQD", "no way back from extended headers to structured replies")
def extended_and_structured(link):
    client = link.connect().use(STRUCTURED).use(EXTENDED)
    equal(client.go("disk").read(0, 5), CONTENT[:5], "structured, then extended")
    client.close()
    client = link.connect().use(EXTENDED)
    equal(final(client, OPT_STRUCTURED), ERR_EXT_HEADER_REQD, "extended, then structured")
    equal(client.go("disk").read(0, 5), CONTENT[:5], "extended all the same")
    client.close()


@rule("NBD_FLAG_SEND_DF", "set if there are chunks, else clear")
@rule("NBD_FLAG_BLOCK_STATUS_PAYLOAD", "never without extended headers, nor without contexts")
def transmission_flags(link):
    for mode, flags in ((SIMPLE, FLAGS), (STRUCTURED, FLAGS | DF), (EXTENDED, FLAGS | DF)):
        client = link.connect().use(mode)
        told = client.option(OPT_INFO, client.info_data("disk"))[0][1]
        equal(struct.unpack(">H", told[10:])[0] & ~(STATUS_PAYLOAD if mode == EXTENDED else 0),
              flags, f"flags of INFO, {mode}")
        equal(client.go("disk").flags, flags, f"flags of GO, {mode}")
        client.close()
    for mode, flags in ((STRUCTURED, FLAGS | DF), (EXTENDED, FLAGS | DF | STATUS_PAYLOAD)):
        client = link.connect().use(mode)
        client.meta(OPT_SET_META, "disk", "base:allocation")
        equal(client.go("disk").flags, flags, f"flags with contexts, {mode}")
        client.close()
        client = link.connect().use(mode)
        client.meta(OPT_SET_META, "disk", "x-nothing:at-all")
        equal(client.go("disk").flags, FLAGS | DF, f"flags, no context selected, {mode}")
        client.close()


def test(work):
    image = make_seed_images(work)
    words = ("-x", "disk", "-D", "words", image)
    folder, tls = make_certificates(work)
    play(Link("a Unix socket", work.serve(*words)))
    over_tls = Link("TLS", work.serve("--tls=require", "--tls-certificates", folder, *words), tls)
    play(over_tls, but=PLAIN_ONLY)


# Those that speak before TLS can stand.
PLAIN_ONLY = (greeting, unknown_client_flags, oldstyle, not_fixed, export_name)

main(test)
