#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The metrics tell exactly what a client did that counts for itself, and never go back: not when it
leaves, comes again, asks for what is refused, or when what is served is read again."""
import signal
import struct

from metrics_case import check_not_back, scrape, scrape_until
from nbd_case import MIB, Workspace, check, equal, make_seed_images
from nbd_client import (BLOCK_STATUS, FLAG_DF, FLUSH, OPT_ABORT, OPT_GO, OPT_SET_META, READ, STATUS,
                        WRITE, Client)

NAME = 'q"uo\\te\nline'
HEADER = 28


class Counting(Client):
    """Counts what goes over the socket, from when an export was chosen."""
    sent = received = 0

    def send(self, data):
        self.sent += len(data)
        super().send(data)

    def receive(self, length):
        self.received += length
        return super().receive(length)

    def go(self, name=""):
        super().go(name)
        self.sent = self.received = 0
        return self


class Expected:
    def __init__(self):
        self.requests, self.errors = {}, {}
        self.received = self.sent = self.read = self.extents = 0

    def add(self, command, failed=0):
        self.requests[command] = self.requests.get(command, 0) + 1
        self.errors[command] = self.errors.get(command, 0) + failed

    def compare(self, metrics, where, export=NAME):
        def of(name, **labels):
            return metrics.value(name, export=export, **labels)

        for command, count in self.requests.items():
            equal(of("requests_total", command=command), count, f"{where}: {command} requests")
            equal(of("request_errors_total", command=command), self.errors[command],
                  f"{where}: {command} errors")
        equal(set(metrics.all("requests_total", "command")), set(self.requests), "commands")
        equal(of("received_bytes_total"), self.received, f"{where}: bytes received")
        equal(of("sent_bytes_total"), self.sent, f"{where}: bytes sent")
        equal(of("read_bytes_total"), self.read, f"{where}: bytes read")
        equal(of("extents_total"), self.extents, f"{where}: extents")
        equal(metrics.all("export_connections", "export").keys(), {export}, "exports")


def use(path, expected):
    """All kinds of requests, good and bad, with structured replies; then a read in one piece."""
    client = Counting(path)
    client.use_structured()
    equal(len(client.meta(OPT_SET_META, NAME, "base:allocation", "qemu:allocation-depth")), 2,
          "contexts")
    client.go(NAME)
    for offset, length, flags in ((0, 4096, 0), (512 * 1024, MIB, 0), (0, MIB, FLAG_DF)):
        client.command(READ, offset, length, flags)
        expected.add("read")
        expected.read += length
    client.command(READ, 10 * MIB - 1, 2)
    expected.add("read", failed=1)
    for kind, payload in client.command(BLOCK_STATUS, 0, 10 * MIB):
        equal(kind, STATUS, "chunk")
        expected.extents += (len(payload) - 4) // 8
    expected.add("block_status")
    client.command(FLUSH)
    expected.add("flush")
    client.command(WRITE, 0, 1000, payload=bytes(1000))
    expected.add("write", failed=1)
    client.command(77)
    expected.add("other", failed=1)
    return client


def leave(client, expected):
    client.close()
    expected.received += client.sent
    expected.sent += client.received


def all_left(count):
    return lambda metrics: (metrics.value("connections_open") == 0 and
                            metrics.value("connections_accepted_total") == count)


def refuse(path):
    """A handshake that ends by itself, and one that fails."""
    client = Client(path)
    client.option(OPT_ABORT)
    client.close()
    client = Client(path)
    equal(client.option(OPT_GO, client.info_data("no such export"))[-1][0], 0x80000006, "reply")
    client.close()


def check_connection(metrics, client):
    """One that is open has figures of its own."""
    peers = metrics.all("connection_requests_total", "peer")
    equal(len(peers), 1, "peers")
    check(list(peers)[0].startswith("unix uid "), f"the peer is {peers}")
    equal(metrics.all("connection_received_bytes_total", "connection"), {"1": client.sent}, "bytes")
    equal(metrics.all("connection_sent_bytes_total", "export"), {NAME: client.received}, "bytes")
    equal(metrics.all("connection_request_errors_total", "export"), {NAME: 3}, "errors")


with Workspace() as work:
    image = make_seed_images(work)
    config = work.path("config")
    with open(config, "w", encoding="utf-8") as file:
        escaped = NAME.replace("\\", "\\\\").replace("\n", "\\n")
        file.write(f"[one]\nname={escaped}\nimage={image}\n")
    address = work.path("metrics")
    path, process = work.serve_process("--config", config, f"--metrics=unix:{address}")
    expected = Expected()

    nothing = scrape(address)
    equal(nothing.value("connections_accepted_total"), 0, "connections at first")
    equal(nothing.value("build_info", version="0.1.0"), 1, "build_info")

    client = use(path, expected)
    first = scrape(address)
    check_connection(first, client)
    equal(first.value("export_connections", export=NAME), 1, "connections now")
    leave(client, expected)
    second = scrape_until(address, all_left(1), "the client to leave")
    expected.compare(second, "after the first client")
    equal(second.all("connection_requests_total", "connection"), {}, "connections that left")
    equal(second.value("requests_in_flight", export=NAME), 0, "requests in flight")
    check_not_back(nothing, second)
    check_not_back(first, second)

    leave(use(path, expected), expected)
    third = scrape_until(address, all_left(2), "the second client to leave")
    expected.compare(third, "after the second client")
    check_not_back(second, third)

    process.send_signal(signal.SIGHUP)
    leave(use(path, expected), expected)
    refuse(path)
    fourth = scrape_until(address, all_left(5), "the others to leave")
    expected.compare(fourth, "after SIGHUP")
    check_not_back(third, fourth)
    equal(fourth.all("handshakes_total", "result"), {"entered": 3, "aborted": 1, "failed": 1},
          "handshakes")
    for command, count in expected.requests.items():
        equal(fourth.value("request_duration_seconds_count", export=NAME, command=command), count,
              f"durations of {command}")

    # Names that a client makes up below an export count as that export.
    view = Counting(path).go(NAME + "@base.qcow2")
    equal(view.simple(READ, 0, 4), (0, b"\x11" * 4), "a read of a layer")
    expected.add("read")
    expected.read += 4
    leave(view, expected)
    expected.compare(scrape_until(address, all_left(6), "the last to leave"), "after a layer")
    process.terminate()
    equal(process.wait(30), 0, "exit status")
