# SPDX-License-Identifier: LGPL-2.1-or-later
# neighbours.py - the clients that a good client has beside it. Each is started with a server and
# ended; they take next to no processor time of their own, but the one whose trade it is.
import contextlib
import socket
import struct
import threading

from servers import LOAD

READ, CACHE, REQUEST_MAGIC = 0, 5, 0x25609513


def connect(server):
    client = socket.socket(socket.AF_UNIX)
    client.connect(server.socket)
    return client


def enter(server):
    """A connection in the transmission phase, with simple replies."""
    client = connect(server)
    client.recv(18, socket.MSG_WAITALL)
    client.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 1, 0))  # NBD_OPT_EXPORT_NAME ""
    client.recv(10, socket.MSG_WAITALL)
    return client


class Nobody:
    name = "alone"

    def __init__(self, bench, server):
        self.bench, self.server, self.clients = bench, server, []

    def end(self):
        for client in self.clients:
            client.close()


class Trickle(Nobody):
    """One in the handshake and one in transmission send a byte a second."""
    name = "one byte a second"

    def __init__(self, bench, server):
        super().__init__(bench, server)
        self.clients = [connect(server), enter(server)]
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.over.wait(1):
            for client in self.clients:
                with contextlib.suppress(OSError):
                    client.send(b"\0")

    def end(self):
        self.over.set()
        self.thread.join()
        super().end()


class Gluttons(Nobody):
    """Ask for as much as they can, and read nothing."""
    name = "8 that never read"

    def __init__(self, bench, server):
        super().__init__(bench, server)
        for _ in range(8):
            client = enter(server)
            client.setblocking(False)
            self.clients.append(client)
            for i in range(100):
                with contextlib.suppress(BlockingIOError):
                    client.send(struct.pack(">IHHQQI", REQUEST_MAGIC, 0, READ, i, 0, 1 << 20))


class Churn(Nobody):
    """Opens connections and drops them as fast as it can."""
    name = "opens and drops"

    def __init__(self, bench, server):
        super().__init__(bench, server)
        self.process = bench.start(LOAD, "churn", server.uri)

    def end(self):
        self.bench.end(self.process)


class Idle(Nobody):
    """A thousand connections that ask for nothing."""
    name = "1,000 idle"

    def __init__(self, bench, server):
        super().__init__(bench, server)
        self.clients = [enter(server) for _ in range(1000)]


class Cachers(Nobody):
    """A hundred connections that have 32 MiB cached again and again, and read the answers."""
    name = "100 that cache"
    REQUESTS = struct.pack(">IHHQQI", REQUEST_MAGIC, 0, CACHE, 1, 0, 32 << 20) * 8

    def __init__(self, bench, server):
        super().__init__(bench, server)
        self.clients = [enter(server) for _ in range(100)]
        for client in self.clients:
            client.setblocking(False)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.over.wait(0.05):
            for client in self.clients:
                with contextlib.suppress(OSError):
                    client.send(self.REQUESTS)
                with contextlib.suppress(OSError):
                    client.recv(65536)

    def end(self):
        self.over.set()
        self.thread.join()
        super().end()


ALL = [Nobody, Trickle, Gluttons, Churn, Idle, Cachers]
