#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Signals end the server with status 0, its files are removed, whatever its clients do."""
import os
import signal
import time

from nbd_case import MIB, Workspace, check, equal, make_seed_images
from nbd_client import Client, READ


def stop(work, image, number, with_glutton):
    path, process = work.serve_process(image)
    clients = [Client(path).go(), Client(path), Client(path, flags=None)]
    if with_glutton:
        for _ in range(50):
            clients[0].send_request(READ, 0, MIB)
    began = time.monotonic()
    process.send_signal(number)
    equal(process.wait(30), 0, f"exit status after signal {number}")
    took = time.monotonic() - began
    check(took < (15 if with_glutton else 3), f"stopping took {took} s")
    equal([os.path.exists(path), os.path.exists(path + ".pid")], [False, False], "files left")
    for client in clients:
        client.close()


def socket_of_another_stays(work, image):
    path, process = work.serve_process(image)
    os.unlink(path)
    with open(path, "w", encoding="ascii") as file:
        file.write("not ours")
    process.terminate()
    equal(process.wait(30), 0, "exit status")
    equal(os.path.exists(path), True, "a file that took the socket's place stays")


def in_flight_is_answered(work, image):
    path, process = work.serve_process(image)
    client = Client(path).go()
    handle = client.send_request(READ, 0, 8 * MIB)  # more than the socket holds
    header = client.receive(16)
    process.terminate()
    deadline = time.monotonic() + 30
    while os.path.exists(path):  # it has begun to stop when its socket is gone
        check(time.monotonic() < deadline, "the server does not stop")
        time.sleep(0.002)
    equal(int.from_bytes(header[8:], "big"), handle, "the reply")
    equal(len(client.receive(8 * MIB)), 8 * MIB, "its data")
    equal(client.is_closed(), True, "then the connection ends")
    equal(process.wait(30), 0, "exit status")


# Whoever runs the tests under nohup ignores it, and servers would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

with Workspace() as work:
    image = make_seed_images(work)
    stop(work, image, signal.SIGTERM, False)
    stop(work, image, signal.SIGINT, False)
    stop(work, image, signal.SIGHUP, False)
    stop(work, image, signal.SIGQUIT, False)
    stop(work, image, signal.SIGTERM, True)
    socket_of_another_stays(work, image)
    in_flight_is_answered(work, image)
