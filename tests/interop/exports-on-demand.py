#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# exports-on-demand.py - an image is opened when the first client asks for it, once for all, closed a
# while after the last has left, and opened anew when another file stands there.
import os
import pathlib
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from functions import (Workspace, check, connect, read_all, run, wait_for_log,  # noqa: E402
                       wait_until)
from nbd_client import ERR_UNKNOWN, OPT_INFO, Client  # noqa: E402


def open_files(process, name):
    """The descriptors of the server that are open on files of that name."""
    folder = f"/proc/{process.pid}/fd"
    found = set()
    for fd in os.listdir(folder):
        try:
            if os.path.basename(os.readlink(f"{folder}/{fd}")) == name:
                found.add(fd)
        except OSError:
            pass  # closed meanwhile
    return found


def replace(path, data):
    pathlib.Path(path + ".new").write_bytes(data)
    os.rename(path + ".new", path)


def check_shared(process, socket, name, export):
    check(not open_files(process, name), f"{name} is open before anybody asked for it")
    handles = []
    threads = [threading.Thread(target=lambda: handles.append(connect(socket, export=export)))
               for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(len(handles) == 6, f"{len(handles)} of 6 clients were served")
    check(len(open_files(process, name)) == 1,
          f"{name} is open {len(open_files(process, name))} times for six clients")
    first = open_files(process, name)
    handles.append(connect(socket, export=f"{export}@{name}"))
    for handle in handles:
        handle.shutdown()
    connect(socket, export=export).shutdown()
    check(open_files(process, name) == first, f"{name} was opened again for a client that came soon")


def check_replaced(process, work, socket):
    old = connect(socket, export="b.raw")
    check(read_all(old) == b"b" * 512, "b.raw is not what it was made of")
    replace(work.path("dir/b.raw"), b"B" * 1024)
    new = connect(socket, export="b.raw")
    check(read_all(new) == b"B" * 1024, "who comes after another file was put there gets the old")
    check(read_all(old) == b"b" * 512, "who has the old file does not keep it")
    second = connect(socket, export="b.raw")
    check(len(open_files(process, "b.raw")) == 1, "the new one is open more than once")
    for handle in (old, new, second):
        handle.shutdown()
    os.truncate(work.path("dir/c.raw"), 512)
    connect(socket, export="c.raw").shutdown()
    os.truncate(work.path("dir/c.raw"), 2048)
    check(connect(socket, export="c.raw").get_size() == 2048, "a file that has grown is as it was")


def check_snapshot(process, socket):
    handle = connect(socket, export="later@a.qcow2:s")
    check(len(open_files(process, "a.qcow2")) == 2, "the snapshot shares no lists with its image")
    handle.shutdown()


def check_hidden_failure(process, socket):
    """Of what an export hides, its errors do not tell; the log does."""
    client = Client(socket)
    kind, told = client.option(OPT_INFO, Client.info_data("hidden"))[-1]
    client.close()
    check(kind == ERR_UNKNOWN and
          told == b"cannot open the image: the server's log has the reason", f"told: {told}")
    wait_for_log(process, "gone.qcow2")


with Workspace() as work:
    os.mkdir(work.path("dir"))
    run("qemu-img", "create", "-q", "-f", "qcow2", work.path("a.qcow2"), "1M")
    run("qemu-img", "snapshot", "-c", "s", work.path("a.qcow2"))
    for name, data in (("b.raw", b"b" * 512), ("c.raw", b""), ("d.raw", b"d" * 512)):
        pathlib.Path(work.path("dir/" + name)).write_bytes(data)
    pathlib.Path(work.path("exports.conf")).write_text(
        "[DEFAULT]\non-demand = on\n[later]\nimage = a.qcow2\n"
        "[hidden]\nimage = gone.qcow2\nlayers = off\n", encoding="utf-8")
    socket, process = work.serve_process("--config", work.path("exports.conf"),
                                         "--directory", work.path("dir"))
    check_shared(process, socket, "a.qcow2", "later")
    check_shared(process, socket, "d.raw", "d.raw")
    check_replaced(process, work, socket)
    check_snapshot(process, socket)
    check_hidden_failure(process, socket)
    for name in ("a.qcow2", "b.raw", "b.raw (deleted)", "c.raw", "d.raw"):
        wait_until(lambda: not open_files(process, name), f"{name} is closed without clients",
                   seconds=60)
    connect(socket, export="later").shutdown()
