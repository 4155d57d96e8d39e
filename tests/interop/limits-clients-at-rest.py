#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that ask for nothing wait without a thread, and lose nothing by it."""
import random
import struct
import time

from limits_case import IS_SANITIZED, bound_memory, check_log_says, count_workers, wait_until
from nbd_case import CONTENT, MIB, SIZE, Workspace, equal, make_seed_images
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
    check_log_says(process, "has to wait: ")
    bound_memory(process, None)
    equal(client.receive_simple()[1:], (0, CONTENT[:4]), "the answer")
    client.close()


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
