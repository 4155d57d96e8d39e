#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# remote-many-bitmaps.py - clients ask for a thousand bitmaps of a server: each is told right, and
# few connections are made at once or stay.
import concurrent.futures
import json
import os
import re
import threading

import nbd

from fake_server import OPT_SET_META, FakeServer
from remote_case import Workspace, check, connect, main, nbd_node
from functions import block_status, merge_extents, read_text, wait_for_log, wait_until

M = 1 << 20
N_BITMAPS = 1000
PREFIX = "qemu:dirty-bitmap:"
NAMES = [f"{PREFIX}b{i}" for i in range(N_BITMAPS)]
# Connections for four bitmaps, those that just end, and the clients' own.
FEW = 40


def extents_of(i):
    return [(512 * (i + 1), 0), (512, 1), (M - 512 * (i + 2), 0)]


class Bitmaps(FakeServer):
    """Grants no bitmap whose name is in .refused."""

    refused = ()

    def answer_meta(self, client, option, data):
        if option == OPT_SET_META and any(name.encode() in data for name in self.refused):
            self.reply(client, option, 1)
            return []
        return super().answer_meta(client, option, data)


class Watch:
    """The most descriptors that a process has had."""

    def __init__(self, process):
        self.folder, self.most = f"/proc/{process.pid}/fd", 0
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()

    def look(self):
        while True:
            self.most = max(self.most, len(os.listdir(self.folder)))
            if self.is_over.wait(0.01):
                return


def n_threads(process):
    return int(re.search(r"Threads:\s*(\d+)", read_text(f"/proc/{process.pid}/status"))[1])


def check_bitmaps(socket, numbers):
    handle = connect(socket, [NAMES[i] for i in numbers])
    answer = block_status(handle, M, 0)
    for i in numbers:
        found = [(length, value) for _, length, value in merge_extents(answer[NAMES[i]])]
        check(found == extents_of(i), f"bitmap {i}: {found}")


def check_one_after_the_other(socket, process):
    with Watch(process) as watch:
        check_bitmaps(socket, range(N_BITMAPS))
    check(watch.most < FEW, f"{watch.most} descriptors for one client")


def check_at_once(socket, process):
    """Eight clients, each with bitmaps of its own and some that the next one wants too."""
    with Watch(process) as watch, concurrent.futures.ThreadPoolExecutor(8) as pool:
        tasks = [pool.submit(check_bitmaps, socket, range(i * 20, i * 20 + 30)) for i in range(8)]
        for task in tasks:
            task.result()
    check(watch.most < FEW, f"{watch.most} descriptors for eight clients")


def check_refused(socket, server, process):
    """What fails takes no place from the others."""
    server.refused = [f"{PREFIX}b{i}" for i in range(900, 920)]
    for i in range(900, 920):
        try:
            block_status(connect(socket, [NAMES[i]]), M, 0)
            check(False, f"bitmap {i} was told, and is not there")
        except nbd.Error as error:
            check(error.errno == "EIO", f"bitmap {i}: the error is {error.errno}")
    wait_for_log(process, "does not grant them")
    check_bitmaps(socket, range(20, 40))


def test():
    with Workspace() as work:
        words = {"driver": "raw", "file": nbd_node(work.path("up"), open_timeout=0)}
        contexts = {name: extents_of(i) for i, name in enumerate(NAMES)}
        contexts.update({"base:allocation": [(M, 0)], "qemu:allocation-depth": [(M, 1)]})
        with Bitmaps(work.path("up"), size=M, contexts=contexts) as server:
            socket, process = work.serve_process("--shared", "0", "--persistent",
                                                 "json:" + json.dumps(words))
            check_one_after_the_other(socket, process)
            check_at_once(socket, process)
            check_refused(socket, server, process)
            wait_until(lambda: n_threads(process) < FEW, "those of the clients that left are gone")


main(test)
