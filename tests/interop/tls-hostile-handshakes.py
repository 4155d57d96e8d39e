#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# tls-hostile-handshakes.py - whatever follows STARTTLS in place of a handshake is the end of that
# connection, of bounded size and time, and so is a message of the handshake that does not end and
# comes later; the next client is served.
import ctypes
import hmac
import socket
import ssl
import struct

from nbd_case import CONTENT, Workspace, check, equal, make_seed_images
from nbd_client import IHAVEOPT, OPT_GO, OPT_STARTTLS, READ, REP_ACK, REQUEST_MAGIC, Client
from functions import wait_for_log
from tls_case import Authority

ENOUGH = 4 << 20

HANDSHAKE, DATA = 22, 23  # RFC 8446, section 5.1
# The hash of each cipher suite of TLS 1.3, the length of its keys, its number in GnuTLS.
SUITES = {"TLS_AES_128_GCM_SHA256": ("sha256", 16, 10),
          "TLS_AES_256_GCM_SHA384": ("sha384", 32, 11),
          "TLS_CHACHA20_POLY1305_SHA256": ("sha256", 32, 23)}


class Sealer:
    """Makes records of a client that has shaken hands and sent nothing since. Python's TLS sends
    data only; but it tells the keys."""
    gnutls = ctypes.CDLL("libgnutls.so.30")

    def __init__(self, suite, secret):
        self.hash, length, number = SUITES[suite]
        self.secret = secret
        key = self.expand(b"key", length)
        self.base, self.count, self.cipher = self.expand(b"iv", 12), 0, ctypes.c_void_p()
        datum = struct.pack("@PI", ctypes.addressof(ctypes.c_char.from_buffer(key)), length)
        failed = self.gnutls.gnutls_aead_cipher_init(ctypes.byref(self.cipher), number, datum)
        equal(failed, 0, "the cipher")

    def expand(self, label, length):
        """HKDF-Expand-Label() of RFC 8446, section 7.1; one block is enough."""
        label = b"tls13 " + label
        info = struct.pack(">HB", length, len(label)) + label + b"\0"
        return bytearray(hmac.new(self.secret, info + b"\1", self.hash).digest()[:length])

    def seal(self, kind, data):
        inner = data + bytes([kind])
        header = struct.pack(">BHH", DATA, 0x303, len(inner) + 16)
        nonce = bytes(a ^ b for a, b in zip(self.base, struct.pack(">IQ", 0, self.count)))
        self.count += 1
        sealed = ctypes.create_string_buffer(len(inner) + 16)
        length = ctypes.c_size_t(len(sealed))
        failed = self.gnutls.gnutls_aead_cipher_encrypt(
            self.cipher, nonce, ctypes.c_size_t(12), header, ctypes.c_size_t(5),
            ctypes.c_size_t(16), inner, ctypes.c_size_t(len(inner)), sealed,
            ctypes.byref(length))
        equal((failed, length.value), (0, len(sealed)), "a sealed record")
        return header + sealed.raw


def client_hello(tls):
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        tls.wrap_bio(inward, outward, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outward.read()


def upgrade(path):
    client = Client(path)
    equal(client.option(OPT_STARTTLS), [(REP_ACK, b"")], "STARTTLS")
    return client.socket


def read_to_end(raw):
    try:
        while raw.recv(65536):  # alerts, or the server's half of a handshake
            pass
    except ConnectionError:
        pass


def record(kind, data):
    return struct.pack(">BHH", kind, 0x303, len(data)) + data


def is_served(path, tls):
    client = Client(path).start_tls(tls).go("")
    equal(client.simple(READ, 0, 4), (0, CONTENT[:4]), "the next client")
    client.close()


def sent_until_closed(raw, pieces):
    """How many bytes the server took before it hung up."""
    sent = 0
    try:
        for piece in pieces:
            raw.sendall(piece)
            sent += len(piece)
            if sent >= ENOUGH:
                break
        raw.shutdown(socket.SHUT_WR)
    except ConnectionError:
        return sent
    read_to_end(raw)
    return sent


def no_handshake(path, hello):
    for data in (bytes(64), b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4096,
                 b"\x16\x03\x01\xff\xff" + bytes(70000),  # more than a record can hold
                 b"\x80\x2e\x01\x03\x01" + bytes(64),  # SSL 2
                 record(23, b"data before keys"), record(21, b"\2\x28"), record(20, b"\1"),
                 record(22, b"\2\0\0\0"),  # a ServerHello
                 record(22, b"\1\0\0\2\3\3"), hello[:50] + bytes(len(hello) - 50)):
        raw = upgrade(path)
        sent_until_closed(raw, [data])
        raw.close()


def endless(path):
    """A message that claims 16 MiB, in one piece and in crumbs; warnings without end; and records
    with nothing in them."""
    huge = b"\1\xff\xff\xff"
    for what, first, rest in (("a huge message", record(22, huge), record(22, bytes(16384))),
                              ("crumbs of one", record(22, huge), record(22, b"\0") * 1000),
                              ("warnings", record(21, b"\1\x5a"), record(21, b"\1\x5a") * 1000),
                              ("empty records", b"", record(22, b"") * 1000)):
        def pieces(first=first, rest=rest):
            yield first
            while True:
                yield rest

        raw = upgrade(path)
        sent = sent_until_closed(raw, pieces())
        check(sent < ENOUGH, f"the server still listens after {sent} bytes of {what}")
        raw.close()


def sealer_of(client, keys):
    with open(keys, encoding="ascii") as file:
        secret = [line.split()[2] for line in file if line.startswith("CLIENT_TRAFFIC_SECRET_0 ")]
    return Sealer(client.socket.cipher()[0], bytes.fromhex(secret[-1]))


def endless_afterwards(work, path, authority):
    """A message that claims 16 MiB when the handshake is over, by itself and among requests."""
    tls = authority.client()
    tls.keylog_filename = work.path("keys.log")
    enter = struct.pack(">QII", IHAVEOPT, OPT_GO, 6) + bytes(6)
    read = struct.pack(">IHHQQI", REQUEST_MAGIC, 0, READ, 1, 0, 1)
    for what, first, rest in (
            ("a huge message", [(HANDSHAKE, b"\x18\xff\xff\xff")], [(HANDSHAKE, bytes(16384))]),
            ("crumbs of one", [(HANDSHAKE, b"\x18\xff\xff\xff")], [(HANDSHAKE, b"\0")] * 100),
            ("one among requests", [(HANDSHAKE, b"\x18\xff\xff\xff")],
             [(DATA, read), (HANDSHAKE, bytes(16384))]),
            ("empty records", [], [(DATA, b"")] * 100)):
        client = Client(path).start_tls(tls)
        sealer = sealer_of(client, tls.keylog_filename)

        def pieces(first=first, rest=rest, sealer=sealer):
            yield b"".join(sealer.seal(*record) for record in [(DATA, enter)] + first)
            while True:
                yield b"".join(sealer.seal(*record) for record in rest)

        raw = socket.socket(fileno=client.socket.detach())
        raw.settimeout(30)
        sent = sent_until_closed(raw, pieces())
        check(sent < ENOUGH, f"the server still listens after {sent} bytes of {what}, afterwards")
        raw.close()


def cut_off(path, hello):
    for length in (0, 1, 4, 5, 6, 43, len(hello) - 1, len(hello)):
        for wait in (False, True):
            raw = upgrade(path)
            raw.sendall(hello[:length])
            if wait:
                raw.shutdown(socket.SHUT_WR)
                read_to_end(raw)
            raw.close()


def main():
    with Workspace() as work:
        image = make_seed_images(work)
        authority = Authority(work).issue_server()
        tls = authority.client()
        hello = client_hello(tls)
        path, process = work.serve_process("--tls=require", "--tls-certificates", authority.dir,
                                           "--handshake-timeout=1", image)
        silent = upgrade(path)
        slow = upgrade(path)
        slow.sendall(hello[:100])
        no_handshake(path, hello)
        is_served(path, tls)
        endless(path)
        is_served(path, tls)
        endless_afterwards(work, path, authority)
        is_served(path, tls)
        cut_off(path, hello)
        crowd = [upgrade(path) for _ in range(50)]
        is_served(path, tls)
        for raw in crowd:
            raw.close()
        read_to_end(silent)
        read_to_end(slow)
        wait_for_log(process, "TLS handshake failed")
        is_served(path, tls)


main()
