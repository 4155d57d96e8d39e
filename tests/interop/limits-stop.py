#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A server that stops answers what is in flight, refuses the rest, and waits for nobody longer than
--stop-timeout."""
import fcntl
import os
import struct
import termios
import time

from limits_case import count_workers, wait_until
from metrics_case import scrape_until
from nbd_case import CONTENT, MIB, Workspace, check, equal, make_seed_images
from nbd_client import Client, Closed, OPT_LIST, READ

SHUTDOWN, REP_ERR_SHUTDOWN = 108, 0x80000007


def terminate(path, process):
    """Returns when the server has told its connections to stop: then its socket is gone."""
    process.terminate()
    wait_until(lambda: not os.path.exists(path), "the server stops")


def serve(work, image, *options):
    """Its socket, its process, and where it tells its metrics."""
    metrics = work.socket()
    path, process = work.serve_process(f"--metrics=unix:{metrics}", *options, image)
    return path, process, metrics


def count_replies(client):
    """Whole ones, of 1 MiB, that have come to the client, which has not read them."""
    there = struct.unpack("i", fcntl.ioctl(client.socket, termios.FIONREAD, bytes(4)))[0]
    return there // (16 + MIB)


def fill_workers(path, metrics, n_requests):
    """A client whose first requests are carried out and wait to be read, the others behind them."""
    client = Client(path).go()
    for i in range(n_requests):
        client.send_request(READ, i * MIB // 2, MIB)
    scrape_until(metrics, lambda told: sum(told.all("connection_requests_total", "peer").values())
                 - count_replies(client) == 8, "8 requests in flight")
    return client


def every_request_is_answered(work, image):
    """Those in flight with their data, those behind them with NBD_ESHUTDOWN; then it ends."""
    path, process, metrics = serve(work, image, "--stop-timeout=600")
    idle = Client(path).go()
    client = fill_workers(path, metrics, 16)
    terminate(path, process)
    equal(idle.is_closed(), True, "an idle client's connection ends at once")
    check(process.poll() is None, "the server waits for the other")
    answers = {}
    for _ in range(16):
        header = client.receive(16)
        error, handle = int.from_bytes(header[4:8], "big"), int.from_bytes(header[8:], "big")
        answers[handle] = error
        at = (handle - 1) * MIB // 2
        if not error:
            equal(client.receive(MIB) == CONTENT[at:at + MIB], True, f"data of request {handle}")
    equal(sorted(answers), list(range(1, 17)), "every request is answered")
    equal([answers[handle] for handle in range(1, 9)], [0] * 8, "those in flight")
    equal({answers[handle] for handle in range(10, 17)}, {SHUTDOWN}, "those behind them")
    try:
        client.send_request(READ, 0, 4)
        error = int.from_bytes(client.receive(16)[4:8], "big")
        equal(error, SHUTDOWN, "a request that comes later, if it is answered")
    except Closed:
        pass
    equal(client.is_closed(), True, "then the connection ends")
    equal(process.wait(30), 0, "exit status")


def options_are_refused(work, image):
    """A client that haggles is told, as far as it can be: here it has sent many options ahead."""
    path, process = work.serve_process("--stop-timeout=600", "--export-name=" + 4000 * "n", image)
    client = Client(path)
    client.socket.setblocking(False)
    option = b"IHAVEOPT" + OPT_LIST.to_bytes(4, "big") + bytes(4)
    n_sent, since = 0, time.monotonic()
    # Until the server cannot send, and less than it listens to at all.
    while n_sent < 960 and time.monotonic() < since + 0.3:
        try:
            part = client.socket.send(option * 64)
            equal(part % len(option), 0, "whole options")
            n_sent, since = n_sent + part // len(option), time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    client.socket.settimeout(30)
    finals = []

    def receive():
        _, kind, _ = client.receive_reply()
        if kind == 1 or kind & 0x80000000:
            finals.append(kind)

    while not finals:  # the server is at it
        receive()
    terminate(path, process)
    try:
        while True:
            receive()
    except Closed:
        pass
    equal(len(finals), n_sent, "every option is answered")
    equal(sorted(set(finals)), [1, REP_ERR_SHUTDOWN], "the replies")
    equal(finals[-1], REP_ERR_SHUTDOWN, "the last reply")
    equal(process.wait(30), 0, "exit status")


def nobody_is_waited_for(work, image):
    """Who does not read is given up when the time is over."""
    path, process, metrics = serve(work, image, "--stop-timeout=1")
    client = fill_workers(path, metrics, 16)
    began = time.monotonic()
    terminate(path, process)
    equal(process.wait(30), 0, "exit status")
    took = time.monotonic() - began
    check(1 <= took < 5, f"with --stop-timeout=1 it took {took} s")
    client.close()


def second_signal_ends_the_wait(work, image):
    path, process, metrics = serve(work, image, "--stop-timeout=600")
    client = fill_workers(path, metrics, 16)
    terminate(path, process)
    time.sleep(0.2)
    check(process.poll() is None, "the server waits")
    process.terminate()
    equal(process.wait(30), 0, "exit status")
    client.close()


def more_signals_end_the_wait_for_storage(work):
    storage = work.socket()
    work.start_with_pid_file(storage + ".pid", "nbdkit", "--foreground", "--unix", storage,
                             "--pidfile", storage + ".pid", "--filter=delay", "pattern", "1M",
                             "rdelay=1000")
    path, process = work.serve_process("--stop-timeout=600", "--image-opts",
                                       "driver=raw,file.driver=nbd,file.server.type=unix,"
                                       f"file.server.path={storage}")
    client = Client(path).go()
    client.send_request(READ, 0, 4)
    wait_until(lambda: count_workers(process) == 2, "one waits for storage, one for requests")
    terminate(path, process)
    time.sleep(0.2)
    check(process.poll() is None, "the server waits")

    def has_ended():
        process.terminate()
        return process.poll() is not None

    wait_until(has_ended, "the server ends without the answer")
    equal(process.returncode, 0, "exit status")
    client.close()


with Workspace() as work:
    image = make_seed_images(work)
    every_request_is_answered(work, image)
    options_are_refused(work, image)
    nobody_is_waited_for(work, image)
    second_signal_ends_the_wait(work, image)
    more_signals_end_the_wait_for_storage(work)
