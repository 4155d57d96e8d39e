#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# tls-starttls.py - the upgrade to the byte (proto.md, "TLS support"): what is refused, that nothing
# of before survives it, and how a session ends.
import socket
import ssl
import struct
import warnings

from nbd_case import CONTENT, MIB, Workspace, equal, make_seed_images
from nbd_client import (
    DISC, ERR_INVALID, ERR_POLICY, IHAVEOPT, OPT_EXTENDED, OPT_SET_META,
    OPT_STARTTLS, OPT_STRUCTURED, READ, REP_ACK, SIMPLE, Client)
from tls_case import Authority

DEPTH = "qemu:allocation-depth"


def kind(replies):
    return replies[-1][0]


def refused_upgrades(plain, path, tls):
    equal(kind(Client(plain).option(OPT_STARTTLS)), ERR_POLICY, "STARTTLS where there is no TLS")
    client = Client(path)
    equal(kind(client.option(OPT_STARTTLS, b"x")), ERR_INVALID, "STARTTLS with data")
    equal(kind(client.option(OPT_STARTTLS, b"x" * 5000)), ERR_INVALID, "with much of it")
    client.start_tls(tls)
    equal(kind(client.option(OPT_STARTTLS)), ERR_INVALID, "STARTTLS within TLS")
    equal(kind(client.option(OPT_STARTTLS, b"x")), ERR_INVALID, "the same with data")
    client.use_structured()
    equal(client.go("disk").read(MIB - 5, 10), CONTENT[MIB - 5:MIB + 5], "a read afterwards")
    client.close()


def without_fixed_newstyle(path):
    """NOTLS mode: such a client has no way to be told that an option was acknowledged."""
    client = Client(path, flags=0)
    client.send_option(OPT_STARTTLS)
    equal(client.is_closed(), True, "STARTTLS without fixed newstyle")
    client.close()


def state_is_forgotten(path, tls):
    for option in (OPT_STRUCTURED, OPT_EXTENDED):
        client = Client(path)
        equal(client.option(option), [(REP_ACK, b"")], "before TLS")
        client.meta(OPT_SET_META, "disk", DEPTH)
        client.start_tls(tls)
        # Structured replies: contexts need them, and are to be asked for again.
        equal(kind(client.option(OPT_SET_META, Client.meta_data("disk", DEPTH))), ERR_INVALID,
              "contexts without structured replies")
        equal(client.option(option), [(REP_ACK, b"")], f"{option} can be asked for again")
        client.close()

        client = Client(path)
        equal(client.option(option), [(REP_ACK, b"")], "before TLS")
        client.start_tls(tls)
        equal(client.mode, SIMPLE, "what the client believes")
        equal(client.go("disk").simple(READ, 0, 512), (0, CONTENT[:512]), "a simple reply")
        client.close()


def contexts_are_forgotten(path, tls):
    client = Client(path)
    client.use_structured()
    client.meta(OPT_SET_META, "disk", DEPTH)
    client.start_tls(tls)
    client.use_structured()
    equal(client.go("disk").error(7, 0, 512), 22, "block status without a context")  # EINVAL
    client.close()


def injected_options(path, tls):
    """Options that somebody puts behind STARTTLS in plain text are no TLS, and not done later."""
    injected = struct.pack(">QII", IHAVEOPT, OPT_STRUCTURED, 0)
    client = Client(path)
    client.send(struct.pack(">QII", IHAVEOPT, OPT_STARTTLS, 0) + injected)
    equal(client.replies(OPT_STARTTLS), [(REP_ACK, b"")], "STARTTLS")
    try:
        client.shake_hands(tls)
        raise AssertionError("a handshake with plain text before it")
    except (ssl.SSLError, ConnectionError):
        pass
    client.close()

    # The first record of the client's handshake comes in the same piece as the option: it is for TLS.
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = tls.wrap_bio(inward, outward, server_hostname="localhost")
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    client = Client(path)
    client.send(struct.pack(">QII", IHAVEOPT, OPT_STARTTLS, 0) + outward.read())
    equal(client.replies(OPT_STARTTLS), [(REP_ACK, b"")], "STARTTLS")
    while True:
        try:
            session.do_handshake()
            break
        except ssl.SSLWantReadError:
            client.send(outward.read())
            inward.write(client.socket.recv(65536))
    client.send(outward.read())
    client.close()


def plain_text_after_the_upgrade(path, tls):
    """There is no way back."""
    client = Client(path)
    client.start_tls(tls)
    raw = socket.socket(fileno=client.socket.detach())
    raw.settimeout(30)
    raw.sendall(struct.pack(">QII", IHAVEOPT, OPT_STRUCTURED, 0))
    answer = b""
    try:
        while piece := raw.recv(4096):
            answer += piece
    except ConnectionResetError:
        pass
    equal(b"\0\3\xe8\x89\4\x55\x65\xa9" in answer, False, "a reply in plain text")
    raw.close()


def versions(path, authority):
    for version, is_taken in ((ssl.TLSVersion.TLSv1, False), (ssl.TLSVersion.TLSv1_1, False),
                              (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)):
        tls = authority.client()
        tls.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            tls.minimum_version = tls.maximum_version = version
        client = Client(path)
        try:
            client.start_tls(tls)
            taken = client.socket.version()
        except (ssl.SSLError, ConnectionError):
            taken = None
        equal(taken is not None, is_taken, f"{version!r}: {taken}")
        client.close()


def weak_suites(path, authority):
    """No forward secrecy, no encryption, nobody in particular at the other end."""
    for suite in ("AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-NULL-SHA",
                  "AECDH-AES128-SHA"):
        tls = authority.client()
        tls.set_ciphers(suite + ":@SECLEVEL=0")
        tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_2
        client = Client(path)
        try:
            client.start_tls(tls)
            raise AssertionError(f"{suite} is taken")
        except (ssl.SSLError, ConnectionError):
            pass
        client.close()


def ends(path, tls):
    client = Client(path).start_tls(tls).go("disk")
    client.send_request(DISC)
    equal((client.is_closed(), client.ended_well), (True, True), "the end of NBD_CMD_DISC")
    client.close()

    # A stream that is cut within a request, and one within a record: the next client is served.
    for cut in (b"\x25\x60", None):
        client = Client(path).start_tls(tls).go("disk")
        if cut is None:
            raw = socket.socket(fileno=client.socket.detach())
            raw.sendall(b"\x17\x03\x03\x01\x00half a record")
            raw.close()
        else:
            client.send(cut)
            client.close()
        client = Client(path).start_tls(tls).go("disk")
        equal(client.simple(READ, 0, 16), (0, CONTENT[:16]), "the next client")
        client.close()


def bad_record(path, tls):
    """A record that was tampered with is the end, and not a byte of it is taken."""
    client = Client(path).start_tls(tls).go("disk")
    raw = socket.socket(fileno=client.socket.detach())
    raw.settimeout(30)
    raw.sendall(b"\x17\x03\x03\x00\x40" + bytes(64))
    try:
        while raw.recv(4096):  # an alert
            pass
    except ConnectionResetError:
        pass
    raw.close()


def main():
    with Workspace() as work:
        image = make_seed_images(work)
        authority = Authority(work).issue_server()
        tls = authority.client()
        plain = work.serve("-x", "disk", image)
        path = work.serve("-x", "disk", "--tls-certificates", authority.dir, image)
        refused_upgrades(plain, path, tls)
        without_fixed_newstyle(path)
        state_is_forgotten(path, tls)
        contexts_are_forgotten(path, tls)
        injected_options(path, tls)
        plain_text_after_the_upgrade(path, tls)
        versions(path, authority)
        weak_suites(path, authority)
        ends(path, tls)
        bad_record(path, tls)
        # Without --tls, certificates mean that TLS may be asked for.
        equal(Client(path).go("disk").simple(READ, 0, 4), (0, CONTENT[:4]), "plain text")


main()
