#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many requests at once, in pieces, with equal cookies; farewells while replies are under way."""
import contextlib
import random
import socket
import struct

from nbd_client import (
    BLOCK_STATUS, CACHE, Client, DISC, DONE, EINVAL, EPERM, ERROR, EXTENDED, FLAG_DF,
    FLAG_PAYLOAD_LEN, FLAG_REQ_ONE, FLUSH, NONE, OFFSET_DATA, OPT_GO, OPT_LIST, READ, REP_ACK,
    SIMPLE, STRUCTURED, TRIM, WRITE, put_together, statuses)
from proto_case import (
    CONTENT, Link, MIB, SIZE, equal, main, make_certificates, make_seed_images, play, rule,
    tcp_link)

CONTEXTS = ("base:allocation", "qemu:allocation-depth")
DEPTHS = [2, 0, 1, 0, 1, 0, 0, 0, 0, 0]  # per MiB
MODES = (SIMPLE, STRUCTURED, EXTENDED)


def any_request(client, mode):
    """Sends one of the many; returns its cookie and what it is."""
    command = random.choice((READ, READ, READ, FLUSH, CACHE, TRIM, WRITE, BLOCK_STATUS, 77))
    offset = random.randrange(SIZE - 200_000)
    length = 0 if command == FLUSH else random.randint(1, 300 if command == WRITE else 60_000)
    offset = 0 if command == FLUSH else offset
    flags, payload = 0, b""
    if command == READ and mode != SIMPLE:
        flags = random.choice((0, FLAG_DF))
    elif command == BLOCK_STATUS:
        flags = random.choice((0, FLAG_REQ_ONE))
    elif command == WRITE:
        flags = FLAG_PAYLOAD_LEN if mode == EXTENDED else 0
        payload = b"w" * length
    return client.send_request(command, offset, length, flags, payload), (command, offset, length)


@contextlib.contextmanager
def gathered(client):
    """What is sent meanwhile goes into a buffer."""
    message = bytearray()
    client.send = message.extend
    yield message
    del client.send


def receive_all(client, mode):
    """{cookie: error or chunks or data} of all that is in flight."""
    answers = {}
    while client.in_flight:
        if mode == SIMPLE:
            cookie, error, data = client.receive_simple()
            answers[cookie] = error or data
        else:
            _, kind, cookie, payload = client.receive_chunk()
            answers.setdefault(cookie, []).append((kind, payload))
    return answers


def check_answer(mode, request, answer):
    command, offset, length = request
    if command in (TRIM, WRITE, 77) or command == BLOCK_STATUS and mode == SIMPLE:
        error = EPERM if command in (TRIM, WRITE) else EINVAL
        if mode != SIMPLE:
            equal([kind for kind, _ in answer], [ERROR], f"{request}")
            answer = struct.unpack(">I", answer[0][1][:4])[0]
        equal(answer, error, f"{request}")
    elif command == READ:
        data = answer if mode == SIMPLE else put_together(answer, offset, length)[0]
        equal(data == CONTENT[offset:offset + length], True, f"{request}")
    elif command == BLOCK_STATUS:
        for extents in statuses(answer).values():
            equal(extents[0][0] > 0, True, f"{request}")
    else:
        equal(answer, b"" if mode == SIMPLE else [(NONE, b"")], f"{request}")


@rule("Transmission", "requests may be pipelined, and replies may come in any order")
def hundreds(link):
    for mode in MODES:
        random.seed(mode)
        client = link.transmit(mode, contexts=CONTEXTS)
        # In one piece: a Unix socket holds few small ones, and nobody reads replies meanwhile.
        with gathered(client) as message:
            requests = dict(any_request(client, mode) for _ in range(300))
        client.send(bytes(message))
        answers = receive_all(client, mode)
        equal(answers.keys(), requests.keys(), "cookies")
        for cookie, request in requests.items():
            check_answer(mode, request, answers[cookie])
        client.close()


@rule("Request message", "messages are bytes in a stream, in whatever pieces they come")
def in_pieces(link):
    for mode in MODES:
        client = link.transmit(mode, contexts=CONTEXTS)
        with gathered(client) as message:
            for length in (1, 512, 70_000):
                client.send_request(READ, MIB - 5, length)
                client.send_request(WRITE, 0, 9, FLAG_PAYLOAD_LEN if mode == EXTENDED else 0,
                                    b"w" * 9)
        for at in range(0, len(message), 7):
            client.send(bytes(message[at:at + 7]))
        equal(len(receive_all(client, mode)), 6, "answers")
        client.close()


@rule("Transmission", "cookies should differ, and are never looked at")
def equal_cookies(link):
    for mode in MODES:
        client = link.transmit(mode, contexts=CONTEXTS)
        with gathered(client) as message:
            for _ in range(50):
                client.send_request(FLUSH, cookie=7)
                client.send_request(READ, 2 * MIB, 16, FLAG_DF if mode != SIMPLE else 0, cookie=8)
        client.send(bytes(message))
        counts = {7: 0, 8: 0}
        while client.in_flight:
            if mode == SIMPLE:
                cookie, error, data = client.receive_simple()
                equal((error, data), (0, b"" if cookie == 7 else b"\x22" * 16), "reply")
            else:
                flags, kind, cookie, payload = client.receive_chunk()
                equal(flags == DONE or kind == OFFSET_DATA, True, "chunk")
                if not flags & DONE:
                    continue
            counts[cookie] += 1
        equal(counts, {7: 50, 8: 50}, "replies")
        client.close()


@rule("NBD_CMD_DISC", "all outstanding requests are handled before the connection is closed")
def disconnect_with_requests_in_flight(link):
    for mode in MODES:
        client = link.transmit(mode, contexts=CONTEXTS)
        requests = {client.send_request(READ, at, 100_000): (READ, at, 100_000)
                    for at in range(0, 4 * MIB, 100_000)}
        client.send_request(DISC)
        answers = receive_all(client, mode)
        for cookie, request in requests.items():
            check_answer(mode, request, answers[cookie])
        equal(client.is_closed(), True, "after the replies")


def half_close(client):
    """Over TLS too, without a good-bye."""
    socket.socket.shutdown(client.socket, socket.SHUT_WR)


@rule("Terminating the transmission phase", "nothing is lost for a client that has said all it had")
def half_closed(link):
    for mode in MODES:
        client = link.transmit(mode, contexts=CONTEXTS)
        requests = {client.send_request(READ, at, 100_000): (READ, at, 100_000)
                    for at in range(0, 4 * MIB, 100_000)}
        half_close(client)
        answers = receive_all(client, mode)
        for cookie, request in requests.items():
            check_answer(mode, request, answers[cookie])
        equal(client.is_closed(), True, "after the replies")
    client = link.connect()
    client.send_option(OPT_LIST)
    half_close(client)
    equal(client.replies(OPT_LIST)[-1], (REP_ACK, b""), "an option's replies")
    equal(client.is_closed(), True, "after the option")


@rule("NBD_CMD_DISC", "what comes after it is not heard")
def after_disconnect(link):
    client = link.transmit(SIMPLE)
    header = struct.pack(">IHHQQI", 0x25609513, 0, DISC, 1, 0, 0)
    client.send(header + struct.pack(">IHHQQI", 0x25609513, 0, READ, 2, 0, 512))
    equal(client.is_closed(), True, "a read after DISC")


@rule("Protocol phases", "the kernel's client: whole sectors, simple replies, several connections")
def linux(link):
    """What nbd-client and then the kernel (drivers/block/nbd.c) send, to the byte."""
    if link.tls:
        return
    clients = [Client(link.address) for _ in range(2)]
    for number, client in enumerate(clients):
        client.send(b"IHAVEOPT\0\0\0\7\0\0\0\6" + b"\0\0\0\0" + b"\0\0")  # GO
        replies = client.replies(OPT_GO)
        equal([data[:10] for _, data in replies], [struct.pack(">HQ", 0, SIZE), b""], "GO")
        # A handle is a counter and a tag; flush has neither offset nor length.
        ranges = ((0, 8), (2 * MIB >> 9, 256), ((SIZE >> 9) - 1, 1))
        for tag, (offset, sectors) in enumerate(ranges):
            handle = struct.pack(">II", number, tag << 16 | 1)
            client.send(struct.pack(">II", 0x25609513, READ) + handle
                        + struct.pack(">QI", offset << 9, sectors << 9))
            equal(client.receive(16), b"\x67\x44\x66\x98\0\0\0\0" + handle, "header")
            equal(client.receive(sectors << 9), CONTENT[offset << 9:offset + sectors << 9], "data")
        client.send(struct.pack(">II", 0x25609513, FLUSH) + b"hhhhhhhh" + bytes(12))
        equal(client.receive(16), b"\x67\x44\x66\x98\0\0\0\0hhhhhhhh", "flush")
    for client in clients:
        client.send(struct.pack(">II", 0x25609513, DISC) + bytes(20))
        equal(client.is_closed(), True, "DISC")


def test(work):
    image = make_seed_images(work)
    folder, tls = make_certificates(work)
    play(Link("a Unix socket", work.serve(image)), tcp_link(work, image),
         Link("TLS", work.serve("--tls=require", "--tls-certificates", folder, image), tls))


main(test)
