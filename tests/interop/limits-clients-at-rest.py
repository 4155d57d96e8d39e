#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that ask for nothing wait without a thread, and lose nothing by it."""
import os
import random
import socket
import struct
import time

from limits_case import (IS_SANITIZED, bound_descriptors, bound_memory, count_workers, read_text,
                         wait_for_log, wait_until)
from nbd_case import CONTENT, MIB, SIZE, Workspace, check, equal, make_seed_images
from functions import in_parallel
from nbd_client import READ, REQUEST_MAGIC, Client
from tls_case import Authority

CLIENTS = 24
ROUNDS = 5
REST = 0.5  # seconds after which a thread leaves; those who ask just then are who may be lost


def have_all_rest(process):
    wait_until(lambda: count_workers(process) == 0, "who asks for nothing has no thread")


def read_somewhere(client):
    at = random.randrange(SIZE - 4096)
    equal(client.read(at, 4096) == CONTENT[at:at + 4096], True, f"4096 bytes at {at}")


def ask_again_and_again(path, pki):
    client = Client(path)
    if pki is not None:
        client.start_tls(pki.client())
    client.use_structured()
    client.go()
    for _ in range(ROUNDS):
        read_somewhere(client)
        time.sleep(random.uniform(0.9, 1.1) * REST)
    read_somewhere(client)
    client.close()


def ask_when_threads_leave(process, path, pki=None):
    in_parallel([lambda: ask_again_and_again(path, pki)] * CLIENTS, CLIENTS)
    have_all_rest(process)


def ask_in_parts(process, path):
    """A part of a request is enough for a thread."""
    client = Client(path).go()
    request = struct.pack(">IHHQQI", REQUEST_MAGIC, 0, READ, 1, 4096, 512)
    have_all_rest(process)
    client.send(request[:10])
    wait_until(lambda: count_workers(process) == 1, "a thread for who has begun to ask")
    client.send(request[10:])
    equal(client.receive(16)[4:8], bytes(4), "the error of a request that came in parts")
    equal(client.receive(512) == CONTENT[4096:4608], True, "what it read")
    client.close()


def ask_without_threads(work, image):
    """Who asks when no thread can be had is answered when there is one."""
    if IS_SANITIZED:  # it ends the program when there is no memory
        return
    path, process = work.serve_process(image)
    client = Client(path).go()
    have_all_rest(process)
    bound_memory(process, MIB // 2)  # which is less than a stack
    client.send_request(READ, 0, 4)
    wait_for_log(process, "has to wait for a thread ")
    time.sleep(1)  # a few more attempts
    equal(read_text(process.log).count("has to wait for a thread "), 1, "how often the log says so")
    bound_memory(process, None)
    client.socket.settimeout(10)  # sooner than any deadline, which would wake the server too
    equal(client.receive_simple()[1:], (0, CONTENT[:4]), "the answer")
    client.close()


def stop_without_threads(work, image):
    """Who rests then is closed all the same."""
    if IS_SANITIZED:
        return
    os.environ["GLIBC_TUNABLES"] = "glibc.pthread.stack_cache_size=0"  # else it keeps some stacks
    path, process = work.serve_process(image)
    del os.environ["GLIBC_TUNABLES"]
    clients = [Client(path).go() for _ in range(CLIENTS)]
    have_all_rest(process)
    bound_memory(process, MIB // 2)
    process.terminate()
    equal(process.wait(30), 0, "exit status without threads")
    equal([client.is_closed() for client in clients], [True] * CLIENTS, "all were closed")


def stop_while_one_waits(work, image):
    if IS_SANITIZED:
        return
    path, process = work.serve_process(image)
    client = Client(path).go()
    have_all_rest(process)
    bound_memory(process, MIB // 2)
    client.send_request(READ, 0, 4)
    wait_for_log(process, "has to wait for a thread ")
    process.terminate()
    equal(process.wait(30), 0, "exit status while one waits for a thread")
    client.close()


def ask_when_nobody_can_be_accepted(work, image):
    """Those who are in do not wait for those who are not."""
    path, process = work.serve_process(image)
    clients = [Client(path).go() for _ in range(CLIENTS)]
    have_all_rest(process)
    bound_descriptors(process, 0)
    with socket.socket(socket.AF_UNIX) as outside:
        outside.connect(path)
        wait_for_log(process, "cannot accept a client: ")
        began = time.monotonic()
        for client in clients:
            read_somewhere(client)
        took = time.monotonic() - began
    check(took < 0.1 * CLIENTS, f"{CLIENTS} answers took {took} s while one cannot be accepted")


def stop_while_they_rest(process, path, pki=None):
    clients = [Client(path) for _ in range(CLIENTS)]
    for client in clients:
        if pki is not None:
            client.start_tls(pki.client())
        client.go()
    have_all_rest(process)
    process.terminate()
    equal(process.wait(30), 0, "exit status")
    equal([client.is_closed() for client in clients], [True] * CLIENTS, "all were closed")


random.seed(1)
with Workspace() as work:
    image = make_seed_images(work)
    path, process = work.serve_process(image, "--max-connections-per-peer=0")
    ask_when_threads_leave(process, path)
    ask_in_parts(process, path)
    stop_while_they_rest(process, path)
    pki = Authority(work).issue_server()
    path, process = work.serve_process("--tls-certificates=" + pki.dir, image)
    ask_when_threads_leave(process, path, pki)
    stop_while_they_rest(process, path, pki)
    ask_without_threads(work, image)
    stop_without_threads(work, image)
    stop_while_one_waits(work, image)
    ask_when_nobody_can_be_accepted(work, image)
