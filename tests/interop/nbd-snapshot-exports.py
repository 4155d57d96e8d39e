#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""NAME@NODE:SNAPSHOT is the image at an internal snapshot: listed under a name that leads to it,
opened when asked for, once for all, closed after the last; --load-snapshot serves one alone."""
import json
import os
import resource
import struct
import threading
import time

import nbd

from nbd_case import MIB, Workspace, check, equal, run
from nbd_client import Client, OPT_INFO, OPT_LIST, ERR_UNKNOWN, REP_ACK

from functions import STRATA_NBD, connect, read_all, wait_for_log, whole_maps

# ID -> name. An ID goes before a name, and two of one name have none that is theirs.
SNAPSHOTS = {"1": "first", "2": "twice", "3": "twice", "4": "2", "5": "a:b@overlay.qcow2",
             "6": "日 with space", "7": "tab\there"}
LISTED = {"1": "first", "2": "2", "3": "3", "4": "4", "5": "a:b@overlay.qcow2",
          "6": "日 with space", "7": "7"}


def make_images(work):
    base, overlay = work.path("base.qcow2"), work.path("overlay.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", base, "4M")
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 0x11 0 1M", base)
    run("qemu-img", "snapshot", "-c", "of base", base)
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 0x12 0 64k", base)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", overlay)
    for number, name in SNAPSHOTS.items():
        run("qemu-img", "snapshot", "-c", name, overlay)
        run("qemu-io", "-f", "qcow2", "-c", f"write -q -P 0x2{number} {number}00k 64k", overlay)
    return overlay


def content(work, image, *options):
    copy = work.path("copy")
    run("qemu-img", "convert", "-O", "raw", *options, image, copy)
    with open(copy, "rb") as file:
        return file.read()


def content_at(work, image, number):
    return content(work, image, "-l", f"snapshot.id={number}")


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def wait_for_descriptors(process, count, what):
    deadline = time.monotonic() + 30
    while descriptors(process) != count:
        check(time.monotonic() < deadline,
              f"{what}: {descriptors(process)} descriptors are open, expected {count}")
        time.sleep(0.002)


def list_exports(socket):
    """{name: description}, in order."""
    client, exports = Client(socket), {}
    replies = client.option(OPT_LIST)
    equal(replies.pop(), (REP_ACK, b""), "the end of the list")
    for _, data in replies:
        end = 4 + struct.unpack(">I", data[:4])[0]
        exports[data[4:end].decode()] = data[end:].decode()
    client.close()
    return exports


def listing(socket):
    exports = list_exports(socket)
    expected = ["vm", "vm@overlay.qcow2"]
    expected += ["vm@overlay.qcow2:" + name for name in LISTED.values()]
    expected += ["vm@base.qcow2", "vm@base.qcow2:of base"]
    equal(list(exports), expected, "the list of exports")
    for number, name in LISTED.items():
        text = exports["vm@overlay.qcow2:" + name]
        shown = SNAPSHOTS[number].replace("\t", "\\x09")
        check(text.startswith(f"snapshot '{shown}' (ID {number}) of 20") and
              text.endswith(" UTC: overlay.qcow2 (qcow2) > base.qcow2 (qcow2)"),
              f"{name!r} is described as {text!r}")
    listed = json.loads(run("nbdinfo", "--list", "--json", f"nbd+unix:///vm?socket={socket}"))
    equal([export["export-name"] for export in listed["exports"]], expected, "nbdinfo --list")


def canonical_name(socket, name):
    client = Client(socket)
    replies = client.option(OPT_INFO, client.info_data(name, 1, 2))
    client.close()
    return next(data[2:].decode() for _, data in replies if data[:2] == b"\0\1")


def contents(work, overlay, socket):
    for number, name in LISTED.items():
        expected = content_at(work, overlay, number)
        for word in (name, number):
            handle = connect(socket, export="vm@overlay.qcow2:" + word)
            check(read_all(handle) == expected, f"the content of {word!r} differs from QEMU's")
        equal(canonical_name(socket, "vm@overlay.qcow2:" + number), "vm@overlay.qcow2:" + name,
              "the name by which an export is listed")
    equal(canonical_name(socket, "vm@overlay.qcow2:twice"), "vm@overlay.qcow2:2",
          "of two snapshots with one name the first is meant")
    check(read_all(connect(socket, export="vm@base.qcow2:of base")) ==
          content_at(work, overlay.replace("overlay", "base"), 1), "a snapshot further down")
    check(read_all(connect(socket, export="vm")) == content(work, overlay), "the disk of today")


def maps(socket):
    handle = connect(socket, ["qemu:allocation-depth", "strata:only:base.qcow2"],
                     "vm@overlay.qcow2:first")
    found = whole_maps(handle, ["qemu:allocation-depth", "strata:only:base.qcow2"])
    equal(found, {"qemu:allocation-depth": [(0, MIB, 2), (MIB, 3 * MIB, 0)],
                  "strata:only:base.qcow2": [(0, MIB, 1), (MIB, 3 * MIB, 0)]},
          "the maps before anything was written to the overlay")


def refusals(socket):
    for name in ("vm@overlay.qcow2:", "vm@overlay.qcow2:nobody", "vm@nobody:first", "vm:first",
                 "@overlay.qcow2:first", "vm@base.qcow2:first", "vm@overlay.qcow2-file:first",
                 "vm@overlay.qcow2:first:", "vm@overlay.qcow2:FIRST"):
        client = Client(socket)
        equal(client.option(OPT_INFO, client.info_data(name))[-1][0], ERR_UNKNOWN, name)
        client.close()


def sharing(socket, process, before):
    """One graph for all who want the same snapshot, for as long as one of them does."""
    log = wait_for_log(process, '"vm@overlay.qcow2:FIRST"')  # the last that was refused
    equal([line for line in log.splitlines() if ": there is no export " not in line], [], "the log")
    wait_for_descriptors(process, before, "nobody is connected")
    one = connect(socket, export="vm@overlay.qcow2:first")
    first = descriptors(process)
    check(first > before + 1, "the snapshot's files are not opened")
    two = connect(socket, export="vm@overlay.qcow2:1")
    wait_for_descriptors(process, first + 1, "a second client of one snapshot")
    other = connect(socket, export="vm@overlay.qcow2:2")
    wait_for_descriptors(process, 2 * first - before + 1, "a client of another snapshot")
    for handle in (one, other):
        handle.shutdown()
    wait_for_descriptors(process, first, "one of two clients has left")
    check(two.pread(65536, 0) == b"\x12" * 65536, "the other one is served")
    two.shutdown()
    wait_for_descriptors(process, before, "all clients have left")


def at_once(socket, process, before):
    failures = []

    def ask(word):
        try:
            for _ in range(5):
                connect(socket, ["base:allocation"], "vm@overlay.qcow2:" + word).pread(4096, 0)
        except nbd.Error as error:
            failures.append(f"{word}: {error}")

    threads = [threading.Thread(target=ask, args=(word,))
               for word in ["first", "1", "first", "2", "twice", "3", "4"] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failures, [], "clients that came all at once")
    wait_for_descriptors(process, before, "all of them have left")


def failing_to_open(socket, process):
    """Is told to the client and to the log, and tried again for the next one."""
    client = Client(socket)
    limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (4, limits[1]))
    kind, message = client.option(OPT_INFO, client.info_data("vm@overlay.qcow2:first"))[-1]
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
    equal(kind, ERR_UNKNOWN, "the reply")
    message = message.decode()
    equal(message, "cannot open the image: one of its files cannot be opened or read; the server's log "
          "says more", "the reply's text")
    wait_for_log(process, "NBD_OPT_INFO: cannot open the snapshot: ")
    wait_for_log(process, "Too many open files")
    equal(client.option(OPT_INFO, client.info_data("vm@overlay.qcow2:first"))[-1][0], REP_ACK,
          "the next try")
    client.close()


def load_snapshot(work, overlay):
    for word in ("first", "2", "snapshot.id=2", "snapshot.name=2", "snapshot.id=3,snapshot.name=twice",
                 "snapshot.name=twice", "5", "snapshot.name=a:b@overlay.qcow2"):
        ours = work.serve("-l", word, overlay)
        qemu = work.serve_with_qemu(f"--load-snapshot={word}", "-f", "qcow2", overlay)
        check(read_all(connect(ours)) == read_all(connect(qemu)), f"-l {word}: content")
        depth = ["qemu:allocation-depth"]
        equal(whole_maps(connect(ours, depth), depth), whole_maps(connect(qemu, depth), depth),
              f"-l {word}: depth")
    one = work.serve("-l", "first", overlay)
    check(read_all(connect(one, export="@overlay.qcow2:3")) == content_at(work, overlay, 3),
          "another snapshot beside the one that was loaded")
    # --run prints what the option means, in one process.
    equal(run(STRATA_NBD, "--load-snapshot=first", "--run", 'nbdinfo --size "$uri"', overlay),
          "4194304\n", "the size")


def main():
    with Workspace() as work:
        overlay = make_images(work)
        socket, process = work.serve_process("-x", "vm", overlay)
        before = descriptors(process)
        listing(socket)
        contents(work, overlay, socket)
        maps(socket)
        refusals(socket)
        sharing(socket, process, before)
        at_once(socket, process, before)
        failing_to_open(socket, process)
        load_snapshot(work, overlay)


main()
