#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A remote server that does not answer keeps only those waiting who ask for it: not the other
clients, nor the end of the server."""
import os
import time

from nbd_case import MIB, Workspace, check, equal
from nbd_client import Client, FLUSH, READ

from functions import read_text


def wait_for_reads(log, count):
    deadline = time.monotonic() + 30
    while read_text(log).count(" Read id=") < count:
        check(time.monotonic() < deadline, f"the remote server was not asked: {read_text(log)}")
        time.sleep(0.002)


def main():
    with Workspace() as work:
        far, log = work.socket(), work.path("far.log")
        work.start_with_pid_file(far + ".pid", "nbdkit", "--foreground", "--unix", far, "--pidfile",
                                 far + ".pid", "--filter=log", "--filter=delay", "pattern", "1M",
                                 "delay-read=600", "logfile=" + log)
        socket, process = work.serve_process(
            "--image-opts", f"driver=raw,file.driver=nbd,file.server.type=unix,file.server.path={far}")
        gone, waiting = Client(socket).go(), Client(socket).go()
        gone.send_request(READ, 0, 4096)
        gone.close()
        waiting.send_request(READ, 65536, 4096)
        wait_for_reads(log, 2)
        other = Client(socket).go()
        equal(other.size, MIB, "the size that another client is told")
        equal(other.simple(FLUSH), (0, b""), "the flush of another client")

        began = time.monotonic()
        process.terminate()
        equal(process.wait(30), 0, "exit status")
        took = time.monotonic() - began
        check(6 < took < 15, f"stopping took {took} s, expected seven")
        check("storage does not answer: ending without its answer\n" in read_text(process.log),
              f"the log says {read_text(process.log)}")
        equal([os.path.exists(socket), os.path.exists(socket + ".pid")], [False, False],
              "files left")
        equal(waiting.is_closed(), True, "the connection of who waited is closed")


main()
