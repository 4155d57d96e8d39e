#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients of every mode side by side, each with a random mix of good and bad requests in flight that
are cut at random bytes and whose answers are read with pauses: every byte, extent and error.

Arguments: a seed and how many rounds each client makes, for longer runs than the suite's."""
import random
import struct
import sys
import threading
import time

from nbd_case import MIB, Workspace, check, equal, run
from nbd_client import (BLOCK_STATUS, CACHE, EINVAL, EPERM, EXTENDED, FLAG_DF, FLAG_PAYLOAD_LEN,
                        FLAG_REQ_ONE, FLUSH, OPT_SET_META, READ, SIMPLE, STRUCTURED, TRIM, WRITE,
                        Client, Exchange, error_of, put_together, statuses)
from tls_case import Authority

SIZE = 34 * MIB
SHORT = 3 * MIB + 1536  # the length of the base
CONTEXTS = ("base:allocation", "qemu:allocation-depth", "strata:joint")
LENGTHS = (1, 3, 511, 512, 4096, 20_000, 32_768, 32_769, 65_536, 70_000, 140_000, MIB, MIB + 1,
           2 * MIB, 3 * MIB)
MOST_ASKED = 6 * MIB  # by one batch, unless by one request
UNKNOWN_COMMAND = 77


class Image:
    """Raw, short and with a hole, below compressed clusters, below small clusters of every kind."""

    def __init__(self, work, seed):
        self.source = random.Random(seed)
        self.content, self.depth = bytearray(SIZE), bytearray(SIZE // 512)
        base, middle, self.path = work.path("base.raw"), work.path("mid.qcow2"), work.path("top")
        self.put(3, 0, self.source.randbytes(MIB))
        self.put(3, 2 * MIB, self.source.randbytes(SHORT - 2 * MIB))
        self.depth[:] = b"\3" * len(self.depth)  # also past its end
        with open(base, "wb") as file:
            file.write(self.content[:MIB])
            file.seek(2 * MIB)
            file.write(self.content[2 * MIB:SHORT])
        self.make(middle, base, "raw", 65536, 2,
                  [("-c ", 65536, at * 65536) for at in self.source.sample(range(200), 40)] +
                  [("-z ", 65536 * 3, 65536 * at) for at in range(210, 230, 7)])
        self.make(self.path, middle, "qcow2", 4096, 1,
                  [(self.source.choice(("", "-z ")), 4096, 4096 * at)
                   for at in self.source.sample(range(1500), 300)] +
                  [("", 3 * MIB, 20 * MIB), ("", 700_416, 26 * MIB)])

    def put(self, depth, at, data):
        self.content[at:at + len(data)] = data
        self.depth[at // 512:(at + len(data)) // 512] = bytes((depth,)) * (len(data) // 512)

    def make(self, path, backing, kind, cluster, depth, writes):
        run("qemu-img", "create", "-q", "-f", "qcow2", "-o", f"cluster_size={cluster}", "-b",
            backing, "-F", kind, path, str(SIZE))
        commands = []
        for how, length, at in writes:
            value = 0 if how == "-z " else self.source.randrange(1, 256)
            self.put(depth, at, bytes((value,)) * length)
            pattern = "" if how == "-z " else f"-P {value} "
            commands += ["-c", f"write -q {how}{pattern}{at} {length}"]
        run("qemu-io", "-f", "qcow2", *commands, path)


def map_of(path, image):
    """{context: a value for each 512 bytes}, asked one by one, each against the image."""
    client = Client(path).use(EXTENDED)
    names = dict(client.meta(OPT_SET_META, "", *CONTEXTS))
    client.go()
    values = {name: bytearray() for name in CONTEXTS}
    for context, name in names.items():
        while len(values[name]) < SIZE // 512:
            at = len(values[name]) * 512
            for length, value in client.status_of([context], at, SIZE - at)[context]:
                values[name] += bytes((value & 0xff,)) * (length // 512)
    client.close()
    equal(values["qemu:allocation-depth"] == image.depth, True, "the depth of all")
    for at, value in enumerate(values["base:allocation"]):
        zero = not any(image.content[at * 512:at * 512 + 512])
        check(zero or value == 0, f"value {value} where there is data, at {at * 512}")
    return values


class Player:
    """One client: what it asks, and what it must be told."""

    def __init__(self, seed, path, mode, tls, image, values):
        self.source, self.image, self.values = random.Random(seed), image, values
        self.what = f"seed {seed}, mode {mode}{', TLS' if tls else ''}"
        self.client = Client(path)
        if tls:
            self.client.start_tls(tls)
        self.client.use(mode)
        if mode != SIMPLE:
            self.client.meta(OPT_SET_META, "", *CONTEXTS)
        self.client.go()
        self.expected = {}  # {cookie: (check, arguments)}
        self.chunks = {}

    # Requests.
    def ask(self, expected, command, offset=0, length=0, flags=0, **options):
        cookie = self.client.send_request(command, offset, length, flags,
                                          cookie=self.source.randbytes(8)[0] << 56 |
                                          self.source.getrandbits(56), **options)
        self.expected[cookie] = expected

    def ask_read(self, length=None):
        length = length or self.source.choice(LENGTHS)
        offset = self.source.choice((0, 0, 1, 2 * MIB, SIZE - length, 20 * MIB, None))
        if offset is None or offset + length > SIZE:
            offset = self.source.randrange(min(8 * MIB, SIZE - length))
        flags = self.source.choice((0, FLAG_DF)) if self.client.mode != SIMPLE else 0
        self.ask((self.check_read, offset, length), READ, offset, length, flags)
        return length

    def ask_status(self):
        if self.client.mode == SIMPLE:
            return self.ask((self.check_error, EINVAL), BLOCK_STATUS, 0, 512)
        offset = self.source.randrange(SIZE // 512) * 512
        length = self.source.choice((1, 512, 70_000, 3 * MIB, SIZE))
        length = min(length, SIZE - offset)
        flags = self.source.choice((0, FLAG_REQ_ONE))
        expected = (self.check_status, offset)
        if self.client.mode == STRUCTURED or self.source.random() < 0.5:
            return self.ask(expected, BLOCK_STATUS, offset, length, flags)
        ids = self.source.sample(sorted(self.client.contexts), self.source.randint(1, 3))
        payload = struct.pack(f">Q{len(ids)}I", length, *ids)
        contexts = {one: self.client.contexts[one] for one in ids}
        flags |= FLAG_PAYLOAD_LEN
        return self.ask(expected, BLOCK_STATUS, offset, len(payload), flags, payload=payload,
                        exchange=Exchange(EXTENDED, BLOCK_STATUS, offset, length, flags, contexts,
                                          SIZE))

    def ask_nothing(self):
        if self.source.random() < 0.5:
            return self.ask((self.check_error, 0), FLUSH)
        return self.ask((self.check_error, 0), CACHE, self.source.randrange(SIZE - MIB), MIB)

    def ask_wrongly(self):
        invalid, extended = (self.check_error, EINVAL), self.client.mode == EXTENDED
        payload = bytes(self.source.choice((1, 512, 9000)))
        self.source.choice((
            lambda: self.ask(invalid, UNKNOWN_COMMAND, 0, 512),
            lambda: self.ask(invalid, READ, SIZE - 10, 11),
            lambda: self.ask(invalid, READ, 0, 0),
            lambda: self.ask(invalid, READ, 0, 32 * MIB + 1),
            lambda: self.ask(invalid, FLUSH, 0, 1),
            lambda: self.ask(invalid, CACHE, 0, 1, FLAG_REQ_ONE),
            lambda: self.ask((self.check_error, EPERM), TRIM, 0, 512),
            lambda: self.ask((self.check_error, EPERM), WRITE, 0, len(payload),
                             FLAG_PAYLOAD_LEN if extended else 0, payload=payload)))()

    def make_batch(self):
        """The bytes of some requests."""
        message, send, asked = bytearray(), self.client.send, 0
        self.client.send = message.extend
        for _ in range(self.source.choice((1, 2, 5, 30, 64))):
            kind = self.source.random()
            if kind < 0.55 and asked < MOST_ASKED:
                asked += self.ask_read()
            elif kind < 0.75:
                self.ask_status()
            elif kind < 0.9:
                self.ask_nothing()
            else:
                self.ask_wrongly()
        self.client.send = send
        return bytes(message)

    # Answers.
    def check_read(self, answer, offset, length):
        data = answer[1] if self.client.mode == SIMPLE else put_together(answer, offset, length)[0]
        equal(answer[0] if self.client.mode == SIMPLE else 0, 0, f"{self.what}: error of a read")
        check(data == self.image.content[offset:offset + length],
              f"{self.what}: wrong bytes in {length} at {offset}")

    def check_error(self, answer, expected):
        if self.client.mode == SIMPLE:
            equal(answer[0], expected, f"{self.what}: error")
        elif expected == 0:
            equal([kind for kind, _ in answer], [0], f"{self.what}: success")
        else:
            equal(error_of(answer)[0], expected, f"{self.what}: error")

    def check_status(self, answer, offset):
        for context, extents in statuses(answer).items():
            values, at = self.values[self.client.contexts[context]], offset
            for length, value in extents:
                told = bytes((value & 0xff,)) * (-(-(at + length) // 512) - at // 512)
                check(values[at // 512:-(-(at + length) // 512)] == told,
                      f"{self.what}: {self.client.contexts[context]} is not {value} for {length} "
                      f"at {at}")
                at += length

    def receive(self):
        if self.client.mode == SIMPLE:
            cookie, error, data = self.client.receive_simple()
            answer = (error, data)
        else:
            _, kind, cookie, payload = self.client.receive_chunk()
            self.chunks.setdefault(cookie, []).append((kind, payload))
            if cookie in self.client.in_flight:
                return
            answer = self.chunks.pop(cookie)
        check_it, *arguments = self.expected.pop(cookie)
        check_it(answer, *arguments)

    # Both.
    def play_round(self):
        message = self.make_batch()
        while message:
            cut = self.source.choice((1, 27, 28, 33, 500, len(message)))
            self.client.send(message[:cut])
            message = message[cut:]
            if self.source.random() < 0.05:
                time.sleep(0.002)
        while self.client.in_flight:
            if self.source.random() < 0.02:
                time.sleep(0.003)
            self.receive()
        equal(self.expected, {}, f"{self.what}: requests without an answer")

    def play(self, n_rounds, failures):
        try:
            for n in range(n_rounds):
                self.play_round()
                if n == 1:
                    self.ask_read(32 * MIB)
            while self.client.in_flight:
                self.receive()
            self.client.close()
        except BaseException as failure:  # the thread's, told by the main one
            failures.append((self.what, failure))
            raise


def play_all(players, n_rounds):
    failures = []
    threads = [threading.Thread(target=player.play, args=(n_rounds, failures))
               for player in players]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not failures, f"failed: {failures}")


SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 1
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 3

with Workspace() as work:
    image = Image(work, SEED)
    certificates = Authority(work).issue_server()
    for at, options in enumerate(((), ("--max-requests=1", "--max-bytes=1"),
                                  ("--max-requests=2", "--max-bytes=4M", "--metadata-cache=1M"))):
        server = work.serve(*options, "--tls=on", f"--tls-certificates={certificates.dir}",
                            image.path)
        values = map_of(server, image)
        secret = certificates.client()
        play_all([Player(SEED * 1000 + at * 10 + number, server, mode, tls, image, values)
                  for number, (mode, tls) in enumerate(
                      [(mode, None) for mode in (SIMPLE, STRUCTURED, EXTENDED)] +
                      [(mode, secret) for mode in (SIMPLE, EXTENDED)])], ROUNDS)
