#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Greeting, options and their replies are what proto.md says, good and bad data alike."""
import struct

import nbd_client
from nbd_case import SIZE, Workspace, equal, make_seed_images
from nbd_client import (Client, ERR_INVALID, ERR_TOO_BIG, ERR_UNKNOWN, ERR_UNSUP, OPT_ABORT,
                        OPT_EXPORT_NAME, OPT_GO, OPT_INFO, OPT_LIST, OPT_STARTTLS,
                        OPT_STRUCTURED, REP_ACK, REP_INFO, REP_SERVER)

FLAGS = 1 | 2 | 4 | 1 << 8 | 1 << 10  # has-flags, read-only, flush, multi-conn, cache
DF = 1 << 7


def kind_of(replies):
    return replies[-1][0]


def greeting(path):
    client = Client(path, flags=None)
    equal(client.greeting, b"NBDMAGICIHAVEOPT\0\3", "greeting")
    client.send(struct.pack(">I", 4))
    equal(client.is_closed(), True, "an unknown client flag ends the connection")
    client = Client(path, flags=2)
    client.send_option(OPT_LIST)
    equal(client.is_closed(), True, "without fixed newstyle only EXPORT_NAME is heard")


def export_name(path):
    for flags, zeroes in ((1, 124), (3, 0), (0, 124), (2, 0)):
        client = Client(path, flags)
        client.send_option(OPT_EXPORT_NAME, b"disk")
        equal(client.receive(10 + zeroes), struct.pack(">QH", SIZE, FLAGS) + bytes(zeroes),
              f"EXPORT_NAME with client flags {flags}")
        equal(client.simple(nbd_client.FLUSH), (0, b""), "the connection transmits")
        client.close()
    client = Client(path)
    client.send_option(OPT_EXPORT_NAME, b"nothing")
    equal(client.is_closed(), True, "an unknown name can only be answered by hanging up")


def info_and_go(path):
    client = Client(path)
    data = client.info_data
    export = (REP_INFO, struct.pack(">HQH", 0, SIZE, FLAGS))
    equal(client.option(OPT_INFO, data("disk")), [export, (REP_ACK, b"")], "INFO, nothing asked")
    equal(client.option(OPT_INFO, data("disk", 3, 77, 2, 1)),
          [export, (REP_INFO, b"\0\1disk"), (REP_INFO, b"\0\2words"),
           (REP_INFO, struct.pack(">HIII", 3, 1, 4096, 32 << 20)), (REP_ACK, b"")],
          "INFO, all asked")
    good = data("disk", 1)
    for bad in (b"", good[:-1], good + b"\0", b"\0\0\0\4disk", b"\xff" * 4 + good[4:],
                data("d\0sk"), struct.pack(">I", 2) + b"\xff\xfe\0\0", data("x" * 4097),
                good[:8] + b"\0\2\0\1"):
        equal(kind_of(client.option(OPT_INFO, bad)), ERR_INVALID, f"INFO with {bad[:20]!r}")
    equal(kind_of(client.option(OPT_INFO, data("x" * 4096))), ERR_UNKNOWN, "a long name")
    equal(kind_of(client.option(OPT_GO, data("nothing"))), ERR_UNKNOWN, "GO to nowhere")
    client.use_structured()
    equal(client.go("disk").flags, FLAGS | DF, "flags with structured replies")
    client.close()


def other_options(path):
    client = Client(path)
    names = [data[4:4 + struct.unpack(">I", data[:4])[0]] for kind, data in client.option(OPT_LIST)
             if kind == REP_SERVER]
    equal(names, [b"disk", b"disk@overlay.qcow2", b"disk@base.qcow2"], "LIST")
    equal(kind_of(client.option(OPT_LIST, b"x")), ERR_INVALID, "LIST with data")
    equal(kind_of(client.option(OPT_STRUCTURED, b"x")), ERR_INVALID, "STRUCTURED_REPLY with data")
    equal(kind_of(client.option(OPT_STARTTLS)), ERR_UNSUP, "STARTTLS")
    equal(kind_of(client.option(12345, b"x" * 5000)), ERR_UNSUP, "an unknown option is skipped")
    equal(kind_of(client.option(OPT_INFO, b"x" * 100_000)), ERR_TOO_BIG, "a long option")
    equal(client.option(OPT_ABORT, b"whatever"), [(REP_ACK, b"")], "ABORT")
    equal(client.is_closed(), True, "ABORT ends the connection")
    client = Client(path)
    client.send_option(OPT_LIST, length=0xffffffff)
    equal(client.is_closed(), True, "data without end is not waited for")
    client = Client(path)
    client.send_option(OPT_LIST, magic=nbd_client.NBDMAGIC)
    equal(client.is_closed(), True, "a wrong magic ends the connection")


with Workspace() as work:
    path = work.serve("-x", "disk", "-D", "words", make_seed_images(work))
    greeting(path)
    export_name(path)
    info_and_go(path)
    other_options(path)
