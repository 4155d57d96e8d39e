#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# tls-require-reveals-nothing.py - with --tls=require, nothing is to be had before TLS: every option
# gets one and the same answer, whatever is asked and whether it exists or not.
import struct

from nbd_case import CONTENT, Workspace, equal, make_seed_images, run
from nbd_client import (
    ERR_TLS_REQD, OPT_ABORT, OPT_EXPORT_NAME, OPT_EXTENDED, OPT_GO, OPT_INFO, OPT_LIST,
    OPT_LIST_META, OPT_SET_META, OPT_STRUCTURED, READ, REP_ACK, Client)
from functions import read_text
from tls_case import Authority

NAMES = ("disk", "disk@base.qcow2", "disk@overlay.qcow2:first", "nothing", "", "disk@overlay.qcow2:x",
         "x" * 4096)


def options():
    yield OPT_LIST, b""
    yield OPT_LIST, b"x"
    yield OPT_STRUCTURED, b""
    yield OPT_STRUCTURED, b"x"
    yield OPT_EXTENDED, b""
    yield 4, b""  # NBD_OPT_PEEK_EXPORT
    yield 12345, b"unknown"
    yield 12345, b"x" * 100_000
    yield OPT_SET_META, b"x" * 70_000
    for name in NAMES:
        yield OPT_INFO, Client.info_data(name)
        yield OPT_GO, Client.info_data(name, 3)
        yield OPT_INFO, Client.info_data(name)[:-1]
        yield OPT_LIST_META, Client.meta_data(name)
        yield OPT_SET_META, Client.meta_data(name, "qemu:allocation-depth")


def before_tls(client):
    answers = {client.option(*option)[0] for option in options()}
    equal({kind for kind, _ in answers}, {ERR_TLS_REQD}, "the answers before TLS")
    equal(len(answers), 1, f"different answers before TLS: {answers}")


def hang_up_on_names(path):
    for name in NAMES:
        client = Client(path)
        client.send_option(OPT_EXPORT_NAME, name.encode())
        equal(client.is_closed(), True, f"EXPORT_NAME {name[:30]!r}")
        client.close()
    client = Client(path, flags=0)
    client.send_option(OPT_EXPORT_NAME, b"disk")
    equal(client.is_closed(), True, "EXPORT_NAME without fixed newstyle")
    client.close()


def main():
    with Workspace() as work:
        image = make_seed_images(work)
        run("qemu-img", "snapshot", "-c", "first", image)
        authority = Authority(work).issue_server()
        path, process = work.serve_process("--tls=require", "--tls-certificates", authority.dir,
                                           "-x", "disk", "-v", image)
        equal(Client(path).greeting, struct.pack(">8sQH", b"NBDMAGIC", 0x49484156454f5054, 3),
              "the greeting")
        hang_up_on_names(path)
        client = Client(path)
        equal(client.option(OPT_ABORT), [(REP_ACK, b"")], "ABORT before TLS")
        equal(client.is_closed(), True, "ABORT ends the connection")
        client.close()
        client = Client(path)
        before_tls(client)
        equal("snapshot" in read_text(process.log), False, "something was opened for nobody")
        # The same connection goes on, with everything; and no answer is "TLS is required" any more.
        client.start_tls(authority.client())
        kinds = {client.option(*option)[-1][0] for option in options() if option[0] != OPT_GO}
        equal(ERR_TLS_REQD in kinds, False, "TLS is required within TLS")
        client.close()
        client = Client(path).start_tls(authority.client())
        equal(client.go("disk").simple(READ, 0, 4), (0, CONTENT[:4]), "a read within TLS")
        client.close()


main()
