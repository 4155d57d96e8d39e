# SPDX-License-Identifier: LGPL-2.1-or-later
# hostile_case.py - a server that is watched while clients mistreat it, and sessions to do it with.
#
# SEEDS=N in the environment makes every test N times as long, with other random numbers each time;
# what fails is told with its seed.
import contextlib
import os
import random
import select
import socket
import ssl
import struct
import time

from nbd_client import (
    BLOCK_STATUS, CACHE, DISC, EXTENDED, FLAG_DF, FLAG_PAYLOAD_LEN, FLAG_REQ_ONE, FLUSH, IHAVEOPT,
    OPT_EXPORT_NAME, OPT_EXTENDED, OPT_GO, OPT_INFO, OPT_LIST, OPT_LIST_META, OPT_SET_META,
    OPT_STRUCTURED, READ, SIMPLE, STRUCTURED, TRIM, WRITE, WRITE_ZEROES, Client, Closed)
from proto_case import (CONTENT, MIB, SIZE, Workspace, check, equal, make_certificates,
                        make_seed_images, read_text)
from functions import in_parallel  # noqa: F401 (for the tests)

SEEDS = int(os.environ.get("SEEDS", "1"))
MODES = (SIMPLE, STRUCTURED, EXTENDED)
GROWTH, GROWTH_SANITIZED = 64 * MIB, 1024 * MIB  # sanitizers keep freed memory, and more
GONE = (ConnectionError, ssl.SSLError, TimeoutError, OSError)


class Watched:
    """strata-nbd, and what it has at rest."""

    def __init__(self, work, *options, tls=None):
        self.path, self.process = work.serve_process(*options, make_seed_images(work))
        self.tls = tls
        self.good = self.connect_well()
        self.use_well()
        self.rest()  # threads and caches that the first client brings
        self.at_rest = self.count()
        self.memory = self.resident()

    def let_in(self):
        """A client. Who came to nothing very often just now is turned away for a moment."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return Client(self.path)
            except Closed:
                check(time.monotonic() < deadline, "a good client is not let in")
                time.sleep(0.01)

    def connect_well(self):
        client = self.let_in()
        if self.tls:
            client.start_tls(self.tls)
        client.use(STRUCTURED).meta(OPT_SET_META, "", "base:allocation")
        return client.go()

    def count(self):
        """Open descriptors and threads."""
        folder = f"/proc/{self.process.pid}"
        return len(os.listdir(folder + "/fd")), len(os.listdir(folder + "/task"))

    def resident(self):
        status = read_text(f"/proc/{self.process.pid}/status")
        return int(status.split("VmRSS:")[1].split()[0]) << 10

    def rest(self):
        """Waits until nothing moves: the same counts for a while, longer than idle threads live."""
        last, since = self.count(), time.monotonic()
        deadline = since + 30
        while time.monotonic() - since < 0.7:
            check(time.monotonic() < deadline, "the server does not come to rest")
            if self.count() != last:
                last, since = self.count(), time.monotonic()
            time.sleep(0.02)

    def use_well(self):
        """A client that was there all the time and one that comes now get what they should."""
        late = self.connect_well()
        for client in (self.good, late):
            equal(client.read(MIB - 9, 3 * MIB) == CONTENT[MIB - 9:4 * MIB - 9], True, "content")
            equal(next(iter(client.status(0, SIZE).values())),
                  [(MIB, 0), (MIB, 3), (MIB, 0), (7 * MIB, 3)], "map")
        late.close()

    def unharmed(self, what):
        check(self.process.poll() is None, f"{what}: the server ended with "
              f"{self.process.returncode}: {read_text(self.process.log)[-3000:]}")
        self.use_well()
        deadline = time.monotonic() + 30
        while any(now > then for now, then in zip(self.count(), self.at_rest)):
            check(time.monotonic() < deadline, f"{what}: descriptors and threads are "
                  f"{self.count()}, and were {self.at_rest}")
            time.sleep(0.01)
        sanitized = "san.so" in read_text(f"/proc/{self.process.pid}/maps")
        check(self.resident() < self.memory + (GROWTH_SANITIZED if sanitized else GROWTH),
              f"{what}: {self.resident()} bytes resident, {self.memory} at rest")

    def end(self):
        self.good.close()
        self.process.terminate()
        equal(self.process.wait(60), 0, "exit status; log: " + read_text(self.process.log)[-3000:])
        log = read_text(self.process.log)
        check("Sanitizer" not in log and "runtime error" not in log, log[-3000:])


@contextlib.contextmanager
def watched(tls=False):
    """A server without TLS, or one that requires it and is spoken to over it."""
    with Workspace() as work:
        if tls:
            folder, context = make_certificates(work)
            server = Watched(work, "--tls=require", "--tls-certificates", folder, tls=context)
        else:
            server = Watched(work)
        yield server
        server.end()


def plain_socket(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.settimeout(30)
    return connection


def tls_socket(server):
    """Connected, and past STARTTLS."""
    client = Client(server.path).start_tls(server.tls)
    return client.socket


def give(connection, data):
    """Sends what the server takes, and reads replies meanwhile so that it goes on taking."""
    view = memoryview(data)
    connection.setblocking(False)
    deadline = time.monotonic() + 30
    while view:
        check(time.monotonic() < deadline, "the server takes nothing, and does not hang up")
        try:
            view = view[connection.send(view[:65536]):]
            continue
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            select.select([connection], [connection], [], 1)
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
            if not connection.recv(1 << 16):
                return


def leave(connection, how):
    """Closes the connection: at once, with a reset, or after all replies have been read."""
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif how == "drain" and not isinstance(connection, ssl.SSLSocket):
        connection.settimeout(30)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass
    connection.close()


def attack(connection, data, how):
    """Says it all and leaves; the server may hang up in the middle of it."""
    with contextlib.suppress(*GONE):
        give(connection, data)
    with contextlib.suppress(ConnectionError, ssl.SSLError, BrokenPipeError):
        leave(connection, how)
    connection.close()


def seeded(test, tls=False):
    """Runs a test of (server, random numbers) for each seed, on one server."""
    with watched(tls) as server:
        for seed in range(SEEDS):
            try:
                test(server, random.Random(seed))
            except BaseException:
                print("seed", seed)
                raise
            server.unharmed(f"{test.__name__}, seed {seed}")


# Sessions: all that a client says, in messages.
def option_message(number, data=b""):
    return struct.pack(">QII", IHAVEOPT, number, len(data)) + data


def request_message(mode, command, offset, length, flags=0, payload=b""):
    if mode == EXTENDED:
        return struct.pack(">IHHQQQ", 0x21e41c71, flags, command, 7, offset, length) + payload
    return struct.pack(">IHHQQI", 0x25609513, flags, command, 7, offset, length) + payload


def handshake_messages(mode):
    messages = [option_message(OPT_LIST), option_message(77, b"unknown"),
                option_message(OPT_INFO, Client.info_data("", 1, 2, 3)),
                option_message(OPT_LIST_META, Client.meta_data("", "base:", "strata:"))]
    if mode == SIMPLE:
        return messages + [option_message(OPT_EXPORT_NAME)]
    messages.append(option_message(OPT_STRUCTURED if mode == STRUCTURED else OPT_EXTENDED))
    messages.append(option_message(
        OPT_SET_META, Client.meta_data("", "base:allocation", "strata:joint")))
    return messages + [option_message(OPT_GO, Client.info_data("", 3))]


def request_messages(mode):
    write_flag = FLAG_PAYLOAD_LEN if mode == EXTENDED else 0
    messages = [request_message(mode, READ, MIB - 9, 20),
                request_message(mode, READ, 0, 600, FLAG_DF),
                request_message(mode, FLUSH, 0, 0), request_message(mode, CACHE, 0, MIB),
                request_message(mode, BLOCK_STATUS, 0, SIZE),
                request_message(mode, BLOCK_STATUS, 0, SIZE, FLAG_REQ_ONE),
                request_message(mode, WRITE, 0, 11, write_flag, b"hello world"),
                request_message(mode, TRIM, 0, 512), request_message(mode, WRITE_ZEROES, 0, 512)]
    if mode == EXTENDED:
        messages.append(request_message(mode, BLOCK_STATUS, 0, 12, FLAG_PAYLOAD_LEN,
                                        struct.pack(">QI", SIZE, 1)))
    return messages + [request_message(mode, DISC, 0, 0)]


def session(mode, flags=True):
    """[client flags, options..., requests...]; over TLS the flags went before it."""
    first = [struct.pack(">I", 3)] if flags else []
    return first + handshake_messages(mode) + request_messages(mode)
