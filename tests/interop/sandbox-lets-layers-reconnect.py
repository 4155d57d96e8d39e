#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# sandbox-lets-layers-reconnect.py - in the sandbox a remote layer finds its server again: at a Unix
# socket, at a TCP port of a host by name, and with TLS, whose files are read anew.
import json
import os
import re
import signal

from remote_case import nbd_node
from sandbox_case import (CONFINED, Workspace, check, connect, is_confined, main, read_text, run,
                          stop, wait_for, wait_until_confined)


class Base:
    """nbdkit, at one address again and again."""

    def __init__(self, work, *arguments):
        self.work, self.arguments = work, arguments
        self.pid_file = work.socket() + ".pid"
        self.start()

    def start(self):
        if os.path.exists(self.pid_file):
            os.unlink(self.pid_file)
        self.process = self.work.start_with_pid_file(
            self.pid_file, "nbdkit", "--foreground", "--pidfile", self.pid_file, *self.arguments)

    def restart(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if "--unix" in self.arguments:
            os.unlink(self.arguments[self.arguments.index("--unix") + 1])
        self.start()


def check_reconnects(work, base, node, *arguments):
    words = {"driver": "raw", "file": node}
    socket, server = work.serve_process(CONFINED, *arguments, "json:" + json.dumps(words))
    wait_until_confined(server)
    handle = connect(socket)
    for _ in range(3):
        check(handle.pread(4096, 4096) == b"\3" * 4096, "wrong bytes")
        base.restart()
    check(handle.pread(4096, 0) == b"\3" * 4096, "wrong bytes after the last restart")
    check(is_confined(server), "threads of new connections are free")
    handle.shutdown()
    stop(server)
    check("refused" not in read_text(server.log), f"refused: {read_text(server.log)}")


def lead_to(work, unix):
    """A free TCP port of this machine that leads to the Unix socket."""
    relay = work.start("socat", "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1,fork,reuseaddr",
                       f"UNIX-CONNECT:{unix}")
    found = []
    wait_for("socat's port", lambda: found.extend(
        re.findall(r"listening on AF=2 127\.0\.0\.1:(\d+)", read_text(relay.log))) or found)
    return found[0]


def inet_node(port, **options):
    node = nbd_node("", **options)
    node["server"] = {"type": "inet", "host": "localhost", "port": port}
    return node


def test():
    with Workspace() as work:
        path, keys = work.path("bytes"), work.path("keys")
        with open(path, "wb") as file:
            file.write(b"\3" * (1 << 20))
        os.mkdir(keys)
        run("psktool", "--username", "qemu", "--pskfile", keys + "/keys.psk")

        unix = work.socket()
        base = Base(work, "--unix", unix, "file", path)
        check_reconnects(work, base, nbd_node(unix))
        check_reconnects(work, base, inet_node(lead_to(work, unix)))

        unix = work.socket()
        base = Base(work, "--unix", unix, "--tls=require", f"--tls-psk={keys}/keys.psk", "file",
                    path)
        check_reconnects(work, base, nbd_node(unix, tls_creds="tls0"), "--object",
                         f"tls-creds-psk,id=tls0,dir={keys},endpoint=client,username=qemu")


main(test)
